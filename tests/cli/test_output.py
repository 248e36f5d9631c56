"""What commands say, as text."""

from __future__ import annotations

import pytest

from tableformat.cli.output import stored_text


@pytest.mark.parametrize(
    ("report", "text"),
    [
        ({"bytes_new": 3_400_000, "bytes_shared": 0, "rows": 5}, "3.4 MB new, 0 B of media deduplicated"),
        ({"bytes_new": 1, "bytes_shared": 2, "rows": 1000, "rows_reused": 900, "bytes_reused": 9}, "1 B new, 2 B of media deduplicated, 900 of 1,000 rows as before"),
        ({"bytes_new": 1, "bytes_shared": 0, "rows": 1000, "rows_reused": 0, "bytes_reused": 9000}, "1 B new, 0 B of media deduplicated, 9.0 kB of columns as before"),
    ],
)  # fmt: skip
def test_what_a_commit_stored(report: dict[str, int], text: str) -> None:
    """New and shared bytes, and of a table written again what share of it was the same."""
    assert stored_text(report) == text
