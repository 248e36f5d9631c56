"""Runs contenders side by side and says what came out: medians of alternating repeats, memory, bytes on disk, ratios.

Contenders of one job take turns within one run of the program, so that what the machine does meanwhile hits all of them.
A job that asks about memory runs each contender in a forked child, which shares the data and starts from the same heap.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import pickle
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from benchmarks.data import SIZES, Size

__all__ = ["Goal", "Job", "MakeJob", "Run", "folder_bytes", "main", "measure"]

RESULTS = Path(__file__).parent / "results"


@dataclass(slots=True)
class Run:
    """One turn of one contender: its folder, what it timed, what it counted."""

    folder: Path
    """An empty folder of this turn alone."""
    seconds: float = 0.0
    """Wall time inside `timed()`."""
    cpu_seconds: float = 0.0
    """Processor time inside `timed()`, of all threads."""
    peak_bytes: int = 0
    """Most resident memory inside `timed()` above what it was at its start."""
    foreign_cores: float = 0.0
    """Cores that other programs used meanwhile: above about 0.3 the turn tells little."""
    counts: dict[str, float] = field(default_factory=dict)
    """What was done, in numbers that do not depend on the machine: `rows`, `bytes_in`, `bytes_added`, …"""

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """Time what is inside; several blocks add up."""
        _reset_peak()
        resident, busy = _status("VmRSS"), _busy_seconds()
        cpu, start = time.process_time(), time.perf_counter()
        try:
            yield
        finally:
            seconds, own = time.perf_counter() - start, time.process_time() - cpu
            self.seconds += seconds
            self.cpu_seconds += own
            self.peak_bytes = max(self.peak_bytes, _status("VmHWM") - resident)
            self.foreign_cores = max(0.0, (_busy_seconds() - busy - own) / seconds) if seconds > 0.2 else 0.0


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on what one contender measures, alone or in relation to another's."""

    contender: str
    quantity: str
    """`seconds`, `peak_bytes`, `us_per_row`, `rows_per_second`, or the name of a count."""
    bound: float
    side: Literal["at least", "at most"]
    against: tuple[str, ...] = ()
    """The contenders that it is divided by: the best of them. None: the bound is the quantity itself."""


@dataclass(frozen=True, slots=True)
class Job:
    """Contenders for the same work on the same data."""

    name: str
    what: str
    """One line for the reader of the table."""
    contenders: Mapping[str, Callable[[Run], None]]
    goals: Sequence[Goal] = ()
    isolate: bool = False
    """Run each turn in a forked child: for jobs about memory."""


MakeJob = Callable[[Size, Path], Job]
"""Makes a job for data of a size; the folder is for what its contenders share, such as a store to read."""


def measure(job: Job, repeat: int) -> dict[str, list[Run]]:
    """Run the job `repeat` times, contenders taking turns, the first of each round another one every time.

    One turn of each goes before and is not counted, so that imports and the page cache are warm. Raises `AssertionError`
    where contenders disagree on the rows.
    """
    runs: dict[str, list[Run]] = {name: [] for name in job.contenders}
    names = list(job.contenders)
    for turn in range(-1 if repeat > 1 and not job.isolate else 0, repeat):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            with _scratch() as folder:
                run = Run(Path(folder))
                if job.isolate:
                    run = _in_child(job.contenders[name], run)
                else:
                    job.contenders[name](run)
            if turn >= 0:
                runs[name].append(run)
    counted = {name: {run.counts.get("rows") for run in done} for name, done in runs.items()}
    assert len(set.union(*counted.values())) == 1, f"{job.name}: the contenders did not do the same work: {counted}"
    return runs


def _in_child(contender: Callable[[Run], None], run: Run) -> Run:
    """The contender's turn in a forked child, which sends the `Run` back.

    The child is to find what a process of its own would: memory that the parent has freed and kept would be copied as soon as it is
    written, and objects of the parent as soon as a collection counts them.
    """
    receiving, sending = os.pipe()
    gc.collect()
    pa.default_memory_pool().release_unused()
    gc.freeze()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(receiving)
            contender(run)
            with os.fdopen(sending, "wb") as pipe:
                pipe.write(pickle.dumps(run))
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)
    gc.unfreeze()
    os.close(sending)
    with os.fdopen(receiving, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise RuntimeError(f"the child of this turn ended with status {os.waitstatus_to_exitcode(status)}")
    done = pickle.loads(answer)
    assert isinstance(done, Run)
    return done


def _reset_peak() -> None:
    with contextlib.suppress(OSError):  # not on Linux: the peak is then that of the whole process
        Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> int:
    """A line of /proc/self/status in bytes; 0 where there is none."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def _busy_seconds() -> float:
    """Seconds in which all cores together did something for anybody, since boot; 0 where unknown."""
    try:
        user, nice, system, _idle, _wait, irq, softirq, *_ = map(
            int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        )
    except OSError:
        return 0.0
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def folder_bytes(folder: Path, pattern: str = "**/*", *, since: int = 0) -> int:
    """The sizes of the files below `folder` that match and were written since a moment in nanoseconds, added up."""
    written = (path.stat() for path in folder.glob(pattern) if path.is_file())
    return sum(status.st_size for status in written if status.st_mtime_ns >= since)


def quantities(runs: Sequence[Run]) -> dict[str, float]:
    """The medians of a contender's turns, and what follows from them."""
    median = {
        name: statistics.median(getattr(run, name) for run in runs)
        for name in ("seconds", "cpu_seconds", "peak_bytes", "foreign_cores")
    }
    counts: dict[str, float] = {name: statistics.median(run.counts[name] for run in runs) for name in runs[0].counts}
    if rows := counts.get("rows"):
        median["rows_per_second"] = rows / median["seconds"] if median["seconds"] else 0.0
        median["us_per_row"] = 1e6 * median["seconds"] / rows
    return {**median, **counts}


def judge(goal: Goal, medians: Mapping[str, Mapping[str, float]]) -> tuple[float, bool]:
    """The figure that the goal speaks of, and whether it is met."""
    figure = medians[goal.contender][goal.quantity]
    if goal.against:
        others = [medians[name][goal.quantity] for name in goal.against]
        figure /= max(others) if goal.side == "at least" else min(others)
    return figure, figure >= goal.bound if goal.side == "at least" else figure <= goal.bound


def report(job: Job, runs: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """Print the table of one job and return what goes into the results file."""
    medians = {name: quantities(done) for name, done in runs.items()}
    print(f"\n{job.name}: {job.what}")
    width = max(len(name) for name in medians)
    for name, values in medians.items():
        seconds = [run.seconds for run in runs[name]]
        counts = ", ".join(
            f"{key} {value:,.0f}" if value == int(value) else f"{key} {value:,.3f}"
            for key, value in values.items()
            if key in runs[name][0].counts and key != "rows"
        )
        print(
            f"  {name:{width}}  {values['seconds']:9.4f} s ({min(seconds):.4f}–{max(seconds):.4f}, n={len(seconds)})"
            f"  {values.get('rows_per_second', 0):14,.0f} rows/s  +{values['peak_bytes'] / 1e6:7.1f} MB  foreign {values['foreign_cores']:.2f}  {counts}"
        )
    verdicts = []
    for goal in job.goals:
        figure, met = judge(goal, medians)
        against = " ÷ " + " or ".join(goal.against) if goal.against else ""
        print(
            f"  {'met   ' if met else 'MISSED'}  {goal.contender} {goal.quantity}{against}: {figure:,.3f}, wanted {goal.side} {goal.bound:,.3f}"
        )
        verdicts.append({**asdict(goal), "figure": round(figure, 4), "met": met})
    contenders = {
        name: {
            "median": {key: round(value, 6) for key, value in medians[name].items()},
            "seconds": [round(run.seconds, 6) for run in done],
        }
        for name, done in runs.items()
    }
    return {"job": job.name, "what": job.what, "isolated": job.isolate, "contenders": contenders, "goals": verdicts}


def describe_machine() -> dict[str, Any]:
    """What the figures depend on."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_bytes": memory,
        "system": f"{platform.system()} {platform.release()}",
    }


def describe_versions() -> dict[str, str]:
    """The interpreter and the packages that do the work."""
    found = {"python": platform.python_version()}
    for package in ("tableformat", "pyarrow", "numpy", "fsspec", "xxhash", "pillow"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def describe_commit() -> str:
    """The commit of the checkout, with a `+` where files were changed since; empty outside of one."""
    if shutil.which("git") is None:
        return ""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    changed = "+" if git("status", "--porcelain", "--", ":(top)tableformat", ":(top)benchmarks/*.py") else ""
    return git("rev-parse", "--short=12", "HEAD") + changed


def main(name: str, jobs: Mapping[str, MakeJob], arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The command line of one benchmark: makes each of `jobs`, measures it, prints it, writes all to a results file."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=f"The jobs {', '.join(jobs)}.")
    parser.add_argument(
        "--size", choices=sorted(SIZES), default="M", help="how much data; the goals speak of L (default M)"
    )
    parser.add_argument("--repeat", type=int, default=5, help="turns of each contender (default 5)")
    parser.add_argument("--only", choices=sorted(jobs), help="run this job alone")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="the folder of the results (default benchmarks/results)"
    )
    given = parser.parse_args(arguments)
    done = []
    for make in [jobs[given.only]] if given.only else jobs.values():
        with _scratch() as folder:
            job = make(SIZES[given.size], Path(folder))
            done.append(report(job, measure(job, given.repeat)))
    document = {
        "benchmark": name,
        "size": given.size,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "versions": describe_versions(),
        "commit": describe_commit(),
        "jobs": done,
    }
    given.results.mkdir(parents=True, exist_ok=True)
    # The figures that the goals speak of have the plain name; other sizes, and jobs run alone, do not overwrite them.
    stem = "-".join(
        [
            name.removeprefix("bench_"),
            *([given.only] if given.only else []),
            *([given.size] if given.size != "L" else []),
        ]
    )
    (given.results / f"{stem}.json").write_text(
        json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return done


def _scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder on the disk to be measured: TABLEFORMAT_BENCH_DIR, or where temporary files go."""
    return tempfile.TemporaryDirectory(prefix="tableformat-bench-", dir=os.environ.get("TABLEFORMAT_BENCH_DIR"))
