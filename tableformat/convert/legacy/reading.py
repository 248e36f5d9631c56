"""`read_wandb_table`: one `*.table.json` as a table, without a store of one's own."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref

import tableformat
from tableformat.convert.legacy.convert import convert_wandb
from tableformat.errors import FormatError, InvalidInputError, message
from tableformat.progress import Progress

__all__ = ["read_wandb_table"]

_NAME = "table"


def read_wandb_table(
    url: str | os.PathLike[str], *, strict: bool = False, progress: Progress = False
) -> tableformat.Table:
    """The table in the `*.table.json` at `url`, a path or any URL that fsspec knows, with the media it names.

    It is converted into a temporary folder, which goes away with the last table made from it. Holds what a conversion holds.
    Raises `NotFoundError`, `FormatError` for a file that is no table, and with `strict` `InvalidInputError` for a damaged one.
    """
    folder = tempfile.mkdtemp(prefix="tableformat-legacy-")
    try:
        store = tableformat.open_store(folder)
        try:
            report = convert_wandb(url, store, artifact=_NAME, strict=strict, progress=progress)
        except InvalidInputError as error:
            if strict:
                raise
            raise FormatError(
                message("reading a legacy table", path=os.fspath(url), expected="a table", got=str(error))
            ) from error
        entries = [entry.entry for entry in report.artifacts[0].entries if entry.kind == "table"]
        if not entries:
            raise FormatError(
                message("reading a legacy table", path=os.fspath(url), expected="a table with columns", got="none")
            )
        table: tableformat.Table = store[_NAME][entries[0]]
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    # Every table that is made from it reads through this backend.
    weakref.finalize(store.context.backend, shutil.rmtree, folder, ignore_errors=True)
    return table
