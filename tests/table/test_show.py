"""What a table looks like: one screen of text, safe HTML, and no more read than that takes."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tableformat.format.expr import col
from tableformat.format.media.cells import build_cells
from tableformat.format.media.png import encode_png
from tableformat.format.types import ImageType
from tableformat.storage.backend import open_backend
from tableformat.table import show
from tests.table.reading_tables import image_cells, store_table


def test_one_screen_of_text(tmp_path: Path) -> None:
    """A table prints its name, its size, its columns and its first rows, aligned."""
    table = store_table(
        tmp_path,
        {"id": int, "label": str, "score": float},
        {"id": list(range(1200)), "label": ["cat", "dog"] * 600, "score": [0.5, None] * 600},
    )
    assert repr(table).replace(table.source.address, "…") == (
        "<Table …: 1,200 rows × 3 columns>\n"
        "columns: id: int64, label: string, score: float64\n"
        "id  label  score\n"
        " 0  cat    0.5\n"
        " 1  dog    null\n"
        " 2  cat    0.5\n"
        " 3  dog    null\n"
        " 4  cat    0.5\n"
        "…"
    )
    assert "rows behind a filter × 3" in repr(table.where(col("id") > 1000))
    assert repr(table[:0]).splitlines()[0].endswith("0 rows × 3 columns>")


def test_wide_tables_stay_narrow(tmp_path: Path) -> None:
    """However many columns and however long the texts, no line is longer than a screen by much."""
    table = store_table(
        tmp_path, {f"column {n}": str for n in range(40)}, {f"column {n}": ["long " * 100] for n in range(40)}
    )
    assert max(len(line) for line in repr(table).splitlines()) <= 345
    assert len(repr(table).splitlines()) <= 10


def test_text_from_a_store_cannot_drive_the_terminal(tmp_path: Path) -> None:
    """Escape sequences and marks that turn a line around are shown as dots."""
    table = store_table(tmp_path, {"a": str}, {"a": ["\x1b[31mred\u202e"]})
    assert "\x1b" not in repr(table)
    assert "\u202e" not in repr(table)
    assert "·[31mred·" in repr(table)


def test_unreadable_rows_are_told(tmp_path: Path) -> None:
    """A table whose parts are gone still prints, with the reason."""
    table = store_table(tmp_path, {"a": int}, {"a": [1]})
    Path(table.files()[0]).unlink()
    assert "rows cannot be shown" in repr(table)
    assert "rows cannot be shown" in table._repr_html_()


class Tags(HTMLParser):
    """Collects the tags and attributes of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def test_html_escapes_everything(tmp_path: Path) -> None:
    """Names and values from a store become text, never tags or attributes."""
    evil = "<script>alert(1)</script>\"'&"
    table = store_table(tmp_path, {evil: str, "n": int}, {evil: [evil], "n": [1]}, address=f"store#{evil}")
    page = table._repr_html_()
    parser = Tags()
    parser.feed(page)
    assert {tag for tag, _ in parser.seen} <= {"div", "p", "table", "thead", "tbody", "tr", "th", "td", "br", "small"}
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("side", [8, 400])
def test_thumbnails(tmp_path: Path, side: int) -> None:
    """Images of the store are shown inside the page, small ones as they are and large ones made smaller."""
    pixels = np.random.default_rng(1).integers(0, 255, (side, side), dtype=np.uint8)
    table = store_table(
        tmp_path,
        {"image": ImageType()},
        {"image": image_cells(open_backend(str(tmp_path)), [encode_png(pixels), None])},
    )
    page = table._repr_html_()
    (source,) = re.findall(r'src="([^"]+)"', page)
    assert source.startswith("data:image/png;base64,")
    assert len(page) < 100_000


def test_html_opens_no_reference_and_reads_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference is told in words even where it is allowed, and images beyond the budget are, too."""

    def open_url(url: str) -> object:
        raise AssertionError(url)

    cells = build_cells("image", 1, uri=["s3://mine/a.png"], size=[100], format="png", width=1, height=1)
    table = store_table(tmp_path, {"image": ImageType()}, {"image": cells}, allow=("s3://mine/",), open_url=open_url)
    assert "<img" not in table._repr_html_()
    monkeypatch.setattr(show, "MAX_HTML_MEDIA_BYTES", 150)
    images = [encode_png(np.full((4, 4), n, np.uint8)) for n in range(4)]
    shown = store_table(tmp_path, {"image": ImageType()}, {"image": image_cells(open_backend(str(tmp_path)), images)})
    assert 0 < shown._repr_html_().count("<img") < 4
