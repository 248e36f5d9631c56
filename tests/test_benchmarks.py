"""The benchmarks run at their smallest size and count right. No time is asserted: that is what `benchmarks/results` is for."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from benchmarks import data, harness
from benchmarks.harness import Goal, Job, Run

MODULES = sorted(path.stem for path in Path(harness.__file__).parent.glob("bench_*.py"))
JOBS = [(module, name) for module in MODULES for name in importlib.import_module(f"benchmarks.{module}").JOBS]


@pytest.mark.parametrize(("module", "name"), JOBS)
def test_job(module: str, name: str, tmp_path: Path) -> None:
    """Each job runs, its contenders agree on the rows, and the results name what was measured on what."""
    jobs = importlib.import_module(f"benchmarks.{module}").JOBS
    (done,) = harness.main(module, jobs, ["--size", "S", "--repeat", "1", "--only", name, "--results", str(tmp_path)])
    for contender in done["contenders"].values():
        assert contender["median"]["rows"] > 0
        assert contender["median"]["seconds"] > 0
    (path,) = tmp_path.glob("*.json")
    written = json.loads(path.read_text(encoding="utf-8"))
    assert written["jobs"][0]["job"] == name
    assert {"machine", "date", "versions", "commit"} <= set(written)


def test_data_are_what_they_say() -> None:
    """Images have the stated sizes and are all different, rows count up, and a second call gives the same."""
    pngs, jpegs = data.pngs(50), data.jpegs(5)
    assert pngs == data.pngs(50)
    assert len(set(pngs)) == 50
    assert all(2_000 <= len(png) <= 2_500 for png in pngs)
    assert all(45_000 <= len(jpeg) <= 110_000 for jpeg in jpegs)
    assert len(set(jpegs)) == 5
    batches = list(data.iter_prediction_batches(250, batch_rows=100))
    assert [batch.num_rows for batch in batches] == [100, 100, 50]
    assert [row["id"] for row in data.prediction_rows(5)] == [0, 1, 2, 3, 4]
    assert data.keyed_table(10)["id"].to_pylist() == list(range(0, 20, 2))


def test_images_are_real() -> None:
    """Pillow decodes what the benchmarks call PNG and JPEG."""
    image = pytest.importorskip("PIL.Image")
    import io

    assert image.open(io.BytesIO(data.pngs(1)[0])).convert("LA").size == (32, 32)
    assert image.open(io.BytesIO(data.jpegs(1)[0])).convert("RGB").width > 300


def test_contenders_take_turns() -> None:
    """Each contender runs as often as asked and once before, and another one begins each round."""
    order: list[str] = []

    def contender(name: str, seconds: float) -> tuple[str, object]:
        def turn(run: Run) -> None:
            order.append(name)
            run.seconds = seconds
            run.counts["rows"] = 2

        return name, turn

    job = Job(
        "demo", "", dict([contender("a", 1.0), contender("b", 4.0)]), [Goal("b", "seconds", 2.0, "at most", ("a",))]
    )  # type: ignore[arg-type]
    runs = harness.measure(job, 2)
    assert order == ["b", "a", "a", "b", "b", "a"]
    assert {name: len(done) for name, done in runs.items()} == {"a": 2, "b": 2}
    medians = {name: harness.quantities(done) for name, done in runs.items()}
    assert harness.judge(job.goals[0], medians) == (4.0, False)
    assert harness.judge(Goal("a", "rows_per_second", 4.0, "at least", ("b",)), medians) == (4.0, True)


def test_contenders_must_do_the_same() -> None:
    """A contender that does fewer rows than another is an error, not a winner."""

    def rows(count: int) -> object:
        return lambda run: run.counts.update(rows=count)

    with pytest.raises(AssertionError, match="did not do the same work"):
        harness.measure(Job("demo", "", {"a": rows(1), "b": rows(2)}), 1)  # type: ignore[dict-item]


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_isolated_turns_measure_memory() -> None:
    """A turn in a child reports its peak above what was there before, and an exception there is one here."""

    def hold(run: Run) -> None:
        with run.timed():
            block = b"x" * 64_000_000
        run.counts["rows"] = len(block)

    def fail(run: Run) -> None:
        raise SystemExit("on purpose")

    (run,) = harness.measure(Job("demo", "", {"hold": hold}, isolate=True), 1)["hold"]
    assert run.counts["rows"] == 64_000_000
    assert run.peak_bytes == 0 or 60_000_000 < run.peak_bytes < 90_000_000
    with pytest.raises(RuntimeError, match="status 1"):
        harness.measure(Job("demo", "", {"fail": fail}, isolate=True), 1)
