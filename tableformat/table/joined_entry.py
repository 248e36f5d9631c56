"""From a joined table to the entry that stores it, and back (spec/joined.md, "Entry")."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

from tableformat.document import JsonObject
from tableformat.errors import FormatError, InvalidInputError, LimitError, NotFoundError, UsageError, message
from tableformat.table.join.stored import MAX_DEPTH, JoinDocument, Target
from tableformat.table.joined import JoinedTable
from tableformat.table.table import Table

__all__ = ["document_of", "open_joined"]

FindName = Callable[[Any], str | None]
"""From an object to the name of the entry of the draft that it is; None where it is none."""

_OPENING: Final[ContextVar[tuple[str, ...]]] = ContextVar("tableformat-opening-joins", default=())
"""The joined tables that are being opened, each for the one before it."""
_OPENED: Final[ContextVar[list[int]]] = ContextVar("tableformat-opened-joins")
"""How many of them the first has opened so far."""
_MAX_OPENED: Final = 64


def document_of(joined: JoinedTable, root: str, find_name: FindName, doing: str) -> JoinDocument:
    """What is stored of a joined table in a draft of the store at `root`.

    Raises `InvalidInputError` for a selection, and for sides that are neither entries of the draft nor whole tables of versions
    of that store.
    """
    if not joined.is_whole:
        raise InvalidInputError(
            message(
                doing,
                expected="a whole joined table",
                got="a selection of it",
                todo="add it as a table, which stores its rows",
            )
        )
    left, right = (
        _target(side, name, root, find_name, doing) for side, name in zip(joined.sides, ("left", "right"), strict=True)
    )
    return JoinDocument(left, right, joined.on_given, joined.how)


def _target(side: Any, name: str, root: str, find_name: FindName, doing: str) -> Target:
    path = find_name(side)
    if path is not None:
        return Target(path)
    if isinstance(side, JoinedTable):
        return Target(joined=document_of(side, root, find_name, doing))
    if isinstance(side, str):
        raise NotFoundError(message(doing, expected=f"an entry of the draft as its {name} side", got=repr(side)[:200]))
    source = side.source
    if side.whole_entry(root) is None or not source.artifact:
        raise InvalidInputError(
            message(f"{doing}, its {name} side", path=source.address, expected="a whole table of a version of this store, or of the draft",
                    got="something else, or a selection", todo="add that table to the draft first")
        )  # fmt: skip
    artifact, _, digest = source.artifact.partition("@")
    return Target(source.name, artifact, digest)


def open_joined(item: JsonObject, address: str, open_target: Callable[[Target], Any]) -> JoinedTable:
    """The joined table of an entry, of which `open_target` opens the sides: their lines in manifests, and no rows.

    Raises `NotFoundError` where a side is gone, `FormatError` where it is no table or the join reads itself, `SchemaError` where the
    keys do not compare; each names the joined table.
    """
    opening = _OPENING.get()
    doing = "opening a joined table"
    if address in opening:
        raise FormatError(message(doing, path=address, expected="a join of other tables", got="one that reads itself"))
    if len(opening) >= MAX_DEPTH:
        raise LimitError(message(doing, path=address, expected=f"at most {MAX_DEPTH} joins that read each other"))
    document = JoinDocument.from_json(item, address)
    token = _OPENING.set((*opening, address))
    if not opening:
        _OPENED.set([0])
    count = _OPENED.get()
    count[0] += 1
    try:
        if count[0] > _MAX_OPENED:  # a few entries that each read the next one twice would be millions
            raise LimitError(
                message(doing, path=address, expected=f"at most {_MAX_OPENED} joins that one reads", got="more")
            )
        return _join(document, address, open_target)
    finally:
        _OPENING.reset(token)


def _join(document: JoinDocument, address: str, open_target: Callable[[Target], Any]) -> JoinedTable:
    left, right = (
        _open_side(target, name, address, open_target)
        for name, target in (("left", document.left), ("right", document.right))
    )
    try:
        return JoinedTable(left, right, list(document.on), document.how)
    except (NotFoundError, InvalidInputError, UsageError) as error:
        raise type(error)(f"opening the joined table {address}: {error}") from error


def _open_side(target: Target, name: str, address: str, open_target: Callable[[Target], Any]) -> Any:
    if target.joined is not None:
        return _join(target.joined, address, open_target)
    doing = f"opening the {name} side of a joined table"
    try:
        side = open_target(target)
    except NotFoundError as error:
        raise NotFoundError(
            message(doing, path=address, expected=str(target), got=f"it is gone ({error})",
                    todo="restore that version, or store the join again with what there is")
        ) from error  # fmt: skip
    if not isinstance(side, (Table, JoinedTable)):
        raise FormatError(message(doing, path=address, expected=f"a table at {target}", got=type(side).__name__))
    return side
