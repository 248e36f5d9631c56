"""The data of the benchmarks: seeded, in three sizes, made in memory and never part of what is timed.

PNGs are built by hand, so everyone gets the same bytes; JPEGs come from Pillow and are the same with the same Pillow.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa

__all__ = [
    "BATCH_ROWS",
    "KEYED_SCHEMA",
    "LABELS",
    "PREDICTIONS",
    "SIZES",
    "Row",
    "Size",
    "iter_prediction_batches",
    "jpegs",
    "keyed_table",
    "labels",
    "measured_table",
    "pngs",
    "prediction_rows",
]

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything."""

    pngs: int
    """Images of 2 to 2.5 KB."""
    jpegs: int
    """Images of 50 to 100 KB."""
    batch_rows: int
    """Rows of predictions that come in Arrow batches."""
    memory_rows: int
    """The same, ten times as many: what does memory do?"""
    append_rows: int
    """Rows of predictions that come one by one."""
    keyed_rows: int
    """Rows of the table with a key."""
    taken_rows: int
    """Rows read at random."""


SIZES = {
    "S": Size(500, 20, 20_000, 200_000, 2_000, 20_000, 50),
    "M": Size(10_000, 1_000, 1_000_000, 10_000_000, 100_000, 200_000, 1_000),
    "L": Size(50_000, 5_000, 10_000_000, 100_000_000, 1_000_000, 1_000_000, 1_000),
}
"""S runs in the tests, M in a minute or two, L is what the goals speak of."""

LABELS = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCH_ROWS = 100_000
"""Rows of one Arrow batch."""

PREDICTIONS = pa.schema(
    [
        pa.field("id", pa.int64()),
        pa.field("label", pa.string()),
        pa.field("score", pa.float32()),
        pa.field("probabilities", pa.list_(pa.float32())),
    ]
)
"""A prediction: 8 + about 9 + 4 + 44 bytes in memory."""

KEYED_SCHEMA = pa.schema([pa.field("id", pa.int64()), pa.field("name", pa.string()), pa.field("value", pa.float64())])


def pngs(count: int, seed: int = 1) -> list[bytes]:
    """`count` different PNGs of 32 × 32 grey pixels with alpha, noise that no codec shrinks; 2,000 to 2,500 bytes each."""
    random = np.random.default_rng(seed)
    comments = random.integers(0, 320, count)
    return [_png(random.bytes(32 * 64), int(comment), number) for number, comment in enumerate(comments)]


def _png(pixels: bytes, comment: int, number: int) -> bytes:
    """One PNG whose pixels are a single stored block: no zlib decides what the bytes are."""
    rows = b"".join(b"\x00" + pixels[at : at + 64] for at in range(0, len(pixels), 64))
    stored = (
        b"\x78\x01\x01"
        + struct.pack("<HH", len(rows), len(rows) ^ 0xFFFF)
        + rows
        + struct.pack(">I", zlib.adler32(rows))
    )
    header = struct.pack(">IIBBBBB", 32, 32, 8, 4, 0, 0, 0)
    text = b"Comment\x00" + str(number).encode().ljust(comment, b".")
    chunks = [(b"IHDR", header), (b"tEXt", text), (b"IDAT", stored), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def jpegs(count: int, seed: int = 2) -> list[bytes]:
    """`count` different JPEGs of 50 to 100 KB: crops of a few noisy pictures, made different by a comment with their number."""
    from PIL import Image

    random = np.random.default_rng(seed)
    pictures = []
    for _ in range(min(count, 64)):
        side = int(random.integers(335, 445))
        # Smooth shapes under noise, so that the coder has work of both kinds.
        coarse = Image.fromarray(random.integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize(
            (side, side), Image.Resampling.BICUBIC
        )
        noisy = np.asarray(coarse, dtype=np.int16) + random.integers(-28, 29, (side, side, 1), dtype=np.int16)
        buffer = io.BytesIO()
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=88)
        pictures.append(buffer.getvalue())
    return [_with_comment(pictures[number % len(pictures)], f"{seed}-{number:08d}") for number in range(count)]


def _with_comment(jpeg: bytes, text: str) -> bytes:
    """The JPEG with a comment segment behind its start marker."""
    body = text.encode("ascii")
    return jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def labels(count: int, seed: int = 3) -> list[str]:
    """`count` names of classes."""
    return [LABELS[number] for number in np.random.default_rng(seed).integers(0, len(LABELS), count)]


@cache
def _prediction_columns(batch_rows: int, seed: int) -> list[list[pa.Array]]:
    """Label, score and probabilities of eight batches, which take turns: drawing new ones costs more than writing does."""
    random = np.random.default_rng(seed)
    names = pa.array(LABELS)
    offsets = pa.array(np.arange(0, 10 * batch_rows + 1, 10, dtype=np.int32))
    columns = []
    for _ in range(8):
        chances = np.exp(random.standard_normal((batch_rows, 10), dtype=np.float32))
        chances /= chances.sum(axis=1, keepdims=True)
        best = chances.argmax(axis=1)
        probabilities = pa.ListArray.from_arrays(offsets, pa.array(chances.reshape(-1)))
        columns.append([names.take(pa.array(best)), pa.array(chances[np.arange(batch_rows), best]), probabilities])
    return columns


def iter_prediction_batches(rows: int, batch_rows: int = BATCH_ROWS, seed: int = 4) -> Iterator[pa.RecordBatch]:
    """`rows` predictions in batches; ids count up, the other columns repeat after eight batches. Holds about 50 MB, once."""
    drawn = _prediction_columns(batch_rows, seed)
    for number, first in enumerate(range(0, rows, batch_rows)):
        count = min(batch_rows, rows - first)
        ids = pa.array(np.arange(first, first + count, dtype=np.int64))
        others = [column.slice(0, count) for column in drawn[number % len(drawn)]]
        yield pa.RecordBatch.from_arrays([ids, *others], schema=PREDICTIONS)


def prediction_rows(rows: int, seed: int = 4) -> Sequence[Row]:
    """`rows` predictions as Python values, ten floats each. The lists of 100,000 rows are shared by those that follow them."""
    batch = next(iter_prediction_batches(min(rows, BATCH_ROWS), seed=seed))
    kept = batch.to_pylist()
    return [{**kept[number % len(kept)], "id": number} for number in range(rows)]


EMBEDDING = 256
EMBEDDINGS = pa.schema([pa.field("id", pa.int64()), pa.field("embedding", pa.list_(pa.float32(), EMBEDDING))])


def iter_embedding_batches(rows: int, batch_rows: int = BATCH_ROWS // 5, seed: int = 7) -> Iterator[pa.RecordBatch]:
    """`rows` embeddings of 256 float32 in batches; the floats repeat after four batches. Holds about 80 MB, once."""
    random = np.random.default_rng(seed)
    drawn = [pa.array(random.standard_normal(batch_rows * EMBEDDING, np.float32)) for _ in range(4)]
    for number, first in enumerate(range(0, rows, batch_rows)):
        count = min(batch_rows, rows - first)
        ids = pa.array(np.arange(first, first + count, dtype=np.int64))
        floats = drawn[number % len(drawn)].slice(0, count * EMBEDDING)
        columns = [ids, pa.FixedSizeListArray.from_arrays(floats, EMBEDDING)]
        yield pa.RecordBatch.from_arrays(columns, schema=EMBEDDINGS)


def keyed_table(rows: int, seed: int = 5) -> pa.Table:
    """`rows` rows under even keys, in order, so that an odd one can be put between."""
    random = np.random.default_rng(seed)
    ids = np.arange(0, 2 * rows, 2, dtype=np.int64)
    names = [f"item {number:08x}" for number in random.integers(0, 2**32, rows)]
    return pa.table([pa.array(ids), pa.array(names), pa.array(random.random(rows))], schema=KEYED_SCHEMA)


MEASURED = pa.schema(
    [
        pa.field("id", pa.int64()),
        pa.field("text", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("count", pa.int64()),
        pa.field("vector", pa.list_(pa.float32(), 8)),
    ]
)
"""A row that was measured: 8 + about 60 + 8 + 8 + 32 bytes."""


def measured_table(rows: int, seed: int = 6) -> pa.Table:
    """`rows` rows under even keys, in order: a text of seven words, two numbers, eight floats. About 120 bytes each."""
    random = np.random.default_rng(seed)
    words = np.array([f"{number:08x}" for number in random.integers(0, 2**32, 5000)])
    texts = [" ".join(picked) for picked in words[random.integers(0, len(words), (rows, 7))]]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(random.standard_normal(rows * 8).astype(np.float32)), 8)
    counts = random.integers(0, 1000, rows)
    columns = [pa.array(np.arange(0, 2 * rows, 2)), pa.array(texts), pa.array(random.random(rows)), pa.array(counts)]
    return pa.Table.from_arrays([*columns, vectors], schema=MEASURED)
