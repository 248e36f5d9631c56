"""Verification of a share of a store's files, drawn at random: whether all are there, and whether some are what their names say.

Every root and leaf is read, since they tell what there is, and the size of every object is asked for. Of packs, blobs and parts a share is
read and hashed; rows are not decoded. Done often with another seed each time, it finds rot as surely as a whole verification does, later.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Final

from tableformat.errors import CorruptError, NotFoundError
from tableformat.storage.collect.paths import kind_of, uri_of
from tableformat.storage.collect.reach import Reach
from tableformat.storage.interface import Backend
from tableformat.storage.moved import moved_path
from tableformat.storage.verify_report import Findings, Progress, VerifyReport
from tableformat.storage.versions import VersionFile

__all__ = ["verify_sample"]

_PIECE: Final = 4 << 20
_TOGETHER: Final = 256


def verify_sample(
    backend: Backend,
    versions: Iterable[tuple[str, VersionFile]],
    share: float,
    *,
    seed: int | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> VerifyReport:
    """Check that everything that versions reach is there, and hash a `share` (0 to 1) of their parts, packs and blobs.

    Holds the paths of all objects of the versions, and a piece of a file for each thread. Problems name the file.
    """
    findings = Findings(progress)
    chance = random.Random(seed)  # noqa: S311 - draws a sample
    seen: set[str] = set()
    reach = Reach(backend, lambda path: backend.size(path) is not None)

    def check(one: tuple[str, bool]) -> None:
        path, is_drawn = one
        with findings.guard(path):
            _check(backend, findings, path, is_drawn)

    with ThreadPoolExecutor(workers or min(os.cpu_count() or 1, 8), "verify") as helpers:
        for name, version in versions:
            with findings.guard(f"{name}:v{version.slot}"):
                paths = _fresh(reach.paths(version.root, version.inline), seen)
                while batch := [(path, chance.random() < share) for path in islice(paths, _TOGETHER)]:
                    list(helpers.map(check, batch))
    return findings.report()


def _fresh(paths: Iterator[str], seen: set[str]) -> Iterator[str]:
    for path in paths:
        if path not in seen and kind_of(path) not in ("moved", None):
            seen.add(path)
            yield path


def _check(backend: Backend, findings: Findings, path: str, is_drawn: bool) -> None:
    kind, uri = kind_of(path), uri_of(path.removesuffix(".sums"))
    size = backend.size(path)
    if size is None:
        if uri is not None and backend.size(moved_path(uri)) is not None:
            return
        raise NotFoundError("no such file")
    if kind == "sums" or not (is_drawn or kind in ("roots", "leaves")):
        return
    whole = hashlib.sha256()
    for start in range(0, size, _PIECE):
        piece = backend.read(path, start, min(_PIECE, size - start))
        whole.update(piece)
        findings.read(path, len(piece))
    findings.read(path, 0, files=1)
    if whole.hexdigest() != path.rpartition("/")[2].split(".", 1)[0]:
        raise CorruptError(f"the SHA-256 of the file is {whole.hexdigest()}, which is not its name")
