"""Parts opened and read: footers against their digests in the manifest, columns against the entry, pages against their
checksums, and no more memory than a limit however large the numbers in a footer are.

A part whose one file has exactly the columns of the table is read as it is. In others columns are found by field id,
wherever they stand, and cast to the type that the table has now.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from tableformat.errors import CorruptError, FormatError, LimitError, NotFoundError, TableformatError, message
from tableformat.format.bound import BoundsOf, Leaf
from tableformat.format.bounds import UNKNOWN, Bounds, bounds_of_part
from tableformat.format.file_columns import FileColumns, as_widened, default_bounds
from tableformat.format.limits import Limits
from tableformat.format.manifest import Part, PartFile
from tableformat.format.pages import ReadAt, chunk_start, iter_pages, text_bounds
from tableformat.format.part import parse_footer, split_footer
from tableformat.format.physical import schema_digest
from tableformat.format.raw_lists import read_raw
from tableformat.format.schema import Schema
from tableformat.format.texts import check_texts, has_texts
from tableformat.format.types import Field
from tableformat.storage.interface import Backend
from tableformat.storage.moved import why_gone
from tableformat.table.batches import rows_only
from tableformat.table.deleted_rows import DeletedRows, load_deletions
from tableformat.table.open_part import OpenFile, OpenPart, fields_of, group_starts, unit_starts
from tableformat.table.range_file import RangeFile
from tableformat.table.selection import Positions
from tableformat.table.whole_file import WHOLE_BYTES, RangedFile, WholeFile, open_file, read_whole

__all__ = ["PartReader"]

_FOOTERS: Final = 256
_FOOTER_BYTES: Final = 32 << 20  # of footers kept, as they stand in files
_TAIL_BYTES: Final = 64 << 10  # the first guess at the footer of a file that no manifest describes
_DELETED_BYTES: Final = 32 << 20
_OLDER: Final = 16  # physical schemas that are kept
_DIGESTS: Final = 1024


class PartReader:
    """Opens and reads the parts of one table. Holds the parsed footers of the last parts and up to 32 MiB of deleted rows; safe
    from many threads."""

    def __init__(
        self,
        backend: Backend,
        schema: Schema,
        limits: Limits,
        physical: pa.Schema | None = None,
        *,
        is_plain: bool = True,
    ) -> None:
        """`physical` is the schema of bare files, whose columns are then cast; `is_plain` is what the entry says of its parts."""
        storage = schema.arrow_schema()
        self._backend = backend
        self._schema = schema
        self._storage = storage
        self._target = storage if physical is not None and not physical.equals(storage, check_metadata=False) else None
        self._limits = limits
        self._is_plain = is_plain
        self._own = FileColumns(physical or storage, schema)
        self._texts = frozenset(field.name for field in storage if has_texts(field.type))
        self._own_digest = "" if is_plain else schema_digest(storage)
        self._footers: OrderedDict[str, tuple[pq.FileMetaData, Positions]] = OrderedDict()
        self._footer_bytes = 0
        self._deleted: OrderedDict[str, DeletedRows] = OrderedDict()
        self._deleted_bytes = 0
        self._proven: tuple[Any, Any] | None = None
        self._older: list[tuple[Any, Any, FileColumns]] = []
        self._by_digest: dict[str, FileColumns] = {}
        self._uncoded: set[int] = set()  # leaves that were seen to have text outside of their dictionary
        self._lock = threading.Lock()

    # -- parts

    def open(self, part: Part, columns: Sequence[str], *, whole: bool = False, coded: Collection[str] = ()) -> OpenPart:
        """A part for some columns. Reads the footers of the files that hold them, and which rows are deleted; with `whole`, which
        says that all rows will be read, a small file is read in one go, and columns of text in `coded` may come as a dictionary and numbers of it.

        Raises `CorruptError` where footers, rows or columns are not those of the manifest.
        """
        names = list(dict.fromkeys(columns))
        absent: dict[str, Field] = {}
        if self._is_own(part):
            file = part.files[0]
            read = self._read_whole(part, file, coded) if whole and self._is_small(file, names) else None
            metadata, starts = self._footer(part, file)
            files = [OpenFile(file.path, file.size, metadata, starts, self._own, names)]
            files[0].whole = read
        else:
            files = self._open_files(part, names, absent)
        deleted = None if part.deletions is None else self._deleted_of(part)
        return OpenPart(
            part, files, absent, deleted, self._storage, self._limits.row_group_bytes, self.read_groups,
            unit_starts(files, part.rows),
        )  # fmt: skip

    def _is_own(self, part: Part) -> bool:
        """Whether the one file of a part has exactly the columns of the table, as the manifest says."""
        if len(part.files) > 1 or part.files[0].columns is not None:
            return False
        return self._is_plain or part.files[0].schema == self._own_digest

    def _open_files(self, part: Part, names: list[str], absent: dict[str, Field]) -> list[OpenFile]:
        chosen: dict[PartFile, list[str]] = {}
        for name in names:
            column = self._schema[name]
            file = part.file_of(column.id or 0)
            if file is None:
                absent[name] = column
            else:
                chosen.setdefault(file, []).append(name)
        self._read_footers([(part, file) for file in chosen])
        files = []
        for file, held in chosen.items():
            metadata, starts = self._footer(part, file)
            columns = self._columns_of(metadata, file)
            opened = OpenFile(file.path, file.size, metadata, starts, columns, held)
            opened.places = {name: columns.place(name, file.path) for name in held}
            files.append(opened)
        return files

    def part_bounds(self, part: Part) -> BoundsOf:
        """What the manifest tells of the columns of a part; nothing of fields below them. May read a footer, of the first file
        that has the physical schema."""

        def bounds_of(leaf: Leaf) -> Bounds:
            if len(leaf.path) > 1:
                return UNKNOWN
            if self._is_own(part):
                return bounds_of_part(part.stats, leaf.column_id, leaf.storage, part.rows)
            file = part.file_of(leaf.column_id or 0)
            if file is None:
                return default_bounds(self._schema[leaf.path[0]], part.rows)
            storage = leaf.storage
            if pa.types.is_temporal(storage) and not pa.types.is_date(
                storage
            ):  # text that counts units, of which type?
                storage = self.columns_of(part, file).place(leaf.path[0], file.path).storage
            bounds = bounds_of_part(part.stats, leaf.column_id, storage, part.rows)
            return bounds if as_widened(storage, leaf.storage) else UNKNOWN

        return bounds_of

    def columns_of(self, part: Part, file: PartFile) -> FileColumns:
        """Where the columns of the table stand in files with the physical schema of `file`. Reads the footer of the first."""
        if (found := self._by_digest.get(file.schema or "")) is not None:
            return found
        return self._columns_of(self._footer(part, file)[0], file)

    def _deleted_of(self, part: Part) -> DeletedRows:
        deletions = part.deletions
        assert deletions is not None
        key = f"{deletions.path} {deletions.rows} {part.rows}"
        with self._lock:
            if (found := self._deleted.get(key)) is not None:
                self._deleted.move_to_end(key)
                return found
        rows = load_deletions(self._backend, part)
        assert rows is not None
        deleted = DeletedRows(rows)
        with self._lock:
            if key not in self._deleted:
                self._deleted[key] = deleted
                self._deleted_bytes += deleted.nbytes
            while len(self._deleted) > 1 and self._deleted_bytes > _DELETED_BYTES:
                self._deleted_bytes -= self._deleted.popitem(last=False)[1].nbytes
        return deleted

    # -- footers

    def read_footers(self, parts: Sequence[Part], columns: Sequence[str]) -> None:
        """The footers of the files of several parts that hold some columns, those that are not held, in one go."""
        ids = [self._schema[name].id or 0 for name in columns]
        self._read_footers(
            [
                (part, file)
                for part in parts
                for file in (part.files if self._is_own(part) else {part.file_of(number): None for number in ids})
                if file is not None
            ]
        )

    def _read_footers(self, files: Sequence[tuple[Part, PartFile]]) -> None:
        """The footers of several files, those that are not held, in one go."""
        missing = [(part, file) for part, file in files if file.footer_digest and file.path not in self._footers]
        if len(missing) < 2:
            return
        try:
            tails = self._backend.read_ranges([(f.path, f.size - f.footer_size, f.footer_size) for _, f in missing])
        except NotFoundError:  # which, and why, is found out where they are read one by one
            return
        for (part, file), tail in zip(missing, tails, strict=True):
            self._keep_footer(
                part, file, parse_footer(tail, file.path, size=file.footer_size, digest=file.footer_digest)
            )

    def _footer(self, part: Part, file: PartFile) -> tuple[pq.FileMetaData, Positions]:
        """The checked footer of a file, and the first row of each of its row groups with the number of all at the end."""
        with self._lock:
            if (found := self._footers.get(file.path)) is not None:
                self._footers.move_to_end(file.path)
                return found
        return self._keep_footer(part, file, self._read_footer(file))

    def _keep_footer(self, part: Part, file: PartFile, metadata: pq.FileMetaData) -> tuple[pq.FileMetaData, Positions]:
        if metadata.num_rows != part.rows:
            raise CorruptError(
                message("opening a part", path=file.path, expected=f"{part.rows} rows, as the manifest says",
                        got=metadata.num_rows)
            )  # fmt: skip
        if self._is_own(part):
            self._check_schema(metadata, file.path)
        made = metadata, group_starts(metadata)
        with self._lock:
            if file.path not in self._footers:
                self._footers[file.path] = made
                self._footer_bytes += metadata.serialized_size
            while len(self._footers) > 1 and (len(self._footers) > _FOOTERS or self._footer_bytes > _FOOTER_BYTES):
                self._footer_bytes -= self._footers.popitem(last=False)[1][0].serialized_size
        return made

    def _is_small(self, file: PartFile, names: Sequence[str]) -> bool:
        """Whether a file of this machine is small, and most of what it holds is asked for."""
        if file.size > WHOLE_BYTES or not file.footer_digest or not self._backend.is_local:
            return False
        if len(names) == len(self._own.leaves.of_column):
            return True
        widths = self._own.leaves.widths
        asked = sum(widths[number] or 8 for number in self._own.leaves.of_columns(names))
        return 2 * asked >= sum(width or 8 for width in widths)

    def _read_whole(self, part: Part, file: PartFile, coded: Collection[str]) -> WholeFile:
        with self._lock:
            known = self._footers.get(file.path)
        try:
            read = read_whole(self._backend, file, known[0] if known else None, self._coded(part, coded))
        except NotFoundError as error:
            raise why_gone(self._backend, file.path, error) from error
        if known is None:
            self._keep_footer(part, file, read.opened.metadata)
        return read

    def _coded(self, part: Part, names: Collection[str]) -> list[str]:
        """Those of some columns of text that had all text in dictionaries so far. To read others so would be to make a dictionary."""
        if part.deletions is not None:
            return []
        leaves = self._own.leaves.of_column
        return [name for name in names if "." not in name and leaves[name][0] not in self._uncoded]

    def _read_footer(self, file: PartFile) -> pq.FileMetaData:
        if file.footer_digest:
            try:
                tail = self._backend.read(file.path, file.size - file.footer_size, file.footer_size)
            except NotFoundError as error:
                raise why_gone(self._backend, file.path, error) from error
            return parse_footer(tail, file.path, size=file.footer_size, digest=file.footer_digest)
        # a bare file
        tail = self._backend.read(file.path, max(0, file.size - _TAIL_BYTES), min(file.size, _TAIL_BYTES))
        length = split_footer(tail, file.path)
        if length > len(tail):
            tail = self._backend.read(file.path, max(0, file.size - length), min(file.size, length))
        return parse_footer(tail[-length:], file.path)

    def _check_schema(self, metadata: pq.FileMetaData, path: str) -> None:
        """Compare the file's columns with the entry's. Parts of one table are equal, so the first proves the others."""
        arrow_text = (metadata.metadata or {}).get(b"ARROW:schema")
        parquet = metadata.schema
        proven = self._proven
        if proven is not None and proven[1] == arrow_text and proven[0].equals(parquet):
            return
        found, expected = _arrow_schema(metadata, path), self._own.physical
        if not found.equals(expected, check_metadata=False):
            raise CorruptError(
                message("opening a part", path=path, expected=f"the columns of the table, {_shown(expected, found)}",
                        got=_shown(found, expected), todo="verify the store; of bare files, read those of one schema together")
            )  # fmt: skip
        self._proven = (parquet, arrow_text)

    def _columns_of(self, metadata: pq.FileMetaData, file: PartFile) -> FileColumns:
        """Where the columns of the table stand in an older file, as its own footer tells; files alike share what is found."""
        arrow_text = (metadata.metadata or {}).get(b"ARROW:schema")
        parquet = metadata.schema
        for known, text, columns in self._older:
            if text == arrow_text and known.equals(parquet):
                return columns
        columns = FileColumns(_arrow_schema(metadata, file.path), self._schema)
        with self._lock:
            self._older = [(parquet, arrow_text, columns), *self._older[: _OLDER - 1]]
            if file.schema is not None and len(self._by_digest) < _DIGESTS:
                self._by_digest[file.schema] = columns
        return columns

    # -- rows

    def fetch(
        self, file: OpenFile, groups: Sequence[int], names: Sequence[str], whole: tuple[int, int] | None = None
    ) -> RangeFile | None:
        """The bytes of some row groups of a file that is not local, for `read_groups`: with `whole`, (offset, length), that range
        in one request and not the chunks. None where there are none to fetch."""
        leaves = file.leaf_numbers(names)
        if not leaves or self._backend.local_path(file.path) is not None:
            return None
        ranges = _chunk_ranges(file.metadata, groups, leaves)
        if (total := sum(length for _, length in ranges)) > len(groups) * self._limits.row_group_bytes:
            raise _too_large(file.path, groups[0], self._limits.row_group_bytes, f"{total} stored bytes")
        return RangeFile.fetch(self._backend, file.path, file.size, ranges if whole is None else [whole])

    def read_groups(
        self, file: OpenFile, groups: Sequence[int], names: Sequence[str], threads: bool, held: RangeFile | None = None
    ) -> list[pa.RecordBatch]:
        """The row groups `groups` of a file, ascending, with the columns `names` in this order, as few batches as may be; from the
        bytes that `fetch` brought, where they are given.

        Verifies the checksum of every page. Raises `CorruptError` where the file is damaged, `LimitError` where a row
        group asks for more than `Limits.row_group_bytes`.
        """
        metadata, path = file.metadata, file.path
        leaves = file.leaf_numbers(names)
        if not leaves:
            rows = sum(metadata.row_group(group).num_rows for group in groups)
            return [rows_only(rows)] if rows else []
        batches: list[pa.RecordBatch]
        try:
            source = file.whole or self._opened(file, groups, names, held)
            pieces = self._bounded_rows(file, groups, leaves, source.read_at)
            if pieces is None:
                batches = _decoded(file, source, groups, leaves, threads)
            else:
                batches = list(self._read_pieces(source.as_text(), groups, leaves, pieces, path))
            if isinstance(source, RangedFile) and isinstance(source.source, pa.OSFile):
                file.idle.append(source)
        except TableformatError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise CorruptError(
                message("reading a part", path=path, got=str(error)[:300], todo="verify the store")
            ) from error
        is_own = not file.places and self._target is None
        self._check_texts(batches, [name for name in names if name in self._texts] if is_own else None, path)
        found = sum(batch.num_rows for batch in batches)
        wanted = sum(metadata.row_group(group).num_rows for group in groups)
        if found != wanted:
            raise CorruptError(
                message("reading a part", path=path, expected=f"{wanted} rows in row groups {list(groups)}", got=found)
            )
        if file.places:
            return self._as_table(file, batches, names)
        if batches and batches[0].schema.names != list(names):
            batches = [batch.select(list(names)) for batch in batches]
        if self._target is not None:
            batches = [_cast(batch, self._target, path) for batch in batches]
        return batches

    def _as_table(self, file: OpenFile, batches: list[pa.RecordBatch], names: Sequence[str]) -> list[pa.RecordBatch]:
        """Batches with the columns of an older file, by the names and in the types of the table."""
        places = [file.places[name] for name in names]
        order = {position: index for index, position in enumerate(sorted(place.position for place in places))}
        schema = fields_of(self._storage, names)
        return [
            pa.RecordBatch.from_arrays(
                [place.read(batch.column(order[place.position]), file.path) for place in places], schema=schema
            )
            for batch in batches
        ]

    @staticmethod
    def _check_texts(batches: Sequence[pa.RecordBatch], names: Sequence[str] | None, path: str) -> None:
        """Pages say that bytes are text; engines that are given them as text do not look again. `names`: the columns that have texts."""
        for batch in batches:
            for name in batch.schema.names if names is None else names:
                try:
                    check_texts(batch.column(name))
                except ValueError as error:
                    raise CorruptError(
                        message(
                            "reading a part",
                            path=f"{path}, column {name!r}",
                            expected="text in UTF-8",
                            got=str(error)[:200],
                        )
                    ) from error

    def _opened(
        self, file: OpenFile, groups: Sequence[int], names: Sequence[str], held: RangeFile | None
    ) -> RangedFile:
        """The file; of a remote one the chunks that will be read are fetched now."""
        local = self._backend.local_path(file.path)
        if local is None:
            source = pa.PythonFile(held or self.fetch(file, groups, names), "r")
        else:
            try:
                return file.idle.pop()
            except IndexError:
                source = pa.OSFile(local)
        return RangedFile(source, open_file(source, file.metadata))

    def _bounded_rows(self, file: OpenFile, groups: Sequence[int], leaves: Sequence[int], read: ReadAt) -> int | None:
        """How many rows may be decoded at a time so that the limit holds whatever pages say; None: all of them.

        Text under a dictionary or prefix coding can be far longer than its pages: each value is as long as the dictionary or the whole
        chunk at most, which is what the headers of its pages say and not what the footer does. Fixed widths tell their size.
        """
        limit = self._limits.row_group_bytes
        metadata, widths = file.metadata, file.columns.leaves.widths
        least: int | None = None
        for group in groups:
            row_group = metadata.row_group(group)
            total = 0
            for number in leaves:
                chunk = row_group.column(number)
                size, values, longest = chunk.total_uncompressed_size, chunk.num_values, 0
                if not widths[number]:
                    told, longest = self._told_by_pages(file, number, chunk, read)
                    size = max(size, told)
                total += max(size, values * (widths[number] or 4))
                if size + longest * values > limit and longest:
                    rows = max(1, int(limit * max(row_group.num_rows, 1) / max(values, 1) / longest))
                    least = rows if least is None else min(least, rows)
            if total > limit:
                raise _too_large(file.path, group, limit, total)
        return least

    def _told_by_pages(self, file: OpenFile, leaf: int, chunk: Any, read: ReadAt) -> tuple[int, int]:
        """Decoded bytes of the pages of a chunk, and the longest that a value can be of those that may stand in many rows."""
        if not chunk.num_values:  # no page of it is read
            return 0, 0
        try:
            pages = list(iter_pages(read, chunk_start(chunk), chunk.total_compressed_size, file.path))
            if file.columns is self._own and any(page.coding != "dictionary" for page in pages):
                self._uncoded.add(leaf)
            return text_bounds(pages)
        except CorruptError:
            if self._own.physical is not self._storage:  # bare files: some writers count chunks too short
                return 0, chunk.total_uncompressed_size
            raise

    def _read_pieces(self, file: pq.ParquetFile, groups: Sequence[int], leaves: list[int], rows: int, path: str) -> Any:
        for group in groups:
            held = 0
            pieces = []
            for batch in file.reader.iter_batches(rows, [group], column_indices=leaves, use_threads=False):
                held += batch.nbytes
                if held > self._limits.row_group_bytes:
                    raise _too_large(path, group, self._limits.row_group_bytes, f"more than {held}")
                pieces.append(batch)
            yield from pa.Table.from_batches(pieces).combine_chunks().to_batches() if len(pieces) > 1 else pieces


def _decoded(
    file: OpenFile, source: WholeFile | RangedFile, groups: Sequence[int], leaves: Sequence[int], threads: bool
) -> list[pa.RecordBatch]:
    """Some leaves of row groups, all of the columns that they belong to, in the order of the file."""
    columns = file.columns
    raw: dict[int, pa.Array] = {}
    for leaf in leaves:
        if (column := columns.raw_lists.get(leaf)) is not None:
            numbers = read_raw(column, file.metadata, groups, source.view_at, file.path, is_verified=source.is_verified)
            if numbers is not None:
                raw[leaf] = column.array(numbers, sum(file.metadata.row_group(group).num_rows for group in groups))
    others = [leaf for leaf in leaves if leaf not in raw] if raw else leaves
    batches: list[pa.RecordBatch] = []
    if others:
        reader = source.opened.reader
        batches = reader.read_row_groups(list(groups), column_indices=others, use_threads=threads).to_batches()
    return (
        _with_columns(batches, {columns.raw_lists[leaf].name: array for leaf, array in raw.items()}, columns)
        if raw
        else batches
    )


def _with_columns(
    batches: list[pa.RecordBatch], added: dict[str, pa.Array], columns: FileColumns
) -> list[pa.RecordBatch]:
    """The batches with more columns, of as many rows as they have together, in the order of the file."""
    schema = columns.fields_of((*added, *(batches[0].schema.names if batches else ())))
    if not batches:
        return [pa.RecordBatch.from_arrays([added[name] for name in schema.names], schema=schema)]
    for field in batches[0].schema:
        if pa.types.is_dictionary(field.type):
            schema = schema.set(schema.get_field_index(field.name), field)
    found, at = [], 0
    for batch in batches:
        count = batch.num_rows
        whole = at == 0 and len(batches) == 1
        arrays = [
            (added[name] if whole else added[name].slice(at, count)) if name in added else batch.column(name)
            for name in schema.names
        ]
        found.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
        at += count
    return found


def _arrow_schema(metadata: pq.FileMetaData, path: str) -> pa.Schema:
    """The columns of a file in Arrow's types, with their field ids."""
    try:
        return metadata.schema.to_arrow_schema()
    except (pa.ArrowException, OSError) as error:
        raise CorruptError(
            message("opening a part", path=path, expected="a schema of Arrow types", got=str(error)[:300])
        ) from error


def _cast(batch: pa.RecordBatch, target: pa.Schema, path: str) -> pa.RecordBatch:
    """The columns of a bare file in the storage types of the format."""
    arrays = []
    fields = [target.field(name) for name in batch.schema.names]
    for array, field in zip(batch.columns, fields, strict=True):
        plain = array.storage if isinstance(array, pa.ExtensionArray) else array
        if pa.types.is_duration(plain.type):
            plain = plain.view(pa.int64())
        try:
            arrays.append(plain if plain.type == field.type else plain.cast(field.type))
        except (pa.ArrowException, ValueError) as error:
            raise FormatError(
                message(
                    "reading a Parquet file",
                    path=f"{path}, column {field.name!r}",
                    expected=field.type,
                    got=str(error)[:200],
                )
            ) from error
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _too_large(path: str, group: int, limit: int, got: object) -> LimitError:
    return LimitError(
        message("reading a part", path=f"{path}, row group {group}", expected=f"at most {limit} decoded bytes", got=got,
                todo="if you trust it, open with limits=Limits(row_group_bytes=…)")
    )  # fmt: skip


def _chunk_ranges(metadata: pq.FileMetaData, groups: Sequence[int], leaves: Sequence[int]) -> list[tuple[int, int]]:
    """(offset, length) of the column chunks, dictionaries included."""
    ranges = []
    for group in groups:
        row_group = metadata.row_group(group)
        chunks = [row_group.column(number) for number in leaves]
        ranges += [(chunk_start(chunk), chunk.total_compressed_size) for chunk in chunks]
    return ranges


def _shown(schema: pa.Schema, other: pa.Schema) -> str:
    """The columns in which a schema differs from another, as text."""
    theirs = {field.name: field for field in other}
    fields = [
        f"{field.name}: {field.type}"
        for field in schema
        if field.name not in theirs or not field.equals(theirs[field.name])
    ]
    if not fields:
        return f"{', '.join(schema.names)[:200]} in this order"
    return ", ".join(fields)[:300]
