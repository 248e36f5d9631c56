"""What `import tableformat` costs above `import pyarrow`, each in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks import data
from benchmarks.harness import Goal, Job, Run, main

ALONE, MORE = "import pyarrow", "import tableformat, after pyarrow"
ALL = "import tableformat and use every public name, after pyarrow"


def _import(run: Run, before: str, timed: str) -> None:
    program = f"import time\n{before}\nstart = time.perf_counter()\n{timed}\nprint(time.perf_counter() - start)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True
    )
    run.seconds = float(done.stdout)
    run.counts["rows"] = 1


def import_time(size: data.Size, folder: Path) -> Job:
    """A fresh interpreter each time, files in the page cache."""

    def alone(run: Run) -> None:
        _import(run, "", "import pyarrow")

    def more(run: Run) -> None:
        _import(run, "import pyarrow", "import tableformat")

    def everything(run: Run) -> None:
        # Names are loaded when they are first looked up, so this is what a program that uses all of them waits for.
        use = "import tableformat\nfor name in tableformat.__all__: getattr(tableformat, name)"
        _import(run, "import pyarrow", use)

    contenders = {ALONE: alone, MORE: more, ALL: everything}
    return Job("import", "a fresh interpreter", contenders, [Goal(MORE, "seconds", 0.150, "at most")])


JOBS = {"import": import_time}

if __name__ == "__main__":
    main("bench_import", JOBS)
