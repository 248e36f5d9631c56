"""Verification of one version: every byte that it reaches against every digest that speaks of it.

It begins at the version file and goes on through root, leaves, parts, packs and single blobs; rows are decoded and digested
again, column by column, and every cell's range is looked up in its pack. All problems are reported, the first stops nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import islice
from typing import Any, Final

import numpy as np

from tableformat.digest import PREFIX, digest_of, is_digest
from tableformat.document import JsonObject
from tableformat.entries import content_of_item, media_fields, media_row, place_of, read_classes
from tableformat.errors import CorruptError, FormatError, NotFoundError
from tableformat.format.item_list import ItemList, decode_leaf
from tableformat.format.manifest import Manifest, TableEntry, content_of
from tableformat.format.schema import Schema
from tableformat.format.types import ClassType, MediaType, walk
from tableformat.storage.blob_reader import BlobReader
from tableformat.storage.interface import Backend
from tableformat.storage.manifests import leaf_path, root_path
from tableformat.storage.names import check_entry_name, folded
from tableformat.storage.reference_lists import ReferenceList
from tableformat.storage.verify_blobs import BlobVerifier
from tableformat.storage.verify_cells import CellVerifier
from tableformat.storage.verify_documents import DocumentVerifier
from tableformat.storage.verify_parts import PartVerifier
from tableformat.storage.verify_references import check_references
from tableformat.storage.verify_report import Findings, Progress, VerifyReport
from tableformat.storage.versions import VersionFile
from tableformat.table.join.stored import JoinDocument, targets_of

__all__ = ["Progress", "VerifyReport", "verify_version", "verify_versions"]

_MAX_ROOT_BYTES: Final = 64 << 20
_MAX_LEAF_BYTES: Final = 64 << 20


def verify_version(
    backend: Backend,
    name: str,
    slot: int | None = None,
    digest: str | None = None,
    *,
    progress: Progress | None = None,
    workers: int | None = None,
) -> VerifyReport:
    """Check one version of the artifact `name`, by its slot or by its digest, and report everything that is wrong.

    Looked at: the marker; by slot the version file, the version before that it names, the aliases and the hint; the root,
    leaves, parts, packs and single blobs with their sums; rows, columns, cells, class sets and content digests. Not looked
    at: the index, sessions, and what references point at. Reads every file of the version once, parts twice where they
    are local, on `workers` threads (None: one for each processor, at most 8). Holds for each some pieces of a file, or a pack of
    up to 80 MB where it is not local, the names of all packs and entries, and a row group; not more where there are more rows.

    Never raises for damage; raises `BackendError` where the place of the bytes fails, and what `progress` raises.
    """
    return verify_versions(backend, [(name, slot, digest)], progress=progress, workers=workers)


def verify_versions(
    backend: Backend,
    wanted: Iterable[tuple[str, int | None, str | None]],
    *,
    progress: Progress | None = None,
    workers: int | None = None,
) -> VerifyReport:
    """`verify_version` of several: artifacts with slots, or digests. A pack that several of them use is read once, and a root once."""
    findings = Findings(progress)
    roots: set[str] = set()
    with ThreadPoolExecutor(workers or min(os.cpu_count() or 1, 8), "verify") as helpers:
        blobs = BlobVerifier(backend, findings, helpers)
        name_before: str | None = None
        for name, slot, digest in wanted:
            documents = DocumentVerifier(backend, findings, name)
            if name_before is None:
                documents.check_marker()
            version: VersionFile | str | None = digest
            if slot is not None:
                version = documents.check_version(slot)
                if name != name_before:
                    documents.check_aliases()
                    documents.check_hint()
            name_before = name
            root = version.root if isinstance(version, VersionFile) else version
            if root is not None and root not in roots:
                roots.add(root)
                inline = version if isinstance(version, VersionFile) else None
                _Verification(backend, findings, helpers, blobs).check_root(root, inline)
    return findings.report()


class _Verification:
    """One run over one root. Belongs to one thread, which the helpers help."""

    def __init__(self, backend: Backend, findings: Findings, helpers: Executor, blobs: BlobVerifier) -> None:
        self._backend = backend
        self._findings = findings
        self._helpers = helpers
        self._blobs = blobs
        self._class_sets: set[str] = set()
        self._wanted_sets: dict[str, str] = {}
        self._wanted_tables: list[tuple[str, str]] = []
        self._whole = True

    # The root and its entries

    def check_root(self, digest: str, version: VersionFile | None) -> None:
        path = root_path(digest)
        manifest: Manifest | None = None
        with self._findings.guard(path):
            data = self._backend.read_or_none(path, limit=_MAX_ROOT_BYTES)
            if data is None:
                raise NotFoundError("no such file; restore it from a copy of the store")
            self._findings.read(path, len(data), files=1)
            if (found := digest_of(data)) != digest:
                raise CorruptError(f"the SHA-256 of the file is {found}")
            manifest = Manifest.decode(data, path)
            if version is not None and version.root_size != len(data):
                raise CorruptError(f"{len(data)} bytes, and its version file says {version.root_size}")
        if manifest is None and version is not None and version.inline is not None:
            with self._findings.guard(path):  # a version is readable from its version file alone
                manifest = Manifest.from_json(version.inline, path)
        if manifest is not None:
            self._check_entries(manifest, path)

    def _check_entries(self, manifest: Manifest, path: str) -> None:
        lines: list[tuple[str, str, str]] = []
        names: set[str] = set()
        last = ""
        for item in self._items(manifest.entries, f"{path} entries"):
            name = item.get("name")
            place = f"{path} entry {name!r}"
            with self._findings.guard(place):
                if not isinstance(name, str) or item.get("key") != name or not isinstance(item.get("kind"), str):
                    raise FormatError("an entry has a name, a key that equals it, and a kind")
                check_entry_name(name)
                if folded(name) in names or (name <= last and last):
                    raise FormatError("entries stand in the order of their names, which differ by more than case")
                names.add(folded(name))
                last = name
                lines.append((name, item["kind"], content_of_item(item)))
                self._check_entry(item, place)
        for wanted, where in self._wanted_tables:
            if wanted not in {name for name, kind, _ in lines if kind in ("table", "joined_table")}:
                self._findings.add(where, f"{wanted!r} is no table of the version", NotFoundError.kind)
        for wanted, where in self._wanted_sets.items():
            if wanted not in self._class_sets:
                self._findings.add(where, f"the class set {wanted} is no entry of the version", NotFoundError.kind)
        if self._whole and (found := content_of(manifest.type, manifest.metadata, lines)) != manifest.content:
            self._findings.add(path, f"its content digest is {manifest.content}, that of its entries {found}")

    def _items(self, listed: ItemList, place: str) -> Iterator[JsonObject]:
        """The items of an item list, leaf by leaf; what cannot be read is reported and left out."""
        yield from listed.items
        for leaf in listed.leaves:
            path = leaf_path(leaf.digest)
            items: list[JsonObject] = []
            whole = False
            with self._findings.guard(path):
                data = self._backend.read_or_none(path, limit=_MAX_LEAF_BYTES)
                if data is None:
                    raise NotFoundError(f"no such file; {place} has {leaf.count} items in it")
                self._findings.read(path, len(data), files=1)
                if (found := digest_of(data)) != leaf.digest:
                    raise CorruptError(f"the SHA-256 of the file is {found}")
                items = decode_leaf(data, leaf, path)
                told = (leaf.size, leaf.first, leaf.last)
                if (len(data), items[0]["key"], items[-1]["key"]) != told:
                    raise CorruptError(f"its size, first and last key are not the {told} of {place}")
                whole = True
            self._whole &= whole
            yield from items

    def _check_entry(self, item: JsonObject, place: str) -> None:
        kind = item["kind"]
        if kind == "table":
            self._check_table(item, place)
        elif kind == "classes":
            self._check_classes(item, place)
        elif kind == "file":
            self._check_place(place_of(item, place), str(item.get("digest")), place)
            self._compare_content(item, str(item.get("digest")), place)
        elif kind == "media":
            self._check_media(item, place)
        elif kind == "joined_table":
            self._check_joined(item, place)
        elif kind == "reference":
            self._check_references(item, place)

    def _compare_content(self, item: JsonObject, found: str | None, place: str) -> None:
        if item.get("content") != found:
            self._findings.add(place, f"its content digest is {item.get('content')}, that of what it holds {found}")

    def _check_references(self, item: JsonObject, place: str) -> None:
        """The list itself, and nothing that it points at."""
        listed = ReferenceList.from_json(item, place)
        whole, self._whole = self._whole, True
        files = self._items(listed.leaves, f"{place} leaves") if listed.leaves is not None else iter(())
        found = check_references(self._backend, self._findings, listed, files, place)
        if found is not None and self._whole:
            if found != listed.digest:
                self._findings.add(place, f"its digest is {listed.digest}, that of its lines {found}")
            self._compare_content(item, found, place)
        self._whole = whole

    def _check_joined(self, item: JsonObject, place: str) -> None:
        """The sides are there; what is wrong inside another version is told when that one is verified."""
        document = JoinDocument.from_json(item, place)
        self._compare_content(item, document.content, place)
        for target in targets_of(document):
            if target.digest is None:
                self._wanted_tables.append((target.path, place))
            elif self._backend.size(root_path(target.digest)) is None:
                self._findings.add(place, f"the version of its side {target} is gone", NotFoundError.kind)

    # Tables

    def _check_table(self, item: JsonObject, place: str) -> None:
        entry = TableEntry.from_json(item, place)
        objects = {str(one["key"]) for one in self._items(entry.objects, f"{place} objects")}
        self._check_files(objects)
        self._want_sets(entry.schema, place)
        cells = CellVerifier(self._blobs, self._findings, objects, place)
        parts = PartVerifier(self._backend, self._findings, entry, cells, place, self._helpers)
        whole, self._whole = self._whole, True
        parts.check_all(self._items(entry.parts, f"{place} parts"), lambda: self._whole)
        self._whole = whole
        for digest in parts.class_sets:
            self._wanted_sets.setdefault(digest, place)
        self._compare_content(item, entry.content, place)
        if item.get("key_digest") != entry.key_digest:
            self._findings.add(
                place, f"its key digest is {item.get('key_digest')}, that of its columns {entry.key_digest}"
            )

    def _check_files(self, uris: set[str]) -> None:
        """Read packs and single blobs, several at a time."""
        waiting = iter(sorted(uris - self._blobs.seen))
        while batch := list(islice(waiting, 64)):
            list(self._helpers.map(self._blobs.check_file, batch))

    def _want_sets(self, schema: Schema, place: str) -> None:
        for column in schema.columns:
            for node in walk(column):
                if isinstance(node.type, ClassType):
                    self._wanted_sets.setdefault(node.type.classes, place)
                elif isinstance(node.type, MediaType):
                    for digest in (node.type.classes, *(layer for _, layer in node.type.layers)):
                        if digest is not None:
                            self._wanted_sets.setdefault(digest, place)

    # Other entries

    def _check_classes(self, item: JsonObject, place: str) -> None:
        def read(where: Mapping[str, Any]) -> bytes:
            digest = str(item.get("digest"))
            self._check_place(where, digest, place)
            return BlobReader(self._backend).read_many([(where["uri"], where["offset"], where["size"], _raw(digest))])[
                0
            ]

        classes = read_classes(item, read, place)
        self._class_sets.add(classes.digest)
        self._compare_content(item, classes.digest, place)
        if item.get("size") != len(classes.encode()):
            self._findings.add(
                place, f"its document has {len(classes.encode())} bytes, the entry says {item.get('size')}"
            )

    def _check_media(self, item: JsonObject, place: str) -> None:
        schema, row = media_row(item, place)
        objects = {str(uri) for uri in item.get("objects", [])}
        self._check_files(objects)
        self._want_sets(schema, place)
        cells = CellVerifier(self._blobs, self._findings, objects, place)
        for column, array in zip(schema.columns, row, strict=True):
            cells.check(array, column.name, np.zeros(1, np.int64))
            if column.annotates is not None and column.annotates[1] == "classes" and array[0].is_valid:
                self._wanted_sets.setdefault(array[0].as_py(), place)
        self._compare_content(item, media_fields(str(item.get("media")), schema, row)[0], place)

    def _check_place(self, where: Mapping[str, Any], digest: str, place: str) -> None:
        uri, offset, size = where["uri"], where["offset"], where["size"]
        self._check_files({uri})
        self._blobs.check_ranges(
            uri, np.array([offset], np.int64), np.array([size], np.int64), np.frombuffer(_raw(digest), "V32"), [place]
        )


def _raw(digest: str) -> bytes:
    if not is_digest(digest):
        raise FormatError(f"{digest[:100]!r} is no digest")
    return bytes.fromhex(digest.removeprefix(PREFIX))
