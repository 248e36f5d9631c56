"""Addresses on the command line: `<root>#<name>[:v3|:alias|@sha256:…][/<entry>]`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import tableformat
from tableformat.errors import IllegalNameError, TableformatError, UsageError, message

__all__ = ["Place", "open_artifact", "open_entry", "open_rows", "open_table", "split_address"]

_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})|%2[fF](?=[^#]*$)")
"""A percent sign without two hex digits, or an escaped slash, which would not separate segments."""


@dataclass(frozen=True, slots=True)
class Place:
    """An address taken apart; the library checks the names in it."""

    root: str
    """Where the store lies."""
    selection: str
    """What `store[…]` takes: `name`, `name:v3`, `name:alias`, `name@sha256:…`."""
    entry: str | None
    """The name of an entry."""

    @property
    def name(self) -> str:
        """Name of the artifact, without a version."""
        return self.selection.partition("@")[0].partition(":")[0]

    @property
    def version(self) -> str | None:
        """What follows the name: `v3`, an alias, `sha256:…`."""
        name, at, digest = self.selection.partition("@")
        return digest if at else name.partition(":")[2] or None


def split_address(text: str) -> Place:
    """The parts of an address. The last `#` ends the root; what follows is percent-decoded, once, after it was split."""
    root, mark, fragment = text.rpartition("#")
    if not mark or not root:
        raise UsageError(
            message(
                "reading an address",
                expected="<store>#<name>[:version][/<entry>]",
                got=ascii(text)[:200],
                todo="quote it: the shell takes # for a comment",
            )
        )
    selection, slash, entry = fragment.partition("/")
    try:
        if _BAD_ESCAPE.search(fragment):
            raise ValueError(fragment)
        return Place(root, unquote(selection, errors="strict"), unquote(entry, errors="strict") if slash else None)
    except ValueError as error:
        raise IllegalNameError(
            message(
                "reading an address",
                expected="two hex digits behind each %, UTF-8 in them, and no escaped slash",
                got=ascii(text)[:200],
            )
        ) from error


def open_artifact(text: str) -> tableformat.Artifact:
    """The version that an address names, whatever its entry."""
    place = split_address(text)
    return tableformat.open_store(place.root, create=False)[place.selection]


def open_entry(text: str) -> Any:
    """The object that an address names; without an entry, the one table of the version."""
    place = split_address(text)
    artifact = tableformat.open_store(place.root, create=False)[place.selection]
    if place.entry is not None:
        return artifact[place.entry]
    tables = [name for name, kind in artifact.kinds().items() if kind == "table"]
    if len(tables) != 1:
        got = f"the tables {', '.join(tables[:20])}" if tables else "no table"
        raise UsageError(
            message(
                "opening a table",
                path=text,
                expected="an address that ends in the name of a table, such as …#name/table",
                got=got,
            )
        )
    return artifact[tables[0]]


def open_table(text: str) -> tableformat.Table:
    """The table at an address, or of the Parquet file or folder at a path without `#`."""
    found = open_entry(text) if "#" in text else _open_bare(text)
    if not isinstance(found, tableformat.Table):
        raise UsageError(
            message(
                "opening a table",
                path=text,
                expected="a table",
                got=type(found).__name__.lower(),
                todo="tableformat show tells what there is",
            )
        )
    return found


def open_rows(text: str) -> tableformat.Table | tableformat.JoinedTable:
    """The table at an address as `open_table` opens it, or a joined table."""
    if "#" in text and isinstance(found := open_entry(text), tableformat.JoinedTable):
        return found
    return open_table(text)


def _open_bare(path: str) -> tableformat.Table:
    try:
        store = tableformat.open_store(path, create=False)
    except TableformatError:  # no store, so it should be Parquet
        return tableformat.read_table(path)
    names = ", ".join(store.artifacts()[:20]) or "none"
    raise UsageError(
        message(
            "opening a table",
            path=path,
            expected=f"the address of a table, such as '{path}#name/table'",
            got="a whole store",
            todo=f"its artifacts: {names}",
        )
    )
