"""What of a store is to be verified: one version, all of an artifact, or everything; every byte, or a share of the files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tableformat.context import StoreContext
from tableformat.errors import FormatError, InvalidInputError, NotFoundError, UsageError, message
from tableformat.storage.names import check_name, encode_name, parse_selection
from tableformat.storage.series import slot_number
from tableformat.storage.verify_sample import verify_sample
from tableformat.storage.versions import Tombstone, VersionFile
from tableformat.verify import Progress, VerifyReport, verify_versions

__all__ = ["verify_selected"]

Wanted = tuple[str, int | None, str | None]


def verify_selected(
    context: StoreContext,
    selection: str | None,
    *,
    every: bool = False,
    sample: float | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> VerifyReport:
    """See `Store.verify`."""
    wanted = list(_wanted(context, selection, every))
    if sample is None:
        return verify_versions(context.backend, wanted, progress=progress, workers=workers)
    if not 0 <= sample <= 1:
        raise InvalidInputError(message("verifying a sample", expected="a share from 0 to 1", got=sample))
    return verify_sample(context.backend, _versions(context, wanted), sample, progress=progress, workers=workers)


def _wanted(context: StoreContext, selection: str | None, every: bool) -> Iterator[Wanted]:
    if selection is None:
        for name in context.artifact_names():
            yield from ((name, slot, None) for slot in _slots(context, name))
        return
    name, selector = parse_selection(selection)
    slot = selector.slot
    if every:
        if (slot, selector.digest, selector.alias) != (None, None, None):
            raise UsageError(message("verifying all versions", expected="the name of an artifact", got=selection))
        slots = _slots(context, check_name(name))
        if not slots:
            raise NotFoundError(message("verifying", path=f"{context.root}#{name}", expected="an artifact", got="none"))
        yield from ((name, one, None) for one in slots)
        return
    if slot is not None:
        with contextlib.suppress(FormatError):  # a damaged version file is for the report
            context.versions(name).require(slot)
    elif selector.digest is None:
        slot = context.resolve(name, selector).slot
    yield name, slot, selector.digest


def _slots(context: StoreContext, name: str) -> list[int]:
    """The slots of all versions that were not deleted, as a listing shows them; a missing one below others counts as one."""
    folder = f"artifacts/{encode_name(name)}/versions/"
    numbers = [slot_number(info.path.removeprefix(folder)) for info in context.backend.list(folder[:-1])]
    found = []
    for slot in range(max((number for number in numbers if number is not None), default=-1) + 1):
        try:
            is_gone = isinstance(context.versions(name).read(slot), Tombstone)
        except FormatError:
            is_gone = False  # damaged: for the report
        if not is_gone:
            found.append(slot)
    return found


def _versions(context: StoreContext, wanted: list[Wanted]) -> Iterator[tuple[str, VersionFile]]:
    """The version files; of a version given by digest what a walk needs of one."""
    for name, slot, digest in wanted:
        if slot is not None:
            yield name, context.versions(name).require(slot)
        elif digest is not None:
            yield name, VersionFile(digest, 0, "")
