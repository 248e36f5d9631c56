"""`tableformat.diff`: what changed between two tables, given as objects or by address."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from tableformat.storage.backend import Options
from tableformat.store import read_table
from tableformat.table.diff.diff import Diff, compare_tables
from tableformat.table.diff.found import Keep
from tableformat.table.join.memory import Memory

__all__ = ["diff"]


def diff(
    a: Any,
    b: Any,
    on: Any = None,
    keep: Keep = "changed",
    *,
    memory: Memory = None,
    storage_options: Options | None = None,
    allow: Sequence[str] = (),
) -> Diff:
    """What changed from table `a` to table `b`: added, removed and changed rows, with the columns that changed, before and after.

    `a` and `b` are tables, selections of tables, or addresses that `read_table` takes, of any artifacts and stores; `storage_options` and
    `allow` are for addresses. `on` is a column, a pair `(in a, in b)`, or a list of these, whose values tell rows apart; a column of
    media compares by digest. By default it is the key of both tables; where they have none, rows are compared as multisets.
    `keep="all"` adds the rows that are the same.

    Equality is that of value digests: of type and bits, media by digest, whatever the order of the rows (spec/diff.md). Parts whose digests are
    equal are not read; of others only the key and the columns that differ. Holds about `memory`, bytes or a text such as
    "512 MB" (the default), and temporary files for the rest. Lazy: rows are read when the result is, and the same result is made from the same tables
    whatever the memory.

    Raises `UsageError` for wrong arguments and tables of which only one has a key, `NotFoundError` for a key column that is not there, `SchemaError`
    for keys that do not compare; when it is read, `KeyValueError` with examples where a key is null or stands twice.
    """
    tables = [
        read_table(table, storage_options, allow) if isinstance(table, (str, os.PathLike)) else table
        for table in (a, b)
    ]
    return compare_tables(tables[0], tables[1], on, keep, memory)
