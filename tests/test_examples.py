"""The programs in `examples/` run as they stand, on the real digits, and do what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import tableformat

ROOT = Path(__file__).resolve().parent.parent


def run_example(name: str, *arguments: str) -> str:
    """What the program prints."""
    command = [sys.executable, str(ROOT / "examples" / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_predictions(tmp_path: Path) -> None:
    """Build, train, log predictions, read back: most digits are recognised, images are stored once, the lineage is kept."""
    printed = run_example("digits/predict.py", str(tmp_path))
    assert "\n109 of 120 right\n" in printed
    assert printed.endswith("made from digits:v0\n")

    store = tableformat.open_store(str(tmp_path))
    digits, predictions = store["digits"], store["predictions"]
    assert (len(digits["train"]), len(digits["test"]), len(predictions["test"])) == (480, 120, 120)
    assert [used.digest for used in predictions.inputs()] == [digits.digest]
    wanted = {row["id"]: row["image"].bytes() for row in digits["test"]}
    assert {row["id"]: row["image"].bytes() for row in predictions["test"]} == wanted
    guesses = predictions["test"]
    assert guesses.classes_of("guess") == digits["classes"]
    scores = [row["scores"] for row in guesses]
    assert {(score.shape, str(score.dtype)) for score in scores} == {((10,), "float32")}
    assert [int(score.argmax()) for score in scores] == [row["guess"] for row in guesses]
    assert predictions.producer == {"run": "nearest-mean", "job_type": "evaluate"}


def test_predictions_twice(tmp_path: Path) -> None:
    """Run again on the same store, the program finds nothing new and says the same."""
    first = run_example("digits/predict.py", str(tmp_path))
    assert run_example("digits/predict.py", str(tmp_path)) == first
    assert [version.slot for version in tableformat.open_store(str(tmp_path)).versions("digits")] == [0]


def test_nightly(tmp_path: Path) -> None:
    """A job that is killed twice and started again scores every row once; started after its end it adds nothing."""
    command = [sys.executable, str(ROOT / "examples/nightly/score.py"), str(tmp_path), "2026-11-22", "--die-after"]
    for batches in ("7", "13"):
        died = subprocess.run([*command, batches], capture_output=True, check=False, env={"PYTHONPATH": str(ROOT)})
        assert died.returncode == -9
    assert run_example("nightly/score.py", str(tmp_path)).startswith(
        "10 of 20 batches are there, 50000 rows\n<Artifact scores:v0"
    )
    assert run_example("nightly/score.py", str(tmp_path)).endswith(": was there already\n")
    scores = tableformat.open_store(str(tmp_path))["scores"]["scores"]
    assert scores.to_arrow()["id"].to_pylist() == list(range(100_000))
