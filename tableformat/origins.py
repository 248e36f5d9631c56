"""Where owned media came from: the columns `<column>_origin` that owning leaves beside a column, looked up by digest."""

from __future__ import annotations

from typing import Final

from tableformat.context import StoreContext
from tableformat.errors import TableformatError
from tableformat.format.cells import fields_of, is_cell
from tableformat.format.manifest import Part, TableEntry
from tableformat.storage.collect.stored_cells import iter_entries, iter_live, iter_part_rows
from tableformat.storage.manifests import iter_items
from tableformat.storage.outside.reader import Wanted
from tableformat.storage.verify_cells import raw_digests
from tableformat.table.own import origin_name

__all__ = ["Origins"]

_MAX: Final = 10_000_000


class Origins:
    """The origins of all owned media of a store. Reads the columns with the first question, and holds about 200 bytes for each cell."""

    def __init__(self, context: StoreContext) -> None:
        self._context = context
        self._known: dict[bytes, Wanted] | None = None

    def fetch(self, digest: bytes) -> bytes | None:
        """The bytes with this digest, read from where they came from; None where that is not known, not allowed, or changed."""
        if self._known is None:
            self._known = {}
            for _, version in iter_live(self._context.backend):
                for item in iter_entries(self._context.backend, version):
                    if item.get("kind") == "table":
                        self._look(TableEntry.from_json(item, str(item.get("name"))))
        wanted = self._known.get(digest)
        try:
            return None if wanted is None else self._context.outside.read(wanted)
        except TableformatError:
            return None

    def _look(self, entry: TableEntry) -> None:
        names = {column.name: column for column in entry.schema.columns}
        pairs = [
            (name, origin_name(name))
            for name, column in names.items()
            if origin_name(name) in names and is_cell(column.type.storage())
        ]
        if not pairs:
            return
        for item in iter_items(self._context.backend, entry.parts):
            self._look_in(entry, Part.from_json(item, "a part"), pairs)

    def _look_in(self, entry: TableEntry, part: Part, pairs: list[tuple[str, str]]) -> None:
        assert self._known is not None
        wanted = {name for pair in pairs for name in pair}
        for _, _, columns in iter_part_rows(self._context.backend, entry, part, wanted):
            for name, origin in pairs:
                if name not in columns or origin not in columns or len(self._known) >= _MAX:
                    continue
                checksums, _ = raw_digests(fields_of(fields_of(columns[name])["file"])["checksum"])
                for digest, came in zip(checksums.tolist(), columns[origin].to_pylist(), strict=True):
                    if came is not None and came["uri"] is not None:
                        self._known.setdefault(digest, Wanted(came["uri"], came["offset"], came["size"], digest=digest))
