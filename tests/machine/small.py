"""Bounds made small, so that a dozen rows cross what takes millions: blocks of digests, leaves of lists, windows of a diff."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from tableformat.format import item_list, value_digest
from tableformat.storage import manifests
from tableformat.table import reuse
from tableformat.table.diff import entries, match
from tableformat.table.edit import alter, chain, columns, new_keys

__all__ = ["BLOCK_ROWS", "fast_folder", "small_bounds"]

BLOCK_ROWS = 8
_SHARED_MEMORY = Path("/dev/shm")


@contextlib.contextmanager
def small_bounds() -> Iterator[None]:
    """Blocks of eight rows, lists in leaves after 600 bytes, column files however small: of whatever is written meanwhile.

    What is written has other digests than it would have, so it is read in here, too.
    """
    chain._REMEMBERED.clear()
    with contextlib.ExitStack() as stack:
        for module in (value_digest, chain, alter):
            stack.enter_context(mock.patch.object(module, "BLOCK_ROWS", BLOCK_ROWS))
        stack.enter_context(mock.patch.object(item_list, "_DIVISORS", (2, 4, 16)))
        for function in (manifests.write_items, manifests.write_entries, manifests.append_items):
            stack.enter_context(mock.patch.dict(function.__kwdefaults__, inline_bytes=600))
        for name in ("_PLAIN_BYTES", "_LEAST_BYTES"):
            stack.enter_context(mock.patch.object(reuse, name, -1))
        stack.enter_context(mock.patch.object(match, "_WINDOW_ROWS", 4))
        stack.enter_context(mock.patch.object(entries, "_SLICE_ROWS", 3))
        stack.enter_context(mock.patch.object(columns, "_CHUNK_ROWS", 3))
        stack.enter_context(mock.patch.object(new_keys, "_PARTS_AT_A_TIME", 2))
        try:
            yield
        finally:
            chain._REMEMBERED.clear()


@contextlib.contextmanager
def fast_folder() -> Iterator[Path]:
    """A temporary folder, in memory where there is a file system for it: thousands of small files are made durable there."""
    where = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=where) as folder:
        yield Path(folder)
