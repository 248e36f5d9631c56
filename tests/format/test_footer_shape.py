"""What a shape matches is what a walk lets pass."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tableformat.errors import FormatError
from tableformat.format import footer
from tableformat.format.footer import check_footer
from tableformat.format.footer_shape import shape_of


def footer_of(rows: Sequence[int], *, groups: int = 1, wide: bool = True) -> bytes:
    """The footer of a file of some rows."""
    columns: dict[str, Any] = {"id": pa.array(rows, pa.int64()), "name": [f"n{row % 3}" for row in rows]}
    if wide:
        columns |= {
            "x": [row / 3 for row in rows],
            "list": [[row, 1.5, None] for row in rows],
            "yes": [row % 2 == 0 for row in rows],
        }
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.table(columns), sink, row_group_size=max(len(rows) // groups, 1), write_page_index=True, compression="zstd"
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data[-(int.from_bytes(data[-8:-4], "little") + 8) :]


def metadata_of(data: bytes) -> pq.FileMetaData:
    return pq.read_metadata(pa.BufferReader(data))


@pytest.fixture
def nothing_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """No shapes from other tests."""
    monkeypatch.setattr(footer, "_SHAPES", [])
    monkeypatch.setattr(footer, "_WALKED", {})


def test_files_alike_have_one_shape() -> None:
    """Footers of other rows and other numbers of them match; of other columns, or several row groups, none do."""
    shape = shape_of(footer_of(range(100)))
    assert shape is not None
    assert all(
        shape.fullmatch(footer_of(range(low, low + count))) for low in (0, -7, 10**9) for count in (3, 999, 40_000)
    )
    assert not shape.fullmatch(footer_of(range(100), wide=False))
    assert not shape.fullmatch(footer_of(range(100), groups=2))
    assert shape_of(footer_of(range(100), groups=2)) is None
    assert shape_of(footer_of([])) is None or shape_of(footer_of([])).fullmatch(footer_of([]))


def test_a_shape_lets_nothing_pass_that_a_walk_refuses(nothing_learned: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of footers in which bytes were changed, those that match are those of the same columns that a walk accepts."""
    data = footer_of(range(100))
    shape = shape_of(data)
    assert shape is not None
    monkeypatch.setattr(footer, "_SHAPE_AFTER", ())
    metadata = metadata_of(data)
    matched = refused = 0
    for seed in range(6000):
        chance = random.Random(seed)
        changed = bytearray(data)
        for _ in range(chance.choice((1, 1, 2, 4))):
            changed[chance.randrange(len(changed) - 8)] = chance.choice((chance.randrange(256), 0x80, 0xFF, 0, 1))
        try:
            check_footer(bytes(changed), metadata, "x")
        except FormatError:
            refused += 1
            assert not shape.fullmatch(bytes(changed))
        else:
            matched += shape.fullmatch(bytes(changed)) is not None
    assert matched > 500
    assert refused > 100


def test_shapes_are_learned_of_footers_that_come_often(nothing_learned: None) -> None:
    """After some of a kind the next are matched, and one with a chunk of another type is still refused."""
    for low in range(7):
        check_footer(found := footer_of(range(low, low + 50)), metadata_of(found), "x")
    assert not footer._SHAPES
    check_footer(found := footer_of(range(50)), metadata_of(found), "x")
    assert len(footer._SHAPES) == 1
    walked = dict(footer._WALKED)
    check_footer(found := footer_of(range(9, 500)), metadata_of(found), "x")
    assert walked == footer._WALKED
    other = footer_of(range(60), wide=False)
    with pytest.raises(FormatError):
        check_footer(other, metadata_of(found), "x")
