"""Columns of arrays: one `.npz` for a whole column, read row by row and never unpickled."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import tableformat
from tableformat.convert.legacy.cells import Plan
from tableformat.errors import FormatError, LimitError, UnsupportedError, message

__all__ = ["ArrayFile", "array_plan"]

_NUMBERS: Final = frozenset(
    ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64")
)
_MAX_ROW_BYTES: Final = 1 << 28
_MAX_HEADER: Final = 1 << 16


class ArrayFile:
    """A member of an `.npz`, read from its front on: rows come in order, and only those asked for are held.

    Raises `UnsupportedError` for pickles and types that have no column, `FormatError` for damaged files.
    """

    def __init__(self, file: BinaryIO, key: str, path: str) -> None:
        self._path, self._file = path, file
        try:
            self._open(key)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _open(self, key: str) -> None:
        path, file = self._path, self._file
        try:
            archive = zipfile.ZipFile(file)
            name = next((one for one in archive.namelist() if one in (f"{key}.npy", key)), None)
            if name is None and len(archive.namelist()) == 1:
                [name] = archive.namelist()
            if name is None:
                raise FormatError(
                    message("reading arrays", path=path, expected=f"a member {key!r}", got=archive.namelist()[:5])
                )
            self._stream = archive.open(name)
            shape, is_fortran, dtype = _header(self._stream, path)
        except (
            zipfile.BadZipFile,
            zlib.error,
            OSError,
            RuntimeError,
            ValueError,
            EOFError,
            NotImplementedError,
            KeyError,
        ) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError(
                message("reading arrays", path=path, expected="an .npz file", got=str(error)[:200])
            ) from error
        if dtype.hasobject:
            raise UnsupportedError(
                message(
                    "reading arrays",
                    path=path,
                    expected="numbers",
                    got="pickled Python objects",
                    todo="they are never loaded; the file is kept as it is",
                )
            )
        if not shape:
            raise FormatError(message("reading arrays", path=path, expected="an array with rows", got="a single value"))
        self.rows, self.shape, self.dtype = shape[0], tuple(shape[1:]), dtype
        self._row_bytes = math.prod(self.shape) * dtype.itemsize
        if self._row_bytes > _MAX_ROW_BYTES:
            raise LimitError(
                message(
                    "reading arrays", path=path, expected=f"rows of at most {_MAX_ROW_BYTES} bytes", got=self._row_bytes
                )
            )
        if is_fortran and len(shape) > 1:
            self._whole: npt.NDArray[Any] | None = self._read_fortran(shape)
        else:
            self._whole = None
        self._next = 0

    def _read_fortran(self, shape: Sequence[int]) -> npt.NDArray[Any]:
        size = math.prod(shape) * self.dtype.itemsize
        if size > _MAX_ROW_BYTES:
            raise LimitError(
                message(
                    "reading arrays",
                    path=self._path,
                    expected=f"columns-first arrays of at most {_MAX_ROW_BYTES} bytes",
                    got=size,
                )
            )
        return np.frombuffer(self._read(size), self.dtype).reshape(shape, order="F")

    @property
    def position(self) -> int:
        """The number of the next row."""
        return self._next

    def skip(self, count: int) -> None:
        """Pass over rows."""
        left = count * self._row_bytes if self._whole is None else 0
        while left > 0:
            step = min(left, 1 << 20)
            self._read(step)
            left -= step
        self._next += count

    def take(self, count: int) -> npt.NDArray[Any]:
        """The next rows. Raises `FormatError` where there are fewer."""
        if self._next + count > self.rows:
            raise FormatError(
                message("reading arrays", path=self._path, expected=f"{self._next + count} rows", got=self.rows)
            )
        if self._whole is not None:
            found = self._whole[self._next : self._next + count]
        else:
            found = np.frombuffer(
                self._read(count * self._row_bytes), self.dtype, count * math.prod(self.shape)
            ).reshape(count, *self.shape)
        self._next += count
        return found

    def _read(self, size: int) -> bytes:
        pieces = []
        try:
            while size > 0:
                piece = self._stream.read(min(size, 1 << 24))
                if not piece:
                    raise FormatError(
                        message(
                            "reading arrays", path=self._path, expected=f"{size} more bytes", got="the end of the file"
                        )
                    )
                pieces.append(piece)
                size -= len(piece)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError) as error:
            raise FormatError(message("reading arrays", path=self._path, got=str(error)[:200])) from error
        return b"".join(pieces)


def _header(stream: Any, path: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type of an array file, by NumPy's own reader, which takes literals only."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, order, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=_MAX_HEADER)
    elif version == (2, 0):
        shape, order, dtype = np.lib.format.read_array_header_2_0(stream, max_header_size=_MAX_HEADER)
    else:
        raise FormatError(message("reading arrays", path=path, expected="an array file of version 1 or 2", got=version))
    if any(type(size) is not int or size < 0 for size in shape):
        raise FormatError(message("reading arrays", path=path, expected="sizes from 0", got=shape))
    return shape, bool(order), dtype


def array_plan(file: ArrayFile) -> Plan:
    """The plan of a column whose cells are the rows of `file`. Cells are arrays, given to `Plan.array` in one."""
    dtype, shape = file.dtype, file.shape
    kind = dtype.name
    if dtype.kind == "c":
        part, name = ("float32", kind) if dtype.itemsize == 8 else ("float64", kind)
        return _tensor(part, (*shape, 2), (f"{name} as pairs of real and imaginary part",))
    if dtype.kind == "M" and not shape:
        return Plan(
            "timestamp[us]", pa.timestamp("us"), build=lambda cells, _lost: pa.array(np.asarray(cells).astype("M8[us]"))
        )
    if kind in _NUMBERS and not shape:
        data_type = pa.from_numpy_dtype(dtype.newbyteorder("="))
        return Plan(
            str(data_type),
            data_type,
            build=lambda cells, _lost: pa.array(_native(np.asarray(cells)), data_type),
            notes=("single values",),
        )
    if kind in _NUMBERS:
        return _tensor(kind, shape, ())
    if dtype.kind in "US":
        data_type = pa.string() if dtype.kind == "U" else pa.binary()
        for _ in shape:
            data_type = pa.list_(data_type)
        return Plan(
            str(data_type),
            data_type,
            build=lambda cells, _lost: pa.array(np.asarray(cells).tolist(), data_type),
            notes=(f"an array of {dtype}",),
        )
    raise UnsupportedError(message("reading arrays", expected="numbers, bools or text", got=str(dtype)))


def _tensor(dtype: str, shape: tuple[int, ...], notes: tuple[str, ...]) -> Plan:
    is_fixed = all(shape)
    declared = tableformat.TensorType(dtype, shape if is_fixed else None)

    def build(cells: Sequence[Any], lost: Any) -> pa.Array:  # noqa: ARG001 - one signature
        rows = _as_pairs(np.asarray(cells), dtype, shape)
        flat = np.ascontiguousarray(_native(rows)).reshape(-1)
        items = pa.array(flat, pa.from_numpy_dtype(flat.dtype))
        if is_fixed:
            return pa.FixedSizeListArray.from_arrays(items, math.prod(shape))
        size = math.prod(shape)
        data = pa.ListArray.from_arrays(pa.array(np.arange(len(rows) + 1, dtype=np.int32) * size), items)
        sizes = pa.array([list(shape)] * len(rows), pa.list_(pa.int32()))
        return pa.StructArray.from_arrays([data, sizes], ["data", "shape"])

    def values(cells: Sequence[Any], lost: Any) -> list[Any]:  # noqa: ARG001 - one signature
        return list(_native(_as_pairs(np.asarray(cells), dtype, shape)))

    return Plan(f"tensor<{dtype}, {list(shape)}>", declared, build=build, values=values, notes=notes)


def _as_pairs(rows: npt.NDArray[Any], dtype: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    if rows.dtype.kind != "c":
        return rows
    pairs: npt.NDArray[Any] = np.ascontiguousarray(_native(rows)).view(dtype).reshape(len(rows), *shape)
    return pairs


def _native(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return rows if rows.dtype.isnative else rows.astype(rows.dtype.newbyteorder("="))
