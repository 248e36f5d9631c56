"""What may end a process, or fill its memory, tried in one of its own: `python -m tests.hostile.child <name> <root> <number> …`.

Prints what came of it as one line of JSON: `peak` in bytes, and what the action returned.
"""

from __future__ import annotations

import faulthandler
import json
import random
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["LIMIT", "run"]

LIMIT = 4 << 30
"""Bytes of address space that the child has; pyarrow reserves more than it uses."""
ROOT = Path(__file__).resolve().parent.parent.parent


def run(name: str, root: str, *numbers: int, seconds: int = 300) -> dict[str, Any]:
    """The outcome of the action `name` on the store at `root`; raises where the child was ended by a signal."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.child", name, root, *map(str, numbers)],
        cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (
        f"{name} {numbers} ended with {done.returncode}\n{done.stdout[-500:]}\n{done.stderr[-3000:]}"
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def peak() -> int:
    """The most bytes that this process has held. (What `getrusage` tells begins with those of the process that started it.)"""
    with open("/proc/self/status", encoding="ascii") as file:
        [line] = [line for line in file if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def read_text(root: str) -> dict[str, Any]:
    """Read a table as a whole, a row of it, and verify it; the kinds of errors."""
    import tableformat
    from tableformat.errors import TableformatError
    from tableformat.storage.backend import open_backend
    from tableformat.verify import verify_version

    limits = tableformat.Limits(row_group_bytes=1 << 27)
    table = tableformat.open_store(root, create=False, limits=limits)["lies"]["t"]
    kinds = set()
    for action in (table.to_arrow, lambda: table[0], lambda: list(table.head(3))):
        try:
            action()
        except TableformatError as error:
            kinds.add(error.kind)
    verify_version(open_backend(root), "lies", 0, workers=1)
    return {"kinds": sorted(kinds)}


def read_pages(root: str, first: int, count: int) -> dict[str, Any]:
    """A part without page checksums, of which bytes anywhere are changed, footers and pages; its digests are those of what it is."""
    import tableformat
    from tests.hostile.forging import forge, mutate_bytes
    from tests.hostile.reading import read_store
    from tests.hostile.samples import items_of, store_part

    store = tableformat.open_store(root, create=False)
    [item] = [item for item in items_of(store, "bare") if item["name"] == "t"]
    [part] = item["parts"]["items"]
    data = store.context.backend.read(f"data/{part['files'][0]['digest'][7:]}.parquet")
    refused = 0
    for seed in range(first, first + count):
        print(seed, flush=True)
        chance = random.Random(seed)
        footer = int.from_bytes(data[-8:-4], "little") + 8
        begin = chance.choice((0, len(data) - footer))  # a footer is small, and has the most to say
        changed = data[:begin] + mutate_bytes(data[begin:-8], chance)
        changed += (len(changed) - len(data) + footer if begin else footer - 8).to_bytes(4, "little") + b"PAR1"
        if len(changed) < footer:
            continue
        told = store_part(store, changed, part["rows"], part["values"])
        others = [one for one in items_of(store, "bare") if one["name"] == "classes"]
        forge(store.context, "lies", [*others, {**item, "parts": {"count": 1, "items": [told]}}])
        refused += bool(read_store(root, selection="lies"))
    return {"refused": refused}


ACTIONS = {"text": read_text, "pages": read_pages}

if __name__ == "__main__":
    faulthandler.enable()
    import tableformat.verify  # noqa: F401 - what is loaded does not count

    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    before = peak()
    made = ACTIONS[sys.argv[1]](sys.argv[2], *map(int, sys.argv[3:]))
    print(json.dumps({"peak": peak() - before, **made}))
