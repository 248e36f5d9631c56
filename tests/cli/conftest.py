"""A store with the digits, and the command line run in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import tableformat
from tableformat.cli import main


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output as a JSON document."""
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `tableformat ARGUMENTS…` and return its exit code and what it printed."""

    def run_command(*arguments: object) -> Ran:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        printed = capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    return run_command


@pytest.fixture
def store(tmp_path: Path, digits: Path) -> Path:
    """A store that holds `digits:v0` with the table `images` (30 digits), `digits:v1` with a table more, and the alias `best`."""
    root = tmp_path / "store"
    opened = tableformat.open_store(root)
    classes = tableformat.Classes({digit: f"digit {digit}" for digit in range(10)})
    schema = {"id": int, "label": tableformat.ClassType(classes), "image": tableformat.ImageType()}
    with (
        opened.draft("digits", message="first", metadata={"source": "UCI"}) as draft,
        draft.table("images", schema, key="id") as table,
    ):
        for path in sorted(digits.glob("*/*.png"), key=lambda path: path.stem)[:30]:
            table.append(id=int(path.stem), label=int(path.parent.name), image=tableformat.Image(path))
    with opened.draft("digits", base="latest", message="second", producer={"run": "r1"}) as draft:
        draft.use("digits:v0")
        draft.add({"x": [1, 2, 3], "y": ["a", None, "c"]}, "scores")
        draft.add(tableformat.File(b"weights", "weights.bin"), "weights.bin")
    opened.set_alias("digits", "best", "v0")
    return root
