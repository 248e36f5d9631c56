"""Manifests: the documents that say what one version holds. Values only; the storage floor reads and writes them.

The *root* is canonical JSON, and its SHA-256 is the version digest. It names every byte the version reaches, by digest:
parts, packs, single blobs, files. It holds no slot, parent, commit id, time or message, so equal contents are one root.
The *content digest* in it covers what a reader sees and nothing of how it is stored (spec/digests.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pyarrow as pa

from tableformat.digest import check_digest, digest_of, hex_of, is_digest, tree_digest
from tableformat.document import JsonObject, decode_document, encode_document
from tableformat.errors import FormatError, message
from tableformat.format.deletions import Deletions
from tableformat.format.documents import NOTHING, Fields, Requires, check_requires
from tableformat.format.item_list import ItemList
from tableformat.format.part import Layout
from tableformat.format.physical import schema_digest
from tableformat.format.schema import Schema

__all__ = [
    "RESERVED_KINDS",
    "Deletions",
    "Manifest",
    "Part",
    "PartFile",
    "TableEntry",
    "hex_part",
    "merged_needs",
    "needs_of",
]

RESERVED_KINDS: Final = frozenset({"view", "query", "selection"})
"""Kinds of entry that will come; nothing may use these words meanwhile."""
_XXH3: Final = re.compile("[0-9a-f]{16}")


def hex_part(digest: str) -> str:
    """The 64 hex digits of a `sha256:` digest."""
    return digest.removeprefix("sha256:")


@dataclass(frozen=True, slots=True)
class PartFile:
    """One Parquet file of a part."""

    digest: str
    """SHA-256 of the file, which is `data/<hex>.parquet`."""
    size: int
    """Its bytes."""
    footer_size: int
    """Bytes from the first of the footer to the end of the file."""
    footer_digest: str
    """Their SHA-256."""
    columns: tuple[int, ...] | None = None
    """Ids of the columns that are read from it; None: all that the part has."""
    schema: str | None = None
    """The digest of its columns as they stand in it (`schema_digest`); None where its writer did not say."""
    xxh3: str | None = None
    """XXH3-64 of the file as 16 hex digits, for readers that have read all of it; None where its writer did not say."""

    @property
    def path(self) -> str:
        """Where it lies under the root."""
        return f"data/{hex_part(self.digest)}.parquet"

    def to_json(self) -> JsonObject:
        value: JsonObject = {
            "columns": None if self.columns is None else list(self.columns),
            "digest": self.digest,
            "footer": {"digest": self.footer_digest, "size": self.footer_size},
            "size": self.size,
        }
        if self.schema is not None:
            value["schema"] = self.schema
        if self.xxh3 is not None:
            value["xxh3"] = self.xxh3
        return value

    @classmethod
    def from_json(cls, value: JsonObject) -> PartFile:
        """Read one of `files`; raises `KeyError`, `TypeError` or `ValueError` where it is malformed."""
        doing = "reading a part in a manifest"
        columns, schema, xxh3 = value["columns"], value.get("schema"), value.get("xxh3")
        file = cls(
            check_digest(value["digest"], doing),
            _size(value["size"]),
            _size(value["footer"]["size"]),
            check_digest(value["footer"]["digest"], doing),
            None if columns is None else tuple(_id(number) for number in _list(columns)),
            None if schema is None else check_digest(schema, doing),
            xxh3,
        )
        if file.footer_size > file.size:
            raise ValueError("a footer longer than its file")
        if xxh3 is not None and not (isinstance(xxh3, str) and _XXH3.fullmatch(xxh3)):
            raise ValueError(f"no XXH3-64: {xxh3!r}")
        return file


@dataclass(frozen=True, slots=True)
class Part:
    """A horizontal slice of a table: one item of the list of its parts."""

    rows: int
    """Stored rows."""
    bytes: int
    """Decoded bytes when it was written."""
    files: tuple[PartFile, ...]
    """One file with all columns, or several of equal length with some columns each."""
    values: Mapping[str, str]
    """Value digest of each column, by column id as text."""
    stats: Mapping[str, JsonObject] = field(default_factory=dict)
    """`min`, `max` (texts) and `nulls` of a column, by column id as text: conservative for the visible rows."""
    deletions: Deletions | None = None
    """The file of deleted row numbers beside it, or None."""

    @property
    def key(self) -> str:
        """What leaves are cut by: the digest of the first file."""
        return self.files[0].digest

    @property
    def visible_rows(self) -> int:
        """Stored rows without those that are deleted."""
        return self.rows if self.deletions is None else self.rows - self.deletions.rows

    @property
    def paths(self) -> list[str]:
        """Every file of it under the root: those of its columns, then that of its deletions."""
        return [file.path for file in self.files] + ([] if self.deletions is None else [self.deletions.path])

    @property
    def stored_bytes(self) -> int:
        """The bytes of all its files."""
        return sum(file.size for file in self.files) + (0 if self.deletions is None else self.deletions.size)

    def file_of(self, column_id: int) -> PartFile | None:
        """The file that holds a column; None where the part was written without it."""
        if str(column_id) not in self.values:
            return None
        return next((file for file in self.files if file.columns is None or column_id in file.columns), None)

    def to_json(self) -> JsonObject:
        return {
            "bytes": self.bytes,
            "deletions": None if self.deletions is None else self.deletions.to_json(),
            "files": [file.to_json() for file in self.files],
            "key": self.key,
            "rows": self.rows,
            "stats": {name: dict(stat) for name, stat in self.stats.items()},
            "values": dict(self.values),
        }

    @classmethod
    def from_json(cls, value: JsonObject, path: str) -> Part:
        """Read an item of the list of parts; raises `FormatError` naming `path` where it is malformed."""
        doing = "reading a part in a manifest"
        try:
            files = tuple(PartFile.from_json(item) for item in _list(value["files"]))
            rows, deletions = _size(value["rows"]), value["deletions"]
            part = cls(
                rows,
                _size(value["bytes"]),
                files,
                _object(value["values"]),
                _object(value["stats"]),
                None if deletions is None else Deletions.from_json(deletions, rows),
            )
            _check_files(part)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FormatError(message(doing, path=path, got=f"a malformed part: {error!r}"[:400])) from error
        return part


def _check_files(part: Part) -> None:
    """One file, or several of which each names its columns: no column twice, and every one that has a value digest."""
    if not part.files:
        raise ValueError("no files")
    for digest in part.values.values():
        check_digest(digest, "reading a part in a manifest")
    if len(part.files) == 1 and part.files[0].columns is None:
        return
    held = [number for file in part.files for number in file.columns or ()]
    if any(not file.columns for file in part.files) or len(held) != len(set(held)):
        raise ValueError("files of one part that do not name their columns, or name one twice")
    if {str(number) for number in held} != set(part.values):
        raise ValueError("the columns of the files are not those that have value digests")


_FEATURES: Final = ("column-files", "deletions", "field-ids")
_REASONS: Final = {
    "column-files": "columns of one part stand in several files",
    "deletions": "rows are deleted",
    "field-ids": "columns have older names, types or places in some parts, or are absent",
}


def needs_of(schema: Schema, parts: Iterable[Part]) -> tuple[bool, Requires]:
    """Whether any engine may read `parts` as they are as a table of `schema`, and the features that a reader needs if not.

    A file whose writer did not say what its columns are (`PartFile.schema`) is taken for an older one. Holds one part.
    """
    arrow = schema.arrow_schema()
    places = {column.id: place for place, column in enumerate(schema.columns)}
    known: dict[tuple[int, ...] | None, str] = {None: schema_digest(arrow)}
    found: set[str] = set()
    for part in parts:
        if part.deletions is not None:
            found.add("deletions")
        if part.files[0].columns is not None:
            found.add("column-files")
        held = 0
        for file in part.files:
            if file.columns not in known:
                here = sorted(places[number] for number in file.columns or () if number in places)
                known[file.columns] = schema_digest(pa.schema([arrow.field(place) for place in here]))
            if file.schema != known[file.columns]:
                found.add("field-ids")
            held += len(schema) if file.columns is None else len(set(file.columns) & places.keys())
        if held != len(schema):
            found.add("field-ids")
        if len(found) == len(_FEATURES):
            break
    return not found, Requires(tuple(sorted(found)))


def merged_needs(*requires: Requires) -> tuple[bool, Requires]:
    """`needs_of` of parts of which the needs are known already, as those of an entry that is appended to."""
    read = {name for one in requires for name in one.read}
    return not read & set(_FEATURES), Requires(
        tuple(sorted(read)), tuple(sorted({n for r in requires for n in r.write}))
    )


def _size(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r:.80} is not a count")
    return value


def _id(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**31:
        raise ValueError(f"{value!r:.80} is not the id of a column")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.80} is not a list")
    return value


def _object(value: Any) -> JsonObject:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r:.80} is not an object")
    return value


_TABLE_FIELDS: Final = frozenset(
    {
        "kind",
        "name",
        "key",
        "rows",
        "schema",
        "layout",
        "table_key",
        "sorted",
        "unique",
        "key_digest",
        "columns",
        "parts",
        "objects",
        "plain",
        "requires",
    }
)


@dataclass(frozen=True, slots=True)
class TableEntry:
    """A table as the manifest holds it."""

    rows: int
    schema: Schema
    layout: Layout
    table_key: tuple[str, ...] = ()
    """Names of the key's columns, in order; empty without a key."""
    sorted: bool = False
    """Whether the rows stand in strictly ascending order of the key."""
    unique: bool = True
    """Whether the key was proven unique."""
    columns: Mapping[str, JsonObject] = field(default_factory=dict)
    """By column id as text: `digest` of all its values, and `link`, the chain over the full blocks (spec/digests.md)."""
    parts: ItemList = field(default_factory=ItemList)
    objects: ItemList = field(default_factory=ItemList)
    """Packs and single blobs that its cells point at."""
    plain: bool = True
    """Whether any engine may read the list of its parts as it is."""
    requires: Requires = NOTHING
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Fields of later versions, carried."""

    @classmethod
    def empty(cls) -> TableEntry:
        """The entry of a table without columns or rows."""
        return cls(0, Schema(), Layout(256, 1))

    @property
    def why_not_plain(self) -> tuple[str, ...]:
        """What an engine that reads its parts as they are would get wrong; empty where `plain`."""
        if self.plain:
            return ()
        found = tuple(_REASONS[name] for name in _FEATURES if name in self.requires.read)
        return found or ("its writer does not say why",)

    @property
    def content(self) -> str:
        """The content digest of the table: its schema without ids, its key, and the values of its columns."""
        shape = self.schema.to_json()
        columns = [self.columns[str(column.id)]["digest"] for column in self.schema.columns]
        return tree_digest(
            "table", [digest_of(encode_document(_without_ids(shape))), *self.table_key, str(self.rows), *columns]
        )

    @property
    def key_digest(self) -> str | None:
        """The digest of the key sequence: two tables with the same one are aligned row by row. None without a key."""
        if not self.table_key:
            return None
        return tree_digest("key", [self.columns[str(self.schema[name].id)]["digest"] for name in self.table_key])

    def to_json(self) -> JsonObject:
        return {
            **self.extra,
            "columns": {name: dict(value) for name, value in self.columns.items()},
            "key_digest": self.key_digest,
            "kind": "table",
            "layout": self.layout.to_json(),
            "objects": self.objects.to_json(),
            "parts": self.parts.to_json(),
            "plain": self.plain,
            "requires": self.requires.to_json(),
            "rows": self.rows,
            "schema": self.schema.to_json(),
            "sorted": self.sorted,
            "table_key": list(self.table_key),
            "unique": self.unique,
        }

    @classmethod
    def from_json(cls, value: JsonObject, path: str) -> TableEntry:
        """Read the entry; unknown required features are refused by name, unknown fields kept."""
        requires = Fields({"format": 1, "requires": value.get("requires")}, path, None).requires()
        check_requires(requires, writing=False, path=path)
        try:
            entry = cls(
                rows=_size(value["rows"]),
                schema=Schema.from_json(value["schema"]),
                layout=Layout.from_json(value["layout"], path),
                table_key=tuple(str(name) for name in value["table_key"]),
                sorted=bool(value["sorted"]),
                unique=bool(value["unique"]),
                columns=value["columns"],
                parts=ItemList.from_json(value["parts"], path),
                objects=ItemList.from_json(value["objects"], path),
                plain=bool(value["plain"]),
                requires=requires,
                extra={name: item for name, item in value.items() if name not in _TABLE_FIELDS},
            )
            names = {column.name for column in entry.schema.columns}
            if not set(entry.table_key) <= names or not all(
                is_digest(entry.columns[str(column.id)]["digest"]) for column in entry.schema.columns
            ):
                raise ValueError("the key or the digests of the columns do not fit the schema")
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError(
                message("reading a table's entry", path=path, got=f"a malformed entry: {error!r}")
            ) from error
        return entry


def _without_ids(value: Any) -> Any:
    """A schema's JSON without field ids and defaults: they are history, and content is not."""
    if isinstance(value, dict):
        return {name: _without_ids(item) for name, item in value.items() if name not in ("id", "default", "retired")}
    if isinstance(value, list):
        return [_without_ids(item) for item in value]
    return value


@dataclass(frozen=True, slots=True)
class Manifest:
    """The root document of one version."""

    type: str
    """What the artifact is for, in the user's word: `dataset`, `model`, `predictions` …"""
    metadata: str
    """The user's metadata: the text of a JSON object."""
    content: str
    """The content digest of the version."""
    entries: ItemList
    """What it holds; each item has `name`, `kind`, and `key`, which is the name."""
    requires: Requires = NOTHING
    extra: Mapping[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The canonical bytes, whose SHA-256 is the version digest."""
        return encode_document(self.to_json())

    def to_json(self) -> JsonObject:
        """The root as a document."""
        return {
            **self.extra,
            "content": self.content,
            "entries": self.entries.to_json(),
            "format": 1,
            "kind": "manifest",
            "metadata": self.metadata,
            "requires": self.requires.to_json(),
            "type": self.type,
        }

    @classmethod
    def decode(cls, data: bytes, path: str) -> Manifest:
        """Read a root; raises `FormatError`, or `UnsupportedError` for what a newer library wrote."""
        return cls.from_json(decode_document(data, path, canonical=True), path)

    @classmethod
    def from_json(cls, value: JsonObject, path: str) -> Manifest:
        """Read a root that is already parsed, as version files hold it inline."""
        fields = Fields(value, path, "manifest")
        requires = fields.requires()
        check_requires(requires, writing=False, path=path)
        return cls(
            fields.text("type"),
            fields.text("metadata"),
            fields.digest("content"),
            ItemList.from_json(fields.take("entries"), path),
            requires,
            fields.rest(),
        )

    def with_entries(self, entries: ItemList) -> Manifest:
        """The same manifest with other entries."""
        return replace(self, entries=entries)


def content_of(type_: str, metadata: str, entries: Sequence[tuple[str, str, str]]) -> str:
    """The content digest of a version from (name, kind, content digest) of its entries, in any order."""
    lines = [type_, hex_of(metadata.encode("utf-8"))]
    for name, kind, content in sorted(entries):
        lines += [hex_of(name.encode("utf-8")), kind, content]
    return tree_digest("version", lines)
