"""The same jobs without this library: what the machine allows, and the plain tools used as their own documents advise."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq

from benchmarks.data import BATCH_ROWS, PREDICTIONS, Row

__all__ = [
    "hash_and_append",
    "lists_then_convert",
    "parquet_writer",
    "pread_and_check",
    "scan_dataset",
    "scan_iter_batches",
]

_IDS = pa.schema(
    [
        pa.field("id", pa.int64()),
        pa.field("label", pa.string()),
        pa.field("digest", pa.binary(32)),
        pa.field("offset", pa.int64()),
        pa.field("size", pa.int64()),
    ]
)


def hash_and_append(folder: Path, blobs: Sequence[bytes], labels: Sequence[str]) -> int:
    """The limit of any store by content: SHA-256 of each blob, all appended to one file, and a small table that finds them."""
    digests, offsets, sizes = [], [], []
    position = 0
    with (folder / "blobs").open("wb", buffering=1 << 20) as file:
        for blob in blobs:
            digests.append(hashlib.sha256(blob).digest())
            offsets.append(position)
            sizes.append(len(blob))
            file.write(blob)
            position += len(blob)
    table = pa.table(
        [pa.array(range(len(blobs)), pa.int64()), pa.array(labels), pa.array(digests, pa.binary(32)), offsets, sizes],
        schema=_IDS,
    )
    pq.write_table(table, folder / "ids.parquet", compression="zstd")
    return len(blobs)


def parquet_writer(folder: Path, batches: Iterable[pa.RecordBatch]) -> int:
    """One Parquet file by pyarrow: zstd, no dictionary for floats, row groups of 100,000 rows."""
    rows = 0
    with pq.ParquetWriter(folder / "rows.parquet", PREDICTIONS, compression="zstd", use_dictionary=["label"]) as writer:
        for batch in batches:
            writer.write_batch(batch, row_group_size=BATCH_ROWS)
            rows += batch.num_rows
    return rows


def lists_then_convert(folder: Path, rows: Iterable[Row]) -> int:
    """What one writes by hand: values collected in a list for each column, converted and written every 100,000 rows."""
    names = PREDICTIONS.names
    columns: list[list[object]] = [[] for _ in names]
    first, second, third, fourth = columns
    count = 0

    def convert() -> pa.RecordBatch:
        arrays = [pa.array(column, field.type) for column, field in zip(columns, PREDICTIONS, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=PREDICTIONS)

    with pq.ParquetWriter(folder / "rows.parquet", PREDICTIONS, compression="zstd", use_dictionary=["label"]) as writer:
        for row in rows:
            first.append(row["id"])
            second.append(row["label"])
            third.append(row["score"])
            fourth.append(row["probabilities"])
            if len(first) == BATCH_ROWS:
                writer.write_batch(convert())
                count += len(first)
                for column in columns:
                    column.clear()
        if first:
            writer.write_batch(convert())
            count += len(first)
    return count


def scan_iter_batches(parts: Sequence[Path], columns: Sequence[str] | None = None) -> int:
    """Read all rows of the parts by `ParquetFile.iter_batches`."""
    rows = 0
    for part in parts:
        with pq.ParquetFile(part) as file:
            for batch in file.iter_batches(columns=None if columns is None else list(columns)):
                rows += batch.num_rows
    return rows


def scan_dataset(parts: Sequence[Path], columns: Sequence[str] | None = None) -> int:
    """Read all rows of the parts by a pyarrow dataset with its defaults."""
    dataset = pyarrow.dataset.dataset([str(part) for part in parts], format="parquet")
    return sum(batch.num_rows for batch in dataset.to_batches(columns=None if columns is None else list(columns)))


def pread_and_check(descriptor: int, ranges: Iterable[tuple[int, int, bytes]]) -> Iterator[bytes]:
    """The limit of random reads: one `pread` for each (offset, size, digest) of an open file, and its SHA-256 compared."""
    for offset, size, digest in ranges:
        blob = os.pread(descriptor, size, offset)
        if hashlib.sha256(blob).digest() != digest:
            raise ValueError(f"the blob at {offset} has changed")
        yield blob
