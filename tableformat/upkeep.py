"""`Upkeep`: what a store offers for keeping it: collecting garbage, expiring versions, erasing, repairing.

Each method hands over to `storage/collect` and `erasure`; nothing here decides what may be deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from tableformat.context import StoreContext
from tableformat.erasure import ErasureReport, erase_media, erase_rows
from tableformat.errors import InvalidInputError, message
from tableformat.origins import Origins
from tableformat.storage.backend import open_backend
from tableformat.storage.collect.collector import GRACE_S, Collector, GcReport
from tableformat.storage.collect.expiry import Expired, expire_versions
from tableformat.storage.collect.repack import Repacking
from tableformat.storage.collect.repair import Repairer, RepairReport
from tableformat.storage.names import check_name, parse_selection

__all__ = ["ErasureReport", "Expired", "GcReport", "RepairReport", "Upkeep"]

Say = Callable[[str], None]


def _silent(_: str) -> None:
    """Say nothing."""


class Upkeep:
    """The part of `Store` that looks after what is stored."""

    _context: StoreContext

    def gc(
        self,
        dry_run: bool = True,
        *,
        grace: float = GRACE_S,
        exclusive: bool = False,
        repack: float | None = None,
        progress: Say = _silent,
    ) -> GcReport:
        """Delete what no version reaches, while others write; `dry_run` only tells what and how much, by kind.

        In steps, each call as far as it can go: a plan condemns what nothing reaches and what is older than `grace` seconds (by the clock
        of the backend; 8 days by default, and never 7 or fewer), and `grace` seconds later, in another call, what is still not reached
        and what no writer has asked for is deleted. Writers that take longer than 7 days cannot commit. With `exclusive=True` the
        caller vouches that nobody else writes to the store or collects it: then `grace` may be 0, and plan and deletion come in one call.

        With `repack`, such as 0.5, packs of which less than that share of bytes is pointed at are written again, behind moved/ files:
        that reads the media columns of all parts. Digests of versions do not change.

        `progress` is called with what is being done. Reads every root and leaf of the store; holds about 100 MiB, and 100 bytes
        for each leaf. Raises `UnsupportedError` where a version requires a feature that is not known, `FormatError` and `NotFoundError`
        for damage: nothing more is deleted then.
        """
        collector = Collector(self._context.backend, grace=grace, exclusive=exclusive, say=progress)
        if dry_run:
            return collector.look()
        if repack is not None and not 0 < repack <= 1:
            raise InvalidInputError(message("collecting garbage", expected="repack above 0 and up to 1", got=repack))
        packs = Repacking(self._context.backend, repack or 0.0, progress)
        return collector.run([] if repack is None else packs.candidates(), packs.save)

    def expire(
        self,
        name: str,
        keep_last: int | None = None,
        *,
        versions: Sequence[str] | None = None,
        dry_run: bool = False,
        force: bool = False,
    ) -> Expired:
        """Delete old versions of an artifact: all but the newest `keep_last`, or `versions` such as `["v3"]`. Tombstones stay in
        their place, and their bytes until `gc`.

        A version stays that an alias names, that a joined table of a version that stays reads, or that such a version was made from;
        the report says which and why. `force` deletes those as well. The newest version stays always. Raises `NotFoundError`.
        """
        slots = None if versions is None else [self._slot_of(check_name(name), one) for one in versions]
        return expire_versions(self._context.backend, check_name(name), keep_last, slots, force=force, dry_run=dry_run)

    def erase(
        self,
        digests: str | Iterable[str] = (),
        *,
        table: str | None = None,
        keys: Sequence[Any] | None = None,
        dry_run: bool = False,
        progress: Say = _silent,
    ) -> ErasureReport:
        """Erase media by digest (`sha256:…`), or rows of a table (`"animals/train"`) by key with all media that they own, from the
        whole store, at once and for good. Readers of what is gone get `ErasedError`, and `verify` accepts it.

        Packs are written again without the bytes. Rows: a new version without them is committed, every version that has them becomes a
        tombstone whatever pins it, and their parts are deleted; other rows that use the same media lose them too. The report says what
        may be left inside the store (`left`), and what no erasure reaches (`unreached`). Reads the media columns of all parts, or the key
        and media columns of the table's, and the directory of every pack. Raises `InvalidInputError`, `NotFoundError`, `UsageError`.
        """
        if (table is None) != (keys is None) or (table is not None and not isinstance(digests, tuple)):
            raise InvalidInputError(message("erasing", expected="digests, or table and keys", got="some of both"))
        if table is None:
            return erase_media(self._context, digests, dry_run=dry_run, say=progress)
        artifact, _, entry = table.partition("/")
        return erase_rows(
            self._context, lambda name: cast("Any", self).draft(name, base="latest", message="rows were erased"),
            check_name(artifact), entry, list(keys or ()), dry_run=dry_run, say=progress,
        )  # fmt: skip

    def repair(
        self,
        source: Any = None,
        *,
        artifact: str | None = None,
        references: bool = True,
        dry_run: bool = False,
        progress: Say = _silent,
    ) -> RepairReport:
        """Bring back what is missing or damaged: from `source`, another store (a `Store`, its URL, or several), and with `references`
        from where owned media came from, as far as that was allowed when this store was opened.

        Reads and compares every object of all versions, or of those of one artifact. What is right in a damaged pack moves to another
        one, behind a moved/ file. The report lists what was repaired, and what is lost. Holds a pack, three times.
        """
        given = source if isinstance(source, list | tuple) else [] if source is None else [source]
        sources = [one._context.backend if isinstance(one, Upkeep) else open_backend(str(one)) for one in given]
        fetch = Origins(self._context).fetch if references else lambda _: None
        repairer = Repairer(
            self._context.backend, sources, fetch=cast("Callable[[bytes], bytes | None]", fetch), dry_run=dry_run, say=progress
        )  # fmt: skip
        return repairer.run(None if artifact is None else [check_name(artifact)])

    def _slot_of(self, name: str, version: str) -> int:
        _, selector = parse_selection(f"{name}:{version}")
        return self._context.resolve(name, selector).slot
