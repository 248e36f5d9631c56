"""Aliases of an artifact, from one store to another: set where there is none, moved where the source moved it, else left."""

from __future__ import annotations

from collections.abc import Mapping

from tableformat.context import StoreContext
from tableformat.copying.versions import Known
from tableformat.errors import TableformatError
from tableformat.storage.aliases import AliasMove
from tableformat.storage.names import encode_name
from tableformat.storage.series import Series

__all__ = ["copy_aliases"]

_MAX_BYTES = 64 << 10


def copy_aliases(
    source: StoreContext, target: StoreContext, name: str, new_name: str, slots: Mapping[int, Known]
) -> tuple[dict[str, str], list[str]]:
    """Set the aliases of `name` at the target: by alias the version that it names there, and what was left and why.

    An alias that names another version at the target is moved if the source's alias named that version before, else left: somebody set it
    there. Reads every move of the aliases that differ.
    """
    set_, left = {}, []
    try:
        names = source.aliases(name).names()
    except TableformatError as error:
        if not source.backend.is_read_only:
            raise
        return {}, [f"aliases: the source cannot be listed ({error})"]
    there = target.aliases(new_name)
    for alias in names:
        move = source.aliases(name).read(alias)
        if move is None or move.slot is None or move.root is None:
            continue
        copied, now = slots.get(move.slot), there.read(alias)
        if copied is None or copied.is_deleted:
            left.append(f"alias {alias}: it names v{move.slot}, which the target does not hold")
        elif now is not None and now.root != move.root and now.root not in _named(source, name, alias):
            left.append(f"alias {alias}: at the target it names v{now.slot}, which is not from here")
        else:
            there.set(alias, copied.slot, move.root)
            set_[alias] = f"v{copied.slot}"
    return set_, left


def _named(context: StoreContext, name: str, alias: str) -> set[str | None]:
    """The digests of all versions that an alias named so far."""
    folder = f"artifacts/{encode_name(name)}/aliases/{encode_name(alias, 'alias')}"
    series = Series(context.backend, folder, limit=_MAX_BYTES)
    newest = series.newest()
    numbers = range(0 if newest is None else newest[0])
    return {AliasMove.from_bytes(series.require(number), series.path(number)).root for number in numbers}
