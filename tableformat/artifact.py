"""`Artifact`: one opened version. It names its bytes by digest, so it never changes under its holder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import pyarrow as pa

from tableformat.context import StoreContext, live_versions
from tableformat.digest import PREFIX
from tableformat.document import JsonObject
from tableformat.download import Downloaded, download
from tableformat.entries import checked_item, file_cell, media_row, read_classes
from tableformat.errors import FormatError, NotFoundError, UnsupportedError, message
from tableformat.format.limits import Limits
from tableformat.format.malformed import Telling, json_object
from tableformat.format.manifest import RESERVED_KINDS, Manifest, TableEntry
from tableformat.format.media import Classes, Media
from tableformat.format.media.cells import read_cells
from tableformat.format.reference import Reach
from tableformat.format.schema import Schema
from tableformat.format.types import MediaType
from tableformat.format.types.nearest import nearest
from tableformat.progress import Progress
from tableformat.storage.interface import Backend
from tableformat.storage.lazy_parts import load_parts
from tableformat.storage.manifests import find_item, iter_items, read_root
from tableformat.storage.names import Selector, parse_selection
from tableformat.storage.versions import Input, VersionFile
from tableformat.table.cell_reader import CellReader
from tableformat.table.join.stored import Target
from tableformat.table.joined_entry import open_joined
from tableformat.table.references import References, open_references
from tableformat.table.source import TableSource
from tableformat.table.table import Table

__all__ = ["Artifact", "manifest_of", "open_item", "spellings"]

FindClasses = Callable[[str], Classes | None]
_SUFFIX: Final = ".json"
_LEGACY_KINDS: Final = (
    ".table", ".joined-table", ".partitioned-table", ".classes", ".image-file", ".audio-file", ".video-file", ".html-file",
    ".object3D-file", ".molecule-file", ".plotly-file", ".bounding-boxes", ".mask",
)  # fmt: skip


class Artifact(Mapping[str, Any]):
    """One version of an artifact: a mapping of entry names to objects, opened when asked for.

    Made by `store[…]` and `Draft.commit`. Immutable, safe to share between threads, picklable (as the URL of the store and
    the version's digest, never credentials). Opening an entry reads its manifest lines; rows and bytes are read later.
    """

    def __init__(
        self,
        context: StoreContext,
        name: str,
        version: VersionFile | None,
        *,
        digest: str | None = None,
        alias: str | None = None,
    ) -> None:
        self._context = context
        self._name = name
        self._version = version
        self._alias = alias
        if version is not None:
            self._digest, self._manifest = version.root, manifest_of(context, version)
        else:
            assert digest is not None
            self._digest, self._manifest = digest, read_root(context.backend, digest)
        self._classes: dict[str, Classes] | None = None

    @classmethod
    def select(cls, context: StoreContext, name: str, selector: Selector) -> Artifact:
        """The version that a selector names. By digest it is one request, and the slot is not known."""
        if selector.digest is not None:
            return cls(context, name, None, digest=selector.digest)
        alias = selector.alias or ("latest" if selector.slot is None else None)
        return cls(context, name, context.resolve(name, selector), alias=alias)

    # What it is

    @property
    def name(self) -> str:
        """Name of the artifact."""
        return self._name

    @property
    def digest(self) -> str:
        """The version digest, `sha256:…`: it pins every stored byte."""
        return self._digest

    @property
    def content_digest(self) -> str:
        """The digest of what a reader sees: equal for equal content, however and whenever it was stored."""
        return self._manifest.content

    @property
    def slot(self) -> int | None:
        """The number of the version; None where it was opened by digest."""
        return None if self._version is None else self._version.slot

    @property
    def version(self) -> str | None:
        """The version as people write it, `v3`; None where it was opened by digest."""
        return None if self._version is None else f"v{self._version.slot}"

    @property
    def type(self) -> str:
        """What the artifact is for, in its author's word."""
        return self._manifest.type

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of the version, a copy."""
        return json_object(self._manifest.metadata, "reading the metadata of a version", self.address)

    @property
    def message(self) -> str:
        """What its author said about it; empty where it was opened by digest."""
        return "" if self._version is None else self._version.message

    @property
    def time(self) -> str | None:
        """When it was committed, by the clock of its writer: UTC, ISO 8601."""
        return None if self._version is None else self._version.time

    @property
    def producer(self) -> dict[str, Any]:
        """What made it; empty where it was opened by digest."""
        producer = "{}" if self._version is None else self._version.producer
        return json_object(producer, "reading what made a version", self.address)

    @property
    def report(self) -> dict[str, Any]:
        """What its commit stored: rows, bytes new and shared; empty where it was opened by digest."""
        return {} if self._version is None else dict(self._version.report)

    def inputs(self) -> tuple[Input, ...]:
        """The versions it was made from; empty where it was opened by digest."""
        return () if self._version is None else self._version.inputs

    def used_by(self) -> list[Artifact]:
        """The versions of this store that were made from this one. Reads the version files of every artifact."""
        return [
            Artifact(self._context, name, version)
            for name in self._context.artifact_names()
            for version in live_versions(self._context, name)
            if any(source.digest == self._digest and source.artifact == self._name for source in version.inputs)
        ]

    def input_name(self, root: str) -> str:
        """What an `Input` in the store at `root` calls this artifact: its name, or its address in another store."""
        return self._name if root == self._context.root else f"{self._context.root}#{self._name}"

    # What it holds

    def __iter__(self) -> Iterator[str]:
        return (item["name"] for item in self.items_raw())

    def __len__(self) -> int:
        return self._manifest.entries.count

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) is not None

    def __getitem__(self, name: str) -> Any:
        """The object that was added under `name`; raises `NotFoundError` with the nearest name, `UnsupportedError` for a
        kind of entry that this library does not open. Names with the suffixes of old (`train.table.json`) are found too."""
        item = self._find(name)
        if item is None:
            raise NotFoundError(
                message(
                    f"opening an entry of {self!r}",
                    expected="an entry",
                    got=repr(name)[:100],
                    todo=nearest(str(name), list(self)),
                )
            )
        return open_item(
            self._context,
            item,
            f"{self.address}/{item['name']}",
            self._class_set,
            artifact=f"{self._name}@{self._digest}",
            source_input=self._as_input(),
            open_name=self.__getitem__,
        )

    def get(self, name: str, default: Any = None) -> Any:
        """The object that was added under `name`, or `default` where there is none."""
        try:
            return self[name]
        except NotFoundError:
            return default

    def download(
        self, path: str | os.PathLike[str], *, references: bool = True, progress: Progress = True
    ) -> Downloaded:
        """Write all that it holds into the folder `path`: files, media and what references point at under their names,
        class sets as `<name>.json`, tables as `<name>.parquet` with their media inside.

        Digests are compared; what is there already, and right, is not written again, so a call that was interrupted is
        repeated. With `references=False` nothing outside of the store is read. Never writes outside of `path`. Raises
        `AccessRefusedError`, `ReferenceChangedError`, `CorruptError`; what was written before stays.
        """
        doing = f"downloading {self._name}{f':v{self.slot}' if self.slot is not None else ''}"
        return download(self, os.fspath(path), references=references, progress=progress, doing=doing)

    def kinds(self) -> dict[str, str]:
        """The kind of each entry, by name."""
        return {item["name"]: item["kind"] for item in self.items_raw()}

    def items_raw(self) -> Iterator[JsonObject]:
        """The entries as the manifest has them, in order of name; reads a leaf at a time. Raises `FormatError` for one without a
        name, a key that equals it, and a kind, `IllegalNameError` for a name that entries do not have."""
        return (checked_item(item, self.address) for item in iter_items(self._context.backend, self._manifest.entries))

    @property
    def address(self) -> str:
        """Its address: `<root>#<name>@sha256:…`."""
        return f"{self._context.root}#{self._name}@{self._digest}"

    @property
    def manifest(self) -> Manifest:
        """Its root document."""
        return self._manifest

    @property
    def context(self) -> StoreContext:
        """The opened store that it belongs to."""
        return self._context

    def _find(self, name: object) -> JsonObject | None:
        if not isinstance(name, str):
            return None
        for candidate in spellings(name):
            item = find_item(self._context.backend, self._manifest.entries, candidate)
            if item is not None:
                return checked_item(item, self.address)
        return None

    def _as_input(self) -> Input:
        return Input(self._name, self._digest, self.slot, self._alias)

    def _class_set(self, digest: str) -> Classes | None:
        """The class set with this digest among the entries."""
        if self._classes is None:
            self._classes = {}
            for item in self.items_raw():
                if item["kind"] == "classes" and isinstance(item.get("digest"), str):
                    self._classes[item["digest"]] = open_item(
                        self._context, item, f"{self.address}/{item['name']}", lambda _: None
                    )
        return self._classes.get(digest)

    # Python's protocols

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Artifact) and (self._name, self._digest, self._context.root) == (
            other._name,
            other._digest,
            other._context.root,
        )

    def __hash__(self) -> int:
        return hash((self._name, self._digest))

    def __reduce__(self) -> Any:
        return _reopen, (
            self._context.root,
            self._context.portable_options,
            self._context.allow,
            self._context.moves,
            self._name,
            self.slot,
            self._digest,
            self._context.limits,
        )

    def __repr__(self) -> str:
        version = "" if self._version is None else f":v{self._version.slot}"
        return (
            f"<Artifact {self._name}{version}@{self._digest[: len(PREFIX) + 12]}… · {self.type} · {len(self)} entries>"
        )


def _reopen(
    root: str,
    options: Any,
    allow: tuple[str, ...],
    moves: tuple[tuple[str, str], ...],
    name: str,
    slot: int | None,
    digest: str,
    limits: Limits,
) -> Artifact:
    context = StoreContext.open(root, options, allow, moves, limits=limits)
    version = context.versions(name).read(slot) if slot is not None else None
    if isinstance(version, VersionFile) and version.root == digest:
        return Artifact(context, name, version)
    return Artifact(context, name, None, digest=digest)


def manifest_of(context: StoreContext, version: VersionFile) -> Manifest:
    """The root of a version: from its version file where it stands inline, else one request."""
    if version.inline is not None:
        return Manifest.from_json(version.inline, f"{context.root}#v{version.slot}")
    return read_root(context.backend, version.root)


def spellings(name: str) -> Iterator[str]:
    """The name, and the name without the suffix that entries had in the system that this one follows."""
    yield name
    if name.endswith(_SUFFIX):
        stem = name[: -len(_SUFFIX)]
        for kind in _LEGACY_KINDS:
            if stem.endswith(kind) and stem != kind:
                yield stem[: -len(kind)]


def open_item(
    context: StoreContext,
    item: JsonObject,
    address: str,
    find_classes: FindClasses,
    *,
    artifact: str = "",
    source_input: Input | None = None,
    open_name: Callable[[str], Any] | None = None,
) -> Any:
    """The object behind an entry; `open_name` opens the others of its version, for joined tables. Raises `UnsupportedError` for a kind that this library does not open."""
    with Telling("opening an entry", address):
        return _opened(context, item, address, find_classes, artifact, source_input, open_name)


def _opened(
    context: StoreContext,
    item: JsonObject,
    address: str,
    find_classes: FindClasses,
    artifact: str,
    source_input: Input | None,
    open_name: Callable[[str], Any] | None,
) -> Any:
    kind = item["kind"]

    def reader() -> CellReader:
        """Reads the cells of an entry that is no table."""
        source = source_of(
            context,
            TableEntry.empty(),
            address,
            find_classes,
            artifact=artifact,
            name=item["name"],
            source_input=source_input,
        )
        return CellReader(source)

    if kind == "table":
        entry = TableEntry.from_json(item, address)
        return Table(
            source_of(
                context, entry, address, find_classes, artifact=artifact, name=item["name"], source_input=source_input
            )
        )
    if kind == "joined_table" and open_name is not None:
        return open_joined(item, address, lambda target: _open_target(context, target, open_name))
    if kind == "classes":
        return read_classes(item, lambda place: _read_place(context, place, item), address)
    if kind == "file":
        cell = file_cell(item, address)
        return Media.from_cell("file", cell, reader())
    if kind == "reference":
        return open_references(item, address, context.backend, reader())
    if kind == "media":
        schema, row = media_row(item, address)
        return _media_of(schema, row, reader())
    known = "a kind that is reserved for later" if kind in RESERVED_KINDS else "an unknown kind"
    raise UnsupportedError(
        message(
            "opening an entry",
            path=address,
            expected="table, joined_table, classes, media, file or reference",
            got=f"{known}: {kind!r}",
            todo="upgrade tableformat",
        )
    )


def _open_target(context: StoreContext, target: Target, open_name: Callable[[str], Any]) -> Any:
    """A side of a joined table: an entry of the same version, or of a version that is named by its digest."""
    if target.artifact is None:
        return open_name(target.path)
    return Artifact(context, target.artifact, None, digest=target.digest)[target.path]


def _media_of(schema: Schema, row: list[pa.Array], reader: CellReader) -> Any:
    """The media object of a row of one: its cell, and its annotations by their roles."""
    main = schema.columns[0]
    if not isinstance(main.type, MediaType):
        raise FormatError(message("reading a media entry", expected="a cell in its first column", got=str(main.type)))
    said = {
        column.annotates[1]: array
        for column, array in zip(schema.columns, row, strict=True)
        if column.annotates is not None
    }
    [media] = read_cells(
        main.type.media,
        row[0],
        reader,
        boxes=said.get("boxes"),
        masks=said.get("masks"),
        captions=said.get("caption"),
        classes=said.get("classes"),
    )
    return media


def _read_place(context: StoreContext, place: Mapping[str, Any], item: JsonObject) -> bytes:
    digest = bytes.fromhex(str(item.get("digest", "")).removeprefix(PREFIX))
    return context.blobs.read_many([(place["uri"], int(place["offset"]), int(place["size"]), digest)])[0]


def source_of(
    context: StoreContext,
    entry: TableEntry,
    address: str,
    find_classes: FindClasses,
    *,
    artifact: str = "",
    name: str = "",
    source_input: Input | None = None,
) -> TableSource:
    """What a table of this store reads from."""

    def load_classes(digest: str) -> Classes:
        classes = find_classes(digest)
        if classes is None:
            raise NotFoundError(
                message(
                    "looking up a class set",
                    path=address,
                    expected=f"an entry of classes with {digest}",
                    got="none in the version",
                )
            )
        return classes

    return TableSource(
        backend=context.backend,
        entry=entry,
        load_parts=lambda: load_parts(context.backend, entry, address),
        blobs=context.blobs,
        address=address,
        artifact=artifact,
        name=name,
        allow=context.allow,
        open_url=context.open_url,
        load_classes=load_classes,
        outside=context.outside,
        opener=reopen_source if artifact else None,
        input=source_input,
        limits=context.limits,
    )


def reopen_source(backend: Backend, artifact: str, name: str, reach: Reach) -> TableSource:
    """The source of a table, or of single media, that was pickled."""
    context = StoreContext(backend, None, reach.allow, reach.options, reach.moves, reach.limits)
    artifact_name, selector = parse_selection(artifact)
    found = Artifact.select(context, artifact_name, selector)[name]
    if isinstance(found, Media) and found.cell is not None and isinstance(found.cell.reader, CellReader):
        return found.cell.reader.source
    if not isinstance(found, Table | References):
        raise FormatError(
            message(
                "opening a pickled table",
                path=f"{backend.root}#{artifact}/{name}",
                expected="a table or media",
                got=type(found).__name__,
            )
        )
    return found.source
