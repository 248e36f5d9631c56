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
    assert printed.startswith("109 of 120 right\n")

    store = tableformat.open_store(str(tmp_path))
    digits, predictions = store["digits"], store["predictions"]
    assert (len(digits["train"]), len(digits["test"]), len(predictions["test"])) == (480, 120, 120)
    assert [used.digest for used in predictions.inputs()] == [digits.digest]
    wanted = {row["id"]: row["image"].bytes() for row in digits["test"]}
    assert {row["id"]: row["image"].bytes() for row in predictions["test"]} == wanted
