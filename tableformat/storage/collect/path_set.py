"""`PathSet`: very many paths in bounded memory, by 64 bits of each.

Two paths may share these bits, by chance or by somebody's making. So a set of this kind is used only where a path too many
does no harm: to keep an object that could have gone, or to look twice at one that is safe.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import xxhash

__all__ = ["PathSet"]

_BUFFER: Final = 1 << 20
_SPILLED: Final = 1 << 22
_FAN_IN: Final = 8

Hashes = npt.NDArray[np.uint64]


class PathSet:
    """A set of paths that can grow and be asked. Holds at most about 100 MiB: a million paths as they came, and sorted runs, which lie
    in unnamed temporary files from 4 million paths on (8 bytes a path)."""

    def __init__(self, paths: Iterable[str] = ()) -> None:
        self._fresh: set[int] = set()
        self._runs: list[Hashes] = []
        self.update(paths)

    def __len__(self) -> int:
        """How many were added, about: a path that came again much later may count again."""
        return len(self._fresh) + sum(map(len, self._runs))

    def __bool__(self) -> bool:
        return bool(self._fresh or self._runs)

    def __contains__(self, path: object) -> bool:
        if not isinstance(path, str) or not self:
            return False
        return bool(self.contains([path])[0])

    def update(self, paths: Iterable[str]) -> None:
        """Add paths."""
        hashed, add = xxhash.xxh3_64_intdigest, self._fresh.add
        for path in paths:
            add(hashed(path.encode()))
            if len(self._fresh) >= _BUFFER:
                self._end_run()

    def add(self, path: str) -> None:
        """Add one path."""
        self.update((path,))

    def contains(self, paths: Sequence[str]) -> npt.NDArray[np.bool_]:
        """For each path whether it is in the set, or shares its 64 bits with one that is."""
        wanted = np.fromiter(map(xxhash.xxh3_64_intdigest, map(str.encode, paths)), np.uint64, len(paths))
        fresh = self._fresh
        found = np.fromiter((value in fresh for value in wanted.tolist()), np.bool_, len(paths))
        for run in self._runs:
            place = np.minimum(np.searchsorted(run, wanted), len(run) - 1)
            found |= run[place] == wanted
        return found

    def _end_run(self) -> None:
        run = np.fromiter(self._fresh, np.uint64, len(self._fresh))
        run.sort()
        self._fresh = set()
        self._runs.append(run)
        if len(self._runs) > _FAN_IN:
            merged = np.unique(np.concatenate(self._runs)) if sum(map(len, self._runs)) < _SPILLED else None
            self._runs = [_merged_file(self._runs) if merged is None else merged]


def _merged_file(runs: Sequence[Hashes]) -> Hashes:
    """The runs as one, in an unnamed temporary file that lives as long as the array; holds a sixteenth of it at a time."""
    with tempfile.TemporaryFile(prefix="tableformat-") as file:
        count = 0
        bounds = [np.uint64(k << 60) for k in range(1, 16)]
        cuts = [[0, *np.searchsorted(run, np.array(bounds, np.uint64)).tolist(), len(run)] for run in runs]
        for k in range(16):
            piece = np.unique(
                np.concatenate([np.asarray(run[cut[k] : cut[k + 1]]) for run, cut in zip(runs, cuts, strict=True)])
            )
            file.write(piece.tobytes())
            count += len(piece)
        file.flush()
        return np.memmap(file, np.uint64, "r", shape=(count,))
