"""The pack layout: many blobs in one plain ZIP, its headers built in batches, its directory read without trust.

A pack has exactly one spelling for a sequence of blobs (spec/pack.md): entries are stored, follow each other without a
gap, are named `<sha256>.<ext>`, and every field that could vary has a fixed value. So a reader compares where other ZIP
readers interpret, and nothing in a hostile directory (overlaps, gaps, sizes past the end, names that are paths) is left
to be judged.

Headers are made by numpy for a whole batch: at 2 KB a blob, one Python statement per field would cost more than its hash.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tableformat.digest import Bytes
from tableformat.errors import CorruptError, InvalidInputError, message

__all__ = [
    "END_BYTES", "MAX_BLOB_BYTES", "MAX_DIRECTORY_BYTES", "MAX_PACK_BLOBS", "MAX_PACK_BYTES", "PackBuilder", "PackedBlob",
    "check_entries", "check_ext", "decode_directory", "decode_pack", "directory_range", "encode_pack", "local_headers",
]  # fmt: skip

MAX_PACK_BLOBS: Final = 65_534
"""Most blobs of one pack. One more, 65,535, is the ZIP sign for "see the zip64 record", which we never write."""
MAX_PACK_BYTES: Final = 64 << 20
"""Most bytes of blobs in one pack, headers not counted. Far below the 4 GiB at which ZIP needs zip64."""
MAX_BLOB_BYTES: Final = 8 << 20
"""Longest blob that goes into a pack; longer ones are an object each."""
END_BYTES: Final = 22
"""Length of the end record. It carries no comment, so it is always the last 22 bytes."""

# Signature, version needed 1.0, no flags, stored, 00:00:00 on 1980-01-01 (the first moment a ZIP can name).
_LOCAL_START: Final = struct.pack("<4s5H", b"PK\x03\x04", 10, 0, 0, 0, 0x21)
# Made by "Unix, 1.0", so that tools give the files the plain permissions 0644 of the external attributes.
_CENTRAL_START: Final = struct.pack("<4s6H", b"PK\x01\x02", 0x030A, 10, 0, 0, 0, 0x21)
# No extra field, no comment, disk 0, internal attributes 0, a regular file with mode 0644.
_CENTRAL_REST: Final = struct.pack("<4HL", 0, 0, 0, 0, 0o100644 << 16)
_END_START: Final = b"PK\x05\x06\x00\x00\x00\x00"

_EXT = re.compile(r"[a-z0-9]{1,12}(\.[a-z0-9]{1,12})?")
_NAME = re.compile(rb"([0-9a-f]{64})\.([a-z0-9]{1,12}(?:\.[a-z0-9]{1,12})?)")
_LOCAL_BYTES: Final = 30
_CENTRAL_BYTES: Final = 46
_MAX_NAME_BYTES: Final = 64 + 1 + 25
MAX_DIRECTORY_BYTES: Final = MAX_PACK_BLOBS * (_CENTRAL_BYTES + _MAX_NAME_BYTES)
"""Longest directory that is read: about 9 MB."""


@dataclass(frozen=True, slots=True)
class PackedBlob:
    """One blob of a pack, as the directory tells it."""

    digest: bytes
    """SHA-256 of the stored bytes, 32 bytes."""
    ext: str
    """What follows the digest and a dot in the entry's name, such as `png` or `html.zst`."""
    offset: int
    """Where the blob's bytes begin in the pack file."""
    size: int
    """How many bytes they are."""
    crc32: int
    """CRC-32 of the stored bytes, for tools; the digest is what counts."""


def check_ext(ext: str) -> str:
    """`ext` itself, where an entry's name may end in it; raises `InvalidInputError` where not."""
    if _EXT.fullmatch(ext) is None:
        raise InvalidInputError(
            message("naming a blob", expected="one or two runs of 1 to 12 of a-z and 0-9, split by a dot, such as 'png'", got=repr(ext)[:60])
        )  # fmt: skip
    return ext


@lru_cache(maxsize=256)
def _templates(ext: str) -> tuple[bytes, np.dtype[np.void], bytes, np.dtype[np.void]]:
    """For entries that end in `.ext`: one local and one central header with zeros where blobs differ, and their layouts."""
    name = b"\x00" * 64 + b"." + check_ext(ext).encode("ascii")
    sizes = struct.pack("<LLLH", 0, 0, 0, len(name))
    local = _LOCAL_START + sizes + b"\x00\x00" + name
    central = _CENTRAL_START + sizes + _CENTRAL_REST + b"\x00" * 4 + name
    rest = f"V{len(name) - 64}"
    local_layout = np.dtype(
        [
            ("start", "V14"),
            ("crc", "<u4"),
            ("stored", "<u4"),
            ("size", "<u4"),
            ("lengths", "V4"),
            ("hex", "S64"),
            ("ext", rest),
        ]
    )
    central_layout = np.dtype([
        ("start", "V16"), ("crc", "<u4"), ("stored", "<u4"), ("size", "<u4"), ("lengths", "V2"), ("rest", "V12"), ("offset", "<u4"),
        ("hex", "S64"), ("ext", rest),
    ])  # fmt: skip
    return local, local_layout, central, central_layout


class PackBuilder:
    """The headers of one pack while it grows. Holds the directory (about 115 bytes a blob) and none of the blobs.

    The file is: for each blob in turn its header and its bytes, then what `finish` returns.
    """

    __slots__ = ("_directory", "_directory_bytes", "blob_bytes", "blob_count", "file_bytes")

    def __init__(self) -> None:
        self._directory: list[bytes] = []
        self._directory_bytes = 0
        self.blob_count = 0
        self.blob_bytes = 0
        self.file_bytes = 0

    def room(self, sizes: npt.NDArray[np.int64]) -> int:
        """How many of the blobs of these sizes, taken in order, still fit."""
        space = MAX_PACK_BYTES - self.blob_bytes
        return min(int(np.searchsorted(np.cumsum(sizes), space, side="right")), MAX_PACK_BLOBS - self.blob_count)

    def add_many(
        self, digests: Sequence[bytes], sizes: npt.NDArray[np.int64], crcs: Sequence[int], exts: str | Sequence[str]
    ) -> tuple[list[bytes], npt.NDArray[np.int64]]:
        """Append blobs that `room` said would fit: their local headers, and where the bytes of each will begin."""
        count = len(digests)
        if isinstance(exts, str):
            headers, central, length = _headers(digests, sizes, crcs, exts)
            offsets = self._offsets(sizes, np.full(count, length))
            central["offset"] = offsets - length
            self._extend_directory([central.tobytes()])
        else:
            groups = [(ext, [i for i, other in enumerate(exts) if other == ext]) for ext in dict.fromkeys(exts)]
            made = [
                (rows, *_headers([digests[i] for i in rows], sizes[rows], [crcs[i] for i in rows], ext)) for ext, rows in groups
            ]  # fmt: skip
            headers, records = [b""] * count, [b""] * count
            lengths = np.zeros(count, np.int64)
            for rows, _, _, length in made:
                lengths[rows] = length
            offsets = self._offsets(sizes, lengths)
            for rows, local, central, length in made:
                central["offset"] = offsets[rows] - length
                raw = central.tobytes()
                step = len(raw) // len(rows)
                for position, row in enumerate(rows):
                    headers[row] = local[position]
                    records[row] = raw[position * step : position * step + step]
            self._extend_directory(records)
        self.blob_count += count
        self.blob_bytes += int(sizes.sum())
        return headers, offsets

    def finish(self) -> bytes:
        """The directory and the end record, with which the file ends."""
        end = struct.pack(
            "<8s2H2LH", _END_START, self.blob_count, self.blob_count, self._directory_bytes, self.file_bytes, 0
        )
        return b"".join([*self._directory, end])

    def _offsets(self, sizes: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        ends = self.file_bytes + np.cumsum(sizes + lengths)
        if len(ends):
            self.file_bytes = int(ends[-1])
        return ends - sizes

    def _extend_directory(self, records: list[bytes]) -> None:
        self._directory.extend(records)
        self._directory_bytes += sum(map(len, records))


def _headers(
    digests: Sequence[bytes], sizes: npt.NDArray[np.int64], crcs: Sequence[int], ext: str
) -> tuple[list[bytes], npt.NDArray[np.void], int]:
    """Local headers, directory records (offsets still zero) and the length of one local header, for one extension."""
    count = len(digests)
    local, local_layout, central, central_layout = _templates(ext)
    hexes = np.frombuffer(b"".join(digests).hex().encode("ascii"), dtype="S64")
    records: list[npt.NDArray[np.void]] = []
    for template, layout in ((local, local_layout), (central, central_layout)):
        record: npt.NDArray[Any] = np.frombuffer(bytearray(template * count), dtype=layout)
        record["crc"] = crcs
        record["stored"] = record["size"] = sizes
        record["hex"] = hexes
        records.append(record)
    length = len(local)
    return records[0].view(f"V{length}").tolist(), records[1], length


def encode_pack(blobs: Sequence[tuple[Bytes, str]]) -> bytes:
    """A whole pack in memory, from (bytes, extension) in order. For tests, vectors and tools; writers stream."""
    builder = PackBuilder()
    datas = [bytes(data) for data, _ in blobs]
    sizes = np.fromiter(map(len, datas), np.int64, len(datas))
    if builder.room(sizes) < len(datas) or max(map(len, datas), default=0) > MAX_BLOB_BYTES:
        raise InvalidInputError(
            message("making a pack", expected="blobs that fit one pack", got=f"{len(datas)} blobs, {sizes.sum()} bytes")
        )
    digests = [sha256(data).digest() for data in datas]
    headers, _ = builder.add_many(digests, sizes, [zlib.crc32(data) for data in datas], [ext for _, ext in blobs])
    return b"".join([piece for pair in zip(headers, datas, strict=True) for piece in pair] + [builder.finish()])


def directory_range(end: Bytes, pack_size: int, path: str) -> tuple[int, int]:
    """Where the directory lies in a pack of `pack_size` bytes whose last 22 bytes are `end`: offset and length.

    Everything that would make a reader take memory is checked here: raises `CorruptError` unless the directory ends where
    the end record begins, and is no longer than its number of entries allows.
    """
    doing = "reading the end of a pack"
    if pack_size < END_BYTES or len(end) != END_BYTES:
        raise CorruptError(
            message(doing, path=path, expected=f"at least {END_BYTES} bytes", got=f"{min(pack_size, len(end))} bytes")
        )
    start, here, count, length, offset, comment = struct.unpack("<8s2H2LH", end)
    if start != _END_START or comment != 0 or here != count:
        raise CorruptError(
            message(doing, path=path, expected="an end record of one disk without a comment", got=bytes(end).hex())
        )
    if count > MAX_PACK_BLOBS:
        raise CorruptError(
            message(doing, path=path, expected=f"at most {MAX_PACK_BLOBS} entries and no zip64", got=f"{count} entries")
        )
    shortest, longest = count * (_CENTRAL_BYTES + 66), count * (_CENTRAL_BYTES + _MAX_NAME_BYTES)
    if offset + length + END_BYTES != pack_size or not shortest <= length <= longest:
        raise CorruptError(
            message(doing, path=path, expected=f"a directory of {count} entries that ends at {pack_size - END_BYTES}", got=f"bytes {offset}–{offset + length}")
        )  # fmt: skip
    return offset, length


def decode_directory(tail: Bytes, pack_size: int, path: str) -> tuple[PackedBlob, ...]:
    """The blobs of a pack of `pack_size` bytes, in order, from `tail`: its bytes from the directory (or earlier) to the end.

    Raises `CorruptError` for anything that `PackBuilder` would not have written: a field with another value, entries that
    overlap or leave gaps, a name that is not a digest and an extension, one digest twice, sizes past the bounds.
    """
    view = memoryview(tail)
    start, length = directory_range(view[-END_BYTES:], pack_size, path)
    first = len(view) - END_BYTES - length
    if first < 0:
        raise CorruptError(
            message(
                "reading the directory of a pack",
                path=path,
                expected=f"{length + END_BYTES} bytes",
                got=f"{len(view)} bytes",
            )
        )
    blobs = tuple(_walk(bytes(view[first : first + length]), start, path))
    # The end record counts in 16 bits; more entries than it tells cannot hide, since their lengths would not add up.
    count = struct.unpack_from("<H", view, len(view) - 12)[0]
    if len(blobs) != count:
        raise CorruptError(
            message("reading the directory of a pack", path=path, expected=f"{count} entries", got=f"{len(blobs)}")
        )
    if len({blob.digest for blob in blobs}) != len(blobs):
        raise CorruptError(
            message(
                "reading the directory of a pack",
                path=path,
                expected="each digest once",
                got="a digest that stands twice",
            )
        )
    return blobs


def _walk(directory: bytes, directory_offset: int, path: str) -> Iterator[PackedBlob]:
    """The records of a directory one by one, each checked against where its entry has to begin."""
    doing = "reading the directory of a pack"
    position = expected_offset = total = 0
    while position < len(directory):
        place = (
            directory_offset + position,
            min(directory_offset + position + _CENTRAL_BYTES, directory_offset + len(directory)),
        )
        if position + _CENTRAL_BYTES > len(directory):
            raise CorruptError(
                message(
                    doing,
                    path=path,
                    byte_range=place,
                    expected=f"{_CENTRAL_BYTES} bytes of a record",
                    got=f"{len(directory) - position}",
                )
            )
        crc, stored, size, name_length = struct.unpack_from("<LLLH", directory, position + 16)
        (offset,) = struct.unpack_from("<L", directory, position + 42)
        fixed = (
            directory[position : position + 16] == _CENTRAL_START
            and directory[position + 30 : position + 42] == _CENTRAL_REST
        )
        if not fixed or stored != size:
            raise CorruptError(
                message(doing, path=path, byte_range=place, expected="a stored entry with the fixed fields of a pack")
            )
        name = _NAME.fullmatch(
            directory, position + _CENTRAL_BYTES, min(position + _CENTRAL_BYTES + name_length, len(directory))
        )
        if name is None or name.end() - name.start() != name_length:
            raise CorruptError(
                message(doing, path=path, byte_range=place, expected="a name of 64 hex digits, a dot and an extension")
            )
        total += size
        if offset != expected_offset or size > MAX_BLOB_BYTES or total > MAX_PACK_BYTES:
            raise CorruptError(
                message(
                    doing,
                    path=path,
                    byte_range=place,
                    expected=f"an entry at {expected_offset} within the bounds of a pack",
                    got=f"{size} bytes at {offset}",
                )
            )
        begin = offset + _LOCAL_BYTES + name_length
        expected_offset = begin + size
        yield PackedBlob(bytes.fromhex(name[1].decode("ascii")), name[2].decode("ascii"), begin, size, crc)
        position += _CENTRAL_BYTES + name_length
    if expected_offset != directory_offset:
        raise CorruptError(
            message(
                doing, path=path, expected=f"entries that end at {directory_offset}", got=f"an end at {expected_offset}"
            )
        )


def decode_pack(data: Bytes, path: str) -> tuple[PackedBlob, ...]:
    """The blobs of the whole pack `data`, in order, with every byte of it checked.

    Raises `CorruptError` like `decode_directory`, and where a local header, a CRC-32 or a digest does not fit.
    """
    view = memoryview(data)
    blobs = decode_directory(view, len(view), path)
    for _, _, problem in check_entries(view, 0, blobs, local_headers(blobs), path):
        raise problem
    return blobs


def local_headers(blobs: Sequence[PackedBlob]) -> list[bytes]:
    """The bytes that stand before each of the blobs of a pack, names included, as their directory records tell."""
    sizes = np.fromiter((blob.size for blob in blobs), np.int64, len(blobs))
    digests, crcs, exts = ([getattr(blob, name) for blob in blobs] for name in ("digest", "crc32", "ext"))
    return PackBuilder().add_many(digests, sizes, crcs, exts[0] if len(set(exts)) == 1 else exts)[0] if blobs else []


def check_entries(
    data: Bytes, start: int, blobs: Sequence[PackedBlob], headers: Sequence[bytes], path: str
) -> Iterator[tuple[int, bool, CorruptError]]:
    """Compare entries of a pack with its directory: `data` are its bytes from `start` on, in which the `blobs` lie with the
    `headers` before them.

    Yields for each entry that does not fit its position among `blobs`, whether the blob itself is damaged, and what to say.
    """
    view = memoryview(data)
    doing = "checking a pack"
    for number, (blob, header) in enumerate(zip(blobs, headers, strict=True)):
        first = blob.offset - start
        stored = view[first : first + blob.size]
        place = (blob.offset, blob.offset + blob.size)
        is_damaged = sha256(stored).digest() != blob.digest
        if view[first - len(header) : first] != header:
            problem = message(doing, path=path, byte_range=place, expected="a header before the blob that repeats its directory record")  # fmt: skip
            yield number, is_damaged, CorruptError(problem)
        elif is_damaged or zlib.crc32(stored) != blob.crc32:
            problem = message(
                doing, path=path, byte_range=place, expected=f"bytes with the digest sha256:{blob.digest.hex()}",
                got=f"sha256:{sha256(stored).hexdigest()}", todo="restore the pack from a copy, or write the blob again",
            )  # fmt: skip
            yield number, is_damaged, CorruptError(problem)
