"""Stores as a stranger makes them: whatever is changed in them, all digests, sums and seals are made to agree again.

A flipped bit is found by a digest; a lie that was told before the digest was made is not. So what is tried here is put in
place, and then everything above it is told of it.
"""

from __future__ import annotations

import copy
import random
from typing import Any

import pyarrow as pa

from tableformat.context import StoreContext
from tableformat.digest import digest_of
from tableformat.document import encode_document
from tableformat.entries import content_of_item
from tableformat.errors import FormatError, LimitError
from tableformat.format.documents import encode_sealed
from tableformat.format.manifest import content_of
from tests.publishing import TIME

__all__ = ["VALUES", "encodable", "forge", "mutate_bytes", "mutate_cells", "mutate_json", "root_of"]

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**53 - 1, 2**53, 2**70, -(2**63), 1.5, float("nan"), "", "0", "-1", "x" * 5000, "\x00", "\ud800",
    "../../etc/passwd", "/etc/passwd", "data\\x", "file:///etc/passwd", "s3::file:///etc/passwd", "http://169.254.169.254/", "NUL",
    "sha256:" + "0" * 64, "sha256:" + "z" * 64, "table", "list", "e\u0301", "\u202e", [], {}, [[]], [None], [{}], {"": {}}, {"a": [1, {"b": None}]},
    ["a"] * 300, "int64", "struct", "image", "9" * 400, {"kind": "list", "item": {"kind": "list"}},
)  # fmt: skip
"""What no field expects, and some do."""


def forge(
    context: StoreContext, name: str, items: Any, slot: int = 0, *, root: dict[str, Any] | None = None, **version: Any
) -> None:
    """Put a version with these entries into `slot`, its root and version file as a writer would make them; `root` and `version` are
    fields of those that lie."""
    entries = {"count": len(items), "items": items} if isinstance(items, list) else items
    document = {
        "content": _content(items), "entries": entries, "format": 1, "kind": "manifest", "metadata": "{}", "requires": {"read": [], "write": []},
        "type": "dataset", **(root or {}),
    }  # fmt: skip
    data = encode_document(document)
    digest = digest_of(data)
    context.backend.overwrite(f"manifests/{digest[7:]}.json", data)
    told = {
        "kind": "version", "format": 1, "slot": slot, "commit": f"{slot:032x}", "predecessor": None if slot == 0 else digest, "base": None, "time": TIME,
        "message": "", "producer": "{}", "inputs": [], "requires": {"read": [], "write": []}, "root": digest, "root_size": len(data), "report": {},
        "session": None, **({"inline": document} if len(data) <= 65536 else {}), **version,
    }  # fmt: skip
    context.backend.overwrite(f"artifacts/{name}/versions/{slot:020d}.json", encode_sealed(told))


def _content(items: Any) -> str:
    try:
        return content_of("dataset", "{}", [(item["name"], item["kind"], content_of_item(item)) for item in items])
    except (KeyError, TypeError, ValueError, AttributeError, FormatError):
        return "sha256:" + "0" * 64


def encodable(value: Any) -> bool:
    """Whether canonical JSON can hold it: what cannot be written is found before anything else is."""
    try:
        encode_document({"value": value})
    except (FormatError, LimitError):
        return False
    return True


def root_of(context: StoreContext, name: str, slot: int = 0) -> dict[str, Any]:
    """The root document of a version."""
    import json

    version = context.versions(name).require(slot)
    found: dict[str, Any] = json.loads(context.backend.read(f"manifests/{version.root[7:]}.json"))
    return found


def _somewhere(document: Any, chance: random.Random) -> tuple[Any, ...]:
    """The path of some value inside a document: a walk from its top, so that fields of the top come as often as those of the many."""
    path: list[Any] = []
    while isinstance(document, dict | list) and document:
        key = chance.choice(list(document)) if isinstance(document, dict) else chance.randrange(len(document))
        path.append(key)
        document = document[key]
        if chance.random() < 0.2:
            break
    return tuple(path)


def mutate_json(document: Any, chance: random.Random) -> Any:
    """A copy of the document with one to three values dropped, replaced, doubled, or put in each other's place."""
    made = copy.deepcopy(document)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        path = _somewhere(made, chance)
        if not path:
            break
        holder = _at(made, path[:-1])
        what = chance.random()
        if what < 0.15:
            del holder[path[-1]]
        elif what < 0.3:
            holder[path[-1]] = copy.deepcopy(_at(made, _somewhere(made, chance)))
        elif what < 0.4 and isinstance(holder, list):
            holder.insert(path[-1], copy.deepcopy(holder[path[-1]]))
        elif what < 0.6 and isinstance(holder[path[-1]], int):
            holder[path[-1]] = int(holder[path[-1]]) + chance.choice((-1, 1, 2**16, 2**31, 2**40))
        else:
            holder[path[-1]] = copy.deepcopy(chance.choice(VALUES))
    return made


def _at(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


def mutate_cells(values: list[Any], field: pa.Field, chance: random.Random) -> list[Any]:
    """The values of a column, of which some are others of the same type that no writer makes."""
    changed = copy.deepcopy(values)
    for row in range(len(changed)):
        if chance.random() < 0.4:
            changed[row] = _lie(changed[row], field, chance)
    return changed


def _lie(value: Any, field: pa.Field, chance: random.Random) -> Any:
    t, type_ = pa.types, field.type
    if field.nullable and chance.random() < 0.1:
        return None
    if t.is_struct(type_):
        told = dict(value or {})
        for inner in type_:
            if chance.random() < 0.3:
                told[inner.name] = _lie(told.get(inner.name), inner, chance)
        return told
    if t.is_map(type_):
        pairs = [*(value or []), ("x", None)]
        return [(key, _lie(item, type_.item_field, chance)) for key, item in pairs if isinstance(key, str)]
    if t.is_list(type_) or t.is_fixed_size_list(type_):
        items = [_lie(item, type_.value_field, chance) for item in value or []]
        return items if t.is_fixed_size_list(type_) else items * chance.choice((0, 1, 3))
    if t.is_string(type_):
        return chance.choice(
            [one for one in VALUES if isinstance(one, str) and one.isprintable()]
            + ["zstd", "{", "[" * 3000, "SHA-256:" + "0" * 64]
        )
    if t.is_integer(type_):
        return chance.choice((0, -1, 1, 2 ** (type_.bit_width - 1) - 1, -(2 ** (type_.bit_width - 1)), 255))
    if t.is_floating(type_):
        return chance.choice((float("nan"), float("inf"), -1e300, 0.0))
    if t.is_binary(type_):
        return chance.choice((b"", b"\x89PNG\r\n\x1a\n" + b"\xff" * 40, b"\x28\xb5\x2f\xfd\xa0\xff\xff\xff\xff", b"x"))
    return value


def mutate_bytes(data: bytes, chance: random.Random) -> bytes:
    """The bytes with some flipped, cut out, doubled or overwritten."""
    made = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        if not made:
            break
        at = chance.randrange(len(made))
        what = chance.random()
        if what < 0.5:
            made[at] = chance.randrange(256)
        elif what < 0.65:
            del made[at : at + chance.choice((1, 2, 8, 64))]
        elif what < 0.8:
            made[at:at] = made[at : at + chance.choice((1, 4, 16))]
        else:
            size = chance.choice((1, 2, 4, 8))
            made[at : at + size] = chance.choice((b"\xff", b"\x00", b"\x7f", b"\x80")) * size
    return bytes(made)
