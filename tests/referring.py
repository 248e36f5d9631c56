"""Jobs on what lies outside of a store, which kill themselves: `python -m tests.referring STORE FOLDER KIND STEPS`.

After so many steps (paths that were listed into rows, or references that were fetched) the process sends itself SIGKILL; with 0 it
ends. Each fetch is noted in `STORE.fetched`. Seals are made as often as they can be.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import tableformat
from tableformat import draft_references, owned_rows, resumable
from tableformat.format.media.png import encode_png
from tableformat.storage.outside.reader import Outside
from tableformat.table import own, sealing

ROOT = Path(__file__).resolve().parent.parent
SESSION = "nightly"
BATCH = 16


def fill(folder: Path, count: int) -> str:
    """So many images of two classes below `folder`, of which some are equal; the URL of the folder."""
    for number in range(count):
        place = folder / ("cats" if number % 2 else "dogs")
        place.mkdir(parents=True, exist_ok=True)
        side = 20 if number % 9 == 0 else 40  # small ones stand in their cells
        pixels = np.random.default_rng(number % (count * 4 // 5)).integers(0, 256, (side, side), np.uint8)
        (place / f"{number:05d}.png").write_bytes(encode_png(pixels))
    return folder.as_uri()


def label(path: str) -> Mapping[str, Any] | None:
    """Columns of a path; every seventh image is left out, and the type of a column widens on the way."""
    number = int(path[-9:-4])
    return None if number % 7 == 0 else {"label": path[:4], "number": number if path < "dogs" else number / 2}


def refer(draft: tableformat.Draft, url: str, columns: Any = label) -> int:
    """Make a table of all below `url`."""
    return draft.add_references("t", url, columns, progress=False)


def take(draft: tableformat.Draft) -> Any:
    """Own the images of the table, those of one class first."""
    first = draft.own("t", "image", label="dogs", progress=False, on_changed="collect")
    return first, draft.own("t", "image", progress=False, on_changed="collect")


def run(root: Path, folder: Path, kind: str, steps: int, session: str | None = SESSION) -> tableformat.Draft:
    """One run of a job, to its end, or to the end of this process."""
    left = [steps]

    def step() -> None:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    def columns(path: str) -> Mapping[str, Any] | None:
        step()
        return label(path)

    read = Outside.read

    def noted(self: Outside, wanted: Any, *args: Any) -> bytes:
        with open(f"{root}.fetched", "a") as notes:
            notes.write(wanted.url + "\n")
        step()
        return read(self, wanted, *args)

    store = tableformat.open_store(root, allow=[folder.as_uri()])
    base = None if kind == "refer" else "latest"
    Outside.read = noted  # type: ignore[method-assign,assignment]
    try:
        with store.draft("a", base=base, session=session) as draft:
            if kind == "refer":
                refer(draft, folder.as_uri(), columns)
            else:
                take(draft)
    finally:
        Outside.read = read  # type: ignore[method-assign]
    return draft


def often(set_: Any = setattr) -> None:
    """Seal whenever it can be done, in small batches."""
    mark = sealing.Sealing._take_mark
    set_(sealing.Sealing, "_take_mark", lambda self, *, wait: mark(self, wait=True))  # due is durable
    set_(resumable, "LEAST_S", 0.0)
    set_(sealing, "MOST_S", 0.0)
    set_(draft_references, "_BATCH_ROWS", BATCH)
    set_(own, "_GROUP_ROWS", BATCH)
    set_(owned_rows, "_SEAL_BYTES", 1)


def run_apart(root: Path, folder: Path, kind: str, steps: int) -> subprocess.CompletedProcess[str]:
    """`run` in a process of its own."""
    command = [sys.executable, "-m", "tests.referring", str(root), str(folder), kind, str(steps)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    often()
    run(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
