"""`Edited`: what one change to a table did, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Edited"]


@dataclass(frozen=True, slots=True)
class Edited:
    """What one change to a table did. All counts are of rows unless said otherwise."""

    inserted: int = 0
    """Rows with a key that the table did not have."""
    updated: int = 0
    """Rows that took the place of one with the same key."""
    unchanged: int = 0
    """Rows given that equal what is there; nothing was stored for them."""
    deleted: int = 0
    """Rows that are no longer there; those that were updated do not count."""
    missing: int = 0
    """Of `delete(keys=…)`, keys that the table does not have; of `add_columns` by key, rows for which nothing was given."""
    columns: tuple[str, ...] = ()
    """Columns that were added or whose values were replaced."""
    parts_rewritten: int = 0
    """Parts whose rows were stored again, because that is cheaper than to note what changed."""
    bytes_new: int = 0
    """Bytes of the files stored: parts, column files and deletions. Media and manifests do not count."""
