"""Each sort of file that a store holds: one that is right, and the function of the reader that takes its bytes.

A document that carries its own digest is sealed again after it was changed, and what is named by a digest is named by its new one:
the reader meets the lie itself, and not the digest before it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from tableformat.digest import digest_of
from tableformat.document import encode_document
from tableformat.format.deletions import decode_deletions, encode_deletions
from tableformat.format.documents import encode_sealed
from tableformat.format.item_list import ItemList, LeafDescriptor, Line, decode_leaf, decode_lines, encode_leaves
from tableformat.format.manifest import Manifest, Part, TableEntry, needs_of
from tableformat.format.media.classes import Classes
from tableformat.format.pack import decode_pack, encode_pack
from tableformat.format.part import Layout
from tableformat.format.reference import Known
from tableformat.format.reference_leaf import Listed, encode_leaf, listed_of
from tableformat.format.reference_leaf import decode_leaf as decode_references
from tableformat.format.schema import Schema
from tableformat.storage.aliases import AliasMove
from tableformat.storage.collect.documents import Amount, Done, Keep, ListFile, Plan, Sweep, decode_list, encode_list
from tableformat.storage.holder import Holder
from tableformat.storage.index import IndexDocument
from tableformat.storage.location_table import decode_locations
from tableformat.storage.locations import Location, pack_uri
from tableformat.storage.marker import Marker
from tableformat.storage.moved import encode_moved
from tableformat.storage.reference_lists import ReferenceList
from tableformat.storage.session_log import Begin, Record
from tableformat.storage.versions import decode_slot
from tableformat.table.join.stored import JoinDocument
from tableformat.table.resume import Sealed, Segment
from tests.hostile.forging import mutate_bytes, mutate_json
from tests.hostile.samples import CLASSES, items_of, picture, reference_item
from tests.publishing import TIME

__all__ = ["Target", "targets_of"]

HEX = "0123456789abcdef" * 4


@dataclass(frozen=True)
class Target:
    """One sort of file."""

    right: bytes
    decode: Callable[[bytes], Any]
    is_json: bool = False
    is_sealed: bool = False

    def mutate(self, chance: random.Random) -> bytes:
        """The file, changed somewhere: as a document where it is one, or byte by byte."""
        if not self.is_json or chance.random() < 0.2:
            return mutate_bytes(self.right, chance)
        document = json.loads(self.right)
        document.pop("check", None)
        changed = mutate_json(document, chance)
        try:
            return encode_sealed(changed) if self.is_sealed else encode_document(changed)
        except (ValueError, TypeError):  # what our own encoder refuses, another writer does not
            return json.dumps(changed).encode()


def targets_of(store: Any) -> dict[str, Target]:
    """The targets, of which some are files of `store`."""
    backend = store.context.backend
    items = {item["name"]: item for item in items_of(store)}
    root = Path(store.root)
    newest = max((root / "artifacts/a/versions").iterdir()).read_bytes()
    table = items["e"]
    begin = Begin("ab" * 16, "s", "a", TIME)
    parts = tuple(Part.from_json(item, "e") for item in table["parts"]["items"])
    segment = Segment(Schema.from_json(table["schema"]), Layout.from_json(table["layout"], "e"), parts)
    seal = Sealed("t", 0, {"key": ["id"]}, segment.rows, segments=(segment,)).to_delta(None)
    record = {
        "event": "seal", "format": 1, "holder": Holder.here().to_json(), "kind": "session-record", "nonce": "0" * 32, "number": 3,
        "session": begin.id, "since": TIME, "time": TIME, "tables": [seal], "body": {},
    }  # fmt: skip

    def of_document(document: Any, decode: Callable[[Any], Any]) -> Target:
        return Target(encode_document(document), lambda data: decode(_loaded(data)), is_json=True)

    def sealed(data: bytes, decode: Callable[[bytes], Any]) -> Target:
        return Target(data, decode, is_json=True, is_sealed=True)

    return {
        "marker": sealed((root / "tableformat.json").read_bytes(), Marker.from_bytes),
        "version file": sealed(newest, lambda data: decode_slot(data, "v", 1)),
        "tombstone": sealed(
            encode_sealed({"kind": "tombstone", "format": 1, "slot": 1, "commit": "0" * 32, "root": f"sha256:{HEX}", "time": TIME}),
            lambda data: decode_slot(data, "v", 1),
        ),
        "alias": sealed(
            max((root / "artifacts/a/aliases/best").iterdir()).read_bytes(), lambda data: AliasMove.from_bytes(data, "alias")
        ),
        "manifest": Target(store["a"].manifest.encode(), lambda data: Manifest.decode(data, "root"), is_json=True),
        "table entry": of_document(table, _table),
        "joined table": of_document(items["join"], lambda value: JoinDocument.from_json(value, "join").content),
        "class set": Target(CLASSES.encode(), lambda data: Classes.decode(data, "classes"), is_json=True),
        "references": of_document(reference_item(store, 3), lambda value: ReferenceList.from_json(value, "refs")),
        "references in leaves": of_document(reference_item(store, 70), lambda value: _references(value, backend)),
        "leaf of references": _reference_leaf(),
        "leaf of items": _item_leaf(items.values()),
        "index": Target(_index_document(), lambda data: IndexDocument.decode(data, "index"), is_json=True),
        "leaf of the index": Target(_places(False), lambda data: decode_locations(data, "leaf", erased=False)),
        "moved": Target(_places(True), lambda data: decode_locations(data, "moved", erased=True)),
        "pack": Target(encode_pack([(picture(n, 8), "png") for n in range(4)]), lambda data: decode_pack(data, "pack")),
        "deletions": _deletions(),
        "session": sealed(encode_sealed(begin.to_json()), lambda data: Begin.decode(data, "begin")),
        "session record": sealed(encode_sealed(record), lambda data: _record(data, begin.id)),
        "seal": of_document(seal, lambda value: Sealed.from_delta(value, None, (), "seal").parts),
        **_collection(),
    }  # fmt: skip


def _loaded(data: bytes) -> Any:
    """As the reader of the document around it would have it."""
    from tableformat.document import decode_document

    return decode_document(data, "document")


def _table(value: Any) -> Any:
    entry = TableEntry.from_json(value, "table")
    parts = [Part.from_json(item, "table") for item in entry.parts.items]
    return entry.content, entry.key_digest, needs_of(entry.schema, parts), [part.paths for part in parts]


def _references(value: Any, backend: Any) -> Any:
    listed = ReferenceList.from_json(value, "refs")
    return listed.find(backend, "00001.png"), sum(1 for _ in listed.iterate(backend))


def _record(data: bytes, session: str) -> Any:
    return Record.decode(data, "record", session, 3).held_by(Holder.here())


def _reference_leaf() -> Target:
    leaf = encode_leaf(
        [Listed(f"{n}.png", Known(n, "d41d8cd98f00b204e9800998ecf8427e", str(n), n, None)) for n in range(9)]
    )
    return Target(leaf, lambda data: list(listed_of(decode_references(data, "leaf", 9))))


def _item_leaf(items: Any) -> Target:
    [(leaf, data)] = list(encode_leaves([Line.of(item) for item in list(items)[:3]]))

    def decode(changed: bytes) -> Any:
        told: LeafDescriptor = replace(leaf, digest=digest_of(changed), size=len(changed))
        return (
            decode_leaf(changed, told, "leaf"),
            decode_lines(changed, told, "leaf"),
            ItemList.from_json({"count": 3, "leaves": [told.to_json()]}, "x"),
        )

    return Target(data, decode)


def _places(erased: bool) -> bytes:
    places: dict[bytes, Location | None] = {bytes([n]) * 32: Location(pack_uri(HEX), n, 9) for n in range(5)}
    return encode_moved(places | ({b"\xff" * 32: None} if erased else {}))


def _index_document() -> bytes:
    return encode_document(
        {
            "kind": "index",
            "format": 1,
            "leaves": [{"digest": f"sha256:{HEX}", "size": 9, "count": 2, "first": HEX, "last": "f" * 64}],
        }
    )


def _deletions() -> Target:
    data, told = encode_deletions([1, 5, 7])
    return Target(
        data, lambda changed: decode_deletions(changed, replace(told, digest=digest_of(changed), size=len(changed)), 9, "deletions")
    )  # fmt: skip


def _collection() -> dict[str, Target]:
    listed, data = encode_list(["data/a.parquet", "data/b.parquet"], [1, 2])
    plan = Plan(0, "0" * 32, TIME, 5, 5, (listed,), {"parts": Amount(2, 3)}, (f"data/packs/01/{HEX}.zip",))

    def decode(changed: bytes) -> pa.Table:
        return decode_list(changed, ListFile(digest_of(changed), len(changed), listed.count), "list")

    return {
        "plan": Target(plan.encode(), lambda data: Plan.decode(data, "plan"), True, True),
        "keep": Target(
            Keep("s", TIME, ("data/a.parquet",)).encode(), lambda data: Keep.decode(data, "keep"), True, True
        ),
        "sweep": Target(Sweep(0, "0" * 32, TIME).encode(), lambda data: Sweep.decode(data, "sweep"), True, True),
        "done": Target(
            Done(0, TIME, {"parts": Amount(1, 2)}).encode(), lambda data: Done.decode(data, "done"), True, True
        ),
        "list of a plan": Target(data, decode),
    }
