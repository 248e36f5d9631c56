"""Forms of files that are read as tables though they are none of this format: who reads them, by the end of their name.

The readers stand above, where converters are; their names are looked up when a file of theirs is met.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final

from tableformat.table.deferred import Deferred, DeferredTable
from tableformat.table.table import Table

__all__ = ["open_form"]

_READERS: Final = {".json": "tableformat.convert.legacy.reading:open_json"}
"""By suffix: a function of a URL and storage options that gives a `Deferred`, or raises `FormatError`."""


def open_form(url: str, storage_options: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None) -> Table | None:
    """The table in the file at `url`, any that fsspec knows, where its name ends in a known suffix; else None.

    Reads a bounded part of it. Raises `NotFoundError`, and `FormatError` where the file is no table.
    """
    for suffix, reader in _READERS.items():
        if any(link.endswith(suffix) for link in url.split("::")) and not os.path.isdir(url):
            module, _, name = reader.partition(":")
            deferred: Deferred = getattr(import_module(module), name)(url, storage_options)
            return DeferredTable(deferred)
    return None
