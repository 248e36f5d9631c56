"""Verification of media cells in storage arrays, at any depth: inline bytes, encoded bytes, and ranges of packs and blobs.

Cells are compared by whole columns. Each is told by the row of the table (or the entry) in which it stands, so a blob that
is damaged can be traced to what shows it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tableformat.errors import FormatError
from tableformat.format.cells import fields_of, has_cells, is_cell
from tableformat.storage.locations import is_owned_uri
from tableformat.storage.verify_blobs import BlobVerifier, Digests
from tableformat.storage.verify_report import Findings

__all__ = ["CellVerifier", "iter_cells", "raw_digests"]

_PREFIX: Final = "SHA-256:"
_LENGTH: Final = len(_PREFIX) + 64
_MAX_FRAMES: Final = 1 << 20

RowNumbers = npt.NDArray[np.int64]


def iter_cells(array: pa.Array, rows: RowNumbers) -> Iterator[tuple[pa.StructArray, RowNumbers]]:
    """The cells in an array that are not null, at any depth, with the row of each; `rows` are those of the array itself."""
    if not has_cells(array.type):
        return
    if array.null_count:
        valid = array.is_valid()
        array, rows = array.filter(valid), rows[np.asarray(valid)]
    type_ = array.type
    if is_cell(type_):
        if len(array):
            yield array, rows
    elif pa.types.is_struct(type_):
        for index in range(type_.num_fields):
            yield from iter_cells(array.field(index), rows)
    elif pa.types.is_fixed_size_list(type_):
        size = type_.list_size
        yield from iter_cells(array.values.slice(array.offset * size, len(array) * size), np.repeat(rows, size))
    else:
        offsets = np.asarray(array.offsets)
        inner = array.items if pa.types.is_map(type_) else array.values
        start, stop = int(offsets[0]), int(offsets[-1])
        yield from iter_cells(inner.slice(start, stop - start), np.repeat(rows, np.diff(offsets)))


def raw_digests(checksums: pa.Array) -> tuple[Digests, npt.NDArray[np.bool_]]:
    """The 32 bytes of each `SHA-256:<hex>`, zeros where there is none; and which of the values are none and not null."""
    count = len(checksums)
    known = np.asarray(pc.fill_null(pc.match_substring_regex(checksums, f"^{_PREFIX}[0-9a-f]{{64}}$"), False))
    raw = np.zeros((count, 32), np.uint8)
    if known.any():
        text = checksums.filter(pa.array(known)) if not known.all() else checksums
        texts = pa.concat_arrays([text])  # offsets from its own buffer
        joined = b"".join(value[len(_PREFIX) :].encode("ascii") for value in texts.to_pylist())
        raw[known] = np.frombuffer(bytes.fromhex(joined.decode("ascii")), np.uint8).reshape(-1, 32)
    claims = np.asarray(pc.fill_null(pc.starts_with(checksums, _PREFIX), False))
    return raw.view("V32").reshape(-1), claims & ~known


class CellVerifier:
    """Verifies the cells of one entry. Holds what `objects` lists, and the digests of encoded blobs that were decoded."""

    def __init__(self, blobs: BlobVerifier, findings: Findings, objects: set[str], place: str) -> None:
        self._blobs = blobs
        self._findings = findings
        self._objects = objects
        self._place = place
        self._decoded: set[tuple[bytes, bytes]] = set()

    def check(self, array: pa.Array, column: str, rows: RowNumbers) -> None:
        """Verify every cell in an array of the column `column`, whose rows have the numbers `rows` in the table."""
        for cells, numbers in iter_cells(array, rows):
            self._check_cells(cells, lambda at, numbers=numbers: f"{self._place} row {numbers[at]}, column {column!r}")  # type: ignore[misc]

    def _check_cells(self, cells: pa.StructArray, where: Callable[[int], str]) -> None:
        outer = fields_of(cells)
        file = outer["file"]
        inner = fields_of(file)
        uris, inline = inner["uri"], inner["inline"]
        checksums, badly = raw_digests(inner["checksum"])
        media, badly_too = raw_digests(outer["digest"])
        for at in np.flatnonzero(badly | badly_too).tolist():
            self._findings.add(where(at), "a digest is SHA-256: and 64 lower-case hex digits", FormatError.kind)
        has_inline = np.asarray(inline.is_valid())
        nowhere = np.asarray(uris.is_null()) & ~has_inline
        for at in np.flatnonzero(nowhere).tolist():
            self._findings.add(where(at), "a cell without a uri and without inline bytes", FormatError.kind)
        if has_inline.any():
            self._check_inline(inline, inner["size"], checksums, has_inline, where)
        outside = ~has_inline & ~nowhere
        if outside.any():
            self._check_places(uris, inner["offset"], inner["size"], checksums, outside, where)
        # What references point at is not read here.
        refers = np.asarray(pc.fill_null(pc.match_substring(uris, "://"), False)) & ~has_inline
        encoded = np.asarray(outer["encoding"].is_valid()) & ~refers
        for at in np.flatnonzero(encoded).tolist():
            self._check_encoded(cells[at].as_py(), checksums[at].tobytes(), media[at].tobytes(), where(at))

    def _check_inline(
        self,
        inline: pa.Array,
        size: pa.Array,
        checksums: Digests,
        mask: npt.NDArray[np.bool_],
        where: Callable[[int], str],
    ) -> None:
        sizes = size.to_pylist()
        for at in np.flatnonzero(mask).tolist():
            data: bytes = inline[at].as_py()
            self._findings.count(blobs=1)
            if sizes[at] is not None and sizes[at] != len(data):
                self._findings.add(where(at), f"{len(data)} inline bytes where {sizes[at]} are told")
            elif checksums[at].tobytes() not in (bytes(32), hashlib.sha256(data).digest()):
                self._findings.add(
                    where(at), f"inline bytes are not those with the digest sha256:{checksums[at].tobytes().hex()}"
                )

    def _check_places(
        self,
        uris: pa.Array,
        offset: pa.Array,
        size: pa.Array,
        checksums: Digests,
        mask: npt.NDArray[np.bool_],
        where: Callable[[int], str],
    ) -> None:
        offsets = np.asarray(pc.fill_null(offset, 0)).astype(np.int64)
        sizes = np.asarray(pc.fill_null(size, -1)).astype(np.int64)
        coded = pc.fill_null(uris, "").dictionary_encode()
        places = np.where(mask, np.asarray(coded.indices), -1)
        for number, uri in enumerate(coded.dictionary.to_pylist()):
            at = np.flatnonzero(places == number)
            if not len(at):
                continue
            if "://" in uri:
                self._findings.count(references=len(at))
                continue
            told = _Lazy(where, at)
            if not is_owned_uri(uri):
                self._findings.hit(self._place, f"{uri[:120]!r} is no uri of owned bytes", told[0], len(at))
                continue
            if uri not in self._objects:
                self._findings.hit(self._place, f"its list of objects lacks {uri}", told[0], len(at))
            self._blobs.check_ranges(uri, offsets[at], sizes[at], checksums[at], told)

    def _check_encoded(self, cell: dict[str, object], stored: bytes, media: bytes, place: str) -> None:
        if (stored, media) in self._decoded:
            return
        with self._findings.guard(place):
            file = cell["file"]
            if cell["encoding"] != "zstd" or not isinstance(file, dict) or media == bytes(32):
                raise FormatError("an encoded cell has the encoding zstd and a digest of what comes out")
            inline = file["inline"]
            self._blobs.check_frame(
                file["uri"], int(file["offset"] or 0), int(file["size"] or 0), stored, media, inline
            )
            if len(self._decoded) >= _MAX_FRAMES:
                self._decoded.clear()
            self._decoded.add((stored, media))


class _Lazy(Sequence[str]):
    """Texts that are made when they are asked for: only damage asks."""

    def __init__(self, where: Callable[[int], str], at: npt.NDArray[np.int64]) -> None:
        self._where = where
        self._at = at

    def __len__(self) -> int:
        return len(self._at)

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # slices are never asked for
        return self._where(int(self._at[index]))
