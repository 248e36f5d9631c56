"""The command line as a whole: start, help, exit codes, broken pipes, unexpected errors."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tableformat
from tableformat import errors
from tableformat.cli import exits, parser
from tableformat.cli.address import split_address
from tableformat.cli.output import clean
from tableformat.storage.names import parse_address
from tests.cli.conftest import Run

ROOT = Path(__file__).resolve().parent.parent.parent


def test_python_m_runs_it(tmp_path: Path) -> None:
    """`python -m tableformat` is the command line."""
    command = [sys.executable, "-m", "tableformat", "--version"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path
    )
    assert done.stdout == f"tableformat {tableformat.__version__}\n"


def test_a_closed_pipe_is_no_error(store: Path) -> None:
    """A reader that goes away ends the command quietly, as a signal would."""
    script = f"import sys\nfrom tableformat.cli import main\nsys.exit(main(['ls', {str(store)!r}]))"
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-c", script],
            stdout=pipe,
            stderr=subprocess.PIPE,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    assert (done.returncode, done.stderr) == (exits.Exit.BROKEN_PIPE, b"")


def test_help_tells_the_exit_codes(run: Run) -> None:
    """The table of exit codes stands in the help as it is."""
    done = run("--help")
    assert done.code == 0
    assert exits.exit_table() in done.out


def test_every_error_has_an_exit_code() -> None:
    """Each kind of error but the base has a code of its own class, and no two rows share one."""
    codes = [code for code, _, _ in exits.EXIT_CODES]
    assert len(set(codes)) == len(codes)
    kinds = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error") and name != "TableformatError"]
    assert [kind.__name__ for kind in kinds if exits.exit_code_of(kind.__new__(kind)) == exits.Exit.UNEXPECTED] == []
    assert exits.exit_code_of(errors.CorruptError("x")) == 5
    assert exits.exit_code_of(errors.ConflictError("x")) == 6
    assert exits.exit_code_of(errors.StoreFullError("x")) == 7
    assert exits.exit_code_of(ZeroDivisionError()) == 1


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (errors.StoreFullError("storing a part · disk full"), 7, "tableformat: storing a part · disk full\n"),
        (
            errors.InvalidInputError("two things", [errors.Problem("row 1", "bad\x1b[2J")]),
            4,
            "tableformat: two things\ntableformat:   row 1: bad\\x1b[2J\n",
        ),
        (ZeroDivisionError("by zero"), 1, "tableformat: unexpected ZeroDivisionError: by zero (--debug shows where)\n"),
        (KeyboardInterrupt(), 130, "tableformat: interrupted; nothing half-done is visible\n"),
    ],
)
def test_errors_are_told_without_traceback(
    error: BaseException, code: int, told: str, run: Run, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong is told in plain lines; the traceback only with --debug, before or after the command."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(tableformat, "open_store", fail)
    done = run("ls", store)
    assert (done.code, done.out, done.err) == (code, "", told)
    if isinstance(error, Exception):
        assert "Traceback" in run("ls", store, "--debug").err
        assert "Traceback" in run("--debug", "ls", store).err


def test_logs_are_told_and_logging_is_left_alone(run: Run, tmp_path: Path) -> None:
    """What the library logs while a command runs is told on standard error; the logger is as it was afterwards."""
    logger = logging.getLogger("tableformat")
    before = (logger.level, list(logger.handlers))
    (tmp_path / "a.csv").write_text("x,y\n1,\n")
    done = run("import", "n", tmp_path / "a.csv", tmp_path / "s")
    assert (done.code, done.err) == (0, "tableformat: table 'a': no value in y, which became text\n")
    assert (logger.level, logger.handlers) == before


@pytest.mark.parametrize(
    "address",
    [
        "s#a",
        "s#a/b",
        "/x/y#a:v3/b/c",
        "s3://bucket/p#a:best",
        "s#b#a",
        "s#a@sha256:" + "0" * 64 + "/t",
        "s#a/caf%C3%A9",
        "s#a/50%25",
        "s#%61:v1",
    ],
)
def test_addresses_are_those_of_the_library(address: str) -> None:
    """The command line takes an address apart as the library does."""
    ours, theirs = split_address(address), parse_address(address)
    assert (ours.root, ours.selection, ours.entry, ours.name) == (
        theirs.root,
        theirs.artifact + str(theirs.selector),
        theirs.entry,
        theirs.artifact,
    )


def test_clean_keeps_languages_and_drops_commands() -> None:
    """Text of any language stays; what would move the cursor or turn the line around is escaped."""
    assert clean("naïve 日本語 עברית हिन्दी 👍") == "naïve 日本語 עברית हिन्दी 👍"
    assert clean("a\tb\x00\x7f\x9b31m\u2028\u202e\ufeff\ud800") == r"a\tb\x00\x7f\x9b31m\u2028\u202e\ufeff\ud800"


def test_loading_the_parser_loads_no_command() -> None:
    """Help and wrong arguments are told without loading the commands' modules."""
    script = "import sys\nfrom tableformat.cli import make_parser\nmake_parser()\nprint([name for name in sys.modules if name.startswith(('tableformat.convert', 'tableformat.cli.read'))])"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout == "[]\n"


def test_every_command_has_a_runner() -> None:
    """Each command names a function that exists."""
    import importlib

    made = parser.make_parser()
    arguments = {
        "ls": [], "show": ["a"], "head": ["a"], "schema": ["a"], "import": ["a", "b", "c"], "export": ["a", "b"], "files": ["a"], "verify": ["a"], "alias": ["ls", "a"],
    }  # fmt: skip
    for command, more in arguments.items():
        module, _, function = made.parse_args([command, *more]).run.partition(":")
        assert callable(getattr(importlib.import_module(f"tableformat.cli.{module}"), function))
