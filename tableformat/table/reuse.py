"""Which of an earlier version's parts a table that is written again has already: found by the values, unread.

The manifest holds the value digest of each column of each part. So the columns of a part that was cut, digested as Arrow
data, are looked up among those of the earlier version: all equal, and its item is taken as it is; some equal, and the new
item reads them from the files that are there, beside one new file with the others. Nothing is decoded, compared or
compressed for it. Parts with deletions are not looked at: their digests are those of rows that are not all visible.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

import pyarrow as pa

from tableformat.format.item_list import ItemList
from tableformat.format.manifest import Part, PartFile, TableEntry
from tableformat.format.part import parse_footer
from tableformat.format.physical import schema_digest
from tableformat.format.schema import Schema
from tableformat.format.types import FIELD_ID
from tableformat.storage.interface import Backend
from tableformat.storage.manifests import iter_items, write_items

__all__ = [
    "Found",
    "Mixing",
    "Reuse",
    "Reused",
    "column_id",
    "kept_files",
    "kept_objects",
    "stored_files",
    "total_reused",
]

_MAX_ALIKE: Final = 8  # parts with equal values in one column that are told apart by the others
_MAX_FILES: Final = 8  # of one part: each costs its reader a request
_LEAST_BYTES: Final = 16 << 10  # decoded; a file of its own costs about 3 KB beside the values
_LEAST_SHARE: Final = 8  # columns that hold less than an eighth of a part are stored again
_PLAIN_SHARE: Final = 64
_PLAIN_BYTES: Final = 1 << 20
# A table that any engine reads is worth a little: up to a 64th of it, or 1 MiB, is stored again before columns are shared.
_WAITING_BYTES: Final = 32 << 20


@dataclass(frozen=True, slots=True)
class Reused:
    """What of a table stood in the store already, in the version that it was written over."""

    parts: int = 0
    """Parts of which no column was stored again."""
    rows: int = 0
    """Rows in them."""
    bytes: int = 0
    """Stored bytes of the files that were taken over, those beside a new column file included."""

    def plus(self, parts: int, rows: int, size: int) -> Reused:
        """This and more."""
        return Reused(self.parts + parts, self.rows + rows, self.bytes + size)


@dataclass(frozen=True, slots=True)
class Found:
    """A part of the earlier version that holds columns of a part that was cut."""

    part: Part
    columns: frozenset[int]
    """Ids of the columns whose values are equal."""
    is_whole: bool
    """Whether these are all columns that are wanted."""
    is_same: bool
    """Whether the part is, as it is, what would be written: one file with these columns in the same physical schema."""


class Mixing:
    """Decides, part after part, whether columns of earlier files are used beside new ones.

    That costs the table its plainness, and so it begins when it has spared a 64th of the earlier table's bytes, or 1 MiB
    where that is more; from then on, and in a table that is not plain as it is, every part shares what it can.
    """

    def __init__(self, before_bytes: int) -> None:
        self._limit = max(before_bytes // _PLAIN_SHARE, _PLAIN_BYTES)
        self._spared = self._waiting = 0
        self.is_on = False
        """Whether columns are shared: what waits is settled by it, and once true it stays so."""

    def judge(self, found: Found, size: int, spared: int) -> Literal["take", "store", "wait"]:
        """What to do with a part of `size` decoded bytes, of which `spared` are in columns that were found."""
        if found.is_same:
            return "take"
        if found.is_whole and len(found.part.files) > 1:
            self.is_on = True
        elif not found.is_whole and (spared < _LEAST_BYTES or spared * _LEAST_SHARE < size):
            return "store"
        if not self.is_on:
            self._spared += spared
            self._waiting += size
            self.is_on = self._spared > self._limit or self._waiting > _WAITING_BYTES
        return "take" if self.is_on else "wait"


class Reuse:
    """The parts of one earlier entry, by the value digests of their columns.

    Reads the list of parts with the first question, and holds about a kilobyte for each, as a manifest does.
    """

    def __init__(self, backend: Backend, before: TableEntry, schema: Schema) -> None:
        self._backend, self._before = backend, before
        self._fields = {column_id(field): _unnamed(field) for field in schema.arrow_schema()}
        self._digest = schema_digest(schema.arrow_schema())
        self._entry_digest = schema_digest(before.schema.arrow_schema())
        self._entry_fields = {column_id(field): _unnamed(field) for field in before.schema.arrow_schema()}
        self._has_own_types = "field-ids" in before.requires.read
        self._parts: list[Part] | None = None
        self._by_value: dict[tuple[str, str, int], list[int]] = {}
        self._file_fields: dict[str, dict[int, pa.Field]] = {}
        self._there: dict[str, bool] = {}

    @property
    def bytes(self) -> int:
        """Decoded bytes of all parts of the earlier version."""
        return sum(part.bytes for part in self._loaded())

    @property
    def files(self) -> set[str]:
        """The digests of the files of all parts of the earlier version that are looked at."""
        return {file.digest for part in self._loaded() for file in part.files}

    def find(self, rows: int, values: Mapping[str, str]) -> Found | None:
        """The part with most columns equal to those of a part of `rows` rows and these value digests, by column id."""
        parts = self._loaded()
        votes: Counter[int] = Counter()
        for name, digest in values.items():
            votes.update(self._by_value.get((name, digest, rows), ()))
        for index, _ in sorted(votes.items(), key=lambda vote: (-vote[1], vote[0]))[:_MAX_ALIKE]:
            found = self._compared(parts[index], values)
            if found.columns:
                return found
        return None

    def _loaded(self) -> list[Part]:
        if self._parts is None:
            items = iter_items(self._backend, self._before.parts)
            parts = (Part.from_json(item, "the parts of the version before") for item in items)
            self._parts = [self._told(part) for part in parts if part.deletions is None]
            for index, part in enumerate(self._parts):
                for name, digest in part.values.items():
                    alike = self._by_value.setdefault((name, digest, part.rows), [])
                    if len(alike) < _MAX_ALIKE:
                        alike.append(index)
        return self._parts

    def _told(self, part: Part) -> Part:
        """The part with the schema of its file, where its writer left it out because it is that of the entry."""
        [file, *others] = part.files
        if others or file.schema is not None or file.columns is not None or self._has_own_types:
            return part
        return replace(part, files=(replace(file, schema=self._entry_digest),))

    def _compared(self, part: Part, values: Mapping[str, str]) -> Found:
        equal = {int(name) for name, digest in values.items() if part.values.get(name) == digest}
        typed = {number for number in equal if self._is_typed(part, number)}
        is_whole = len(typed) == len(values)
        file = part.files[0]
        is_same = is_whole and file.schema == self._digest and file.columns is None and len(part.values) == len(values)
        if not is_whole and len(kept_files(part, typed)) >= _MAX_FILES:
            typed = set()
        return Found(part, frozenset(typed), is_whole, is_same)

    def _is_typed(self, part: Part, number: int) -> bool:
        """Whether the part's file holds the column in the type in which it would be written. Equal digests do not say so."""
        file = part.file_of(number)
        if file is None or not self._is_there(file):
            return False
        if file.schema == self._digest:
            return True
        held = self._entry_fields if not self._has_own_types else self._fields_of(file)
        return bool(number in held and held[number].equals(self._fields[number], check_metadata=True))

    def _is_there(self, file: PartFile) -> bool:
        """Whether the file has its length: asked where it costs no request, so that writing again heals what was lost."""
        if not self._backend.is_local:
            return True
        if file.digest not in self._there:
            self._there[file.digest] = self._backend.size(file.path) == file.size
        return self._there[file.digest]

    def _fields_of(self, file: PartFile) -> dict[int, pa.Field]:
        known = self._file_fields.get(file.schema or file.digest)
        if known is None:
            tail = self._backend.read(file.path, file.size - file.footer_size, file.footer_size)
            metadata = parse_footer(tail, file.path, size=file.footer_size, digest=file.footer_digest)
            fields = metadata.schema.to_arrow_schema()
            known = {column_id(field): _unnamed(field) for field in fields}
            self._file_fields[file.schema or file.digest] = known
        return known


def column_id(field: pa.Field) -> int:
    """The id of a column in a physical schema; 0 where it has none."""
    return int((field.metadata or {}).get(FIELD_ID, b"0"))


def _unnamed(field: pa.Field) -> pa.Field:
    return field.with_name("").with_metadata(None)


def kept_files(part: Part, columns: Iterable[int]) -> tuple[PartFile, ...]:
    """The files of a part from which these columns are read, each with those of them that it holds."""
    wanted: dict[PartFile, list[int]] = {}
    for number in sorted(columns):
        file = part.file_of(number)
        if file is not None:
            wanted.setdefault(file, []).append(number)
    return tuple(replace(file, columns=tuple(wanted[file])) for file in part.files if file in wanted)


def kept_objects(
    backend: Backend, before: TableEntry | None, reused: Reused, parts: int, objects: Iterable[str]
) -> ItemList:
    """The objects of a table of `parts` parts: those of its new cells, and those of the parts that it took over.

    Which cells a part has is not looked up: where some parts are new, all objects of the earlier version are listed on.
    """
    if before is None or not reused.bytes or not before.objects.count:
        return write_items(backend, ({"key": uri} for uri in objects))
    if reused.parts == parts == before.parts.count:
        return before.objects
    earlier = {str(one["key"]) for one in iter_items(backend, before.objects)}
    return write_items(backend, ({"key": uri} for uri in sorted(earlier | set(objects))))


def stored_files(backend: Backend, before: TableEntry) -> set[str]:
    """The digests of all files that the parts of an entry consist of."""
    return {file["digest"] for part in iter_items(backend, before.parts) for file in part["files"]}


def total_reused(all_reused: Iterable[Reused]) -> dict[str, int]:
    """What several tables took over, in the words of a version file's report."""
    total = Reused()
    for one in all_reused:
        total = total.plus(one.parts, one.rows, one.bytes)
    return {"parts_reused": total.parts, "rows_reused": total.rows, "bytes_reused": total.bytes}
