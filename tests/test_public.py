"""What users see from outside: the public names, the import contracts, the command line and its documentation."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import tableformat
from tableformat import errors
from tests.fences import split_markdown
from tests.spec_runner import documents

PUBLIC = frozenset(
    {
        "__version__",
        # A store and what it holds
        "open_store", "read_table", "Store", "Artifact", "Draft", "Table", "JoinedTable", "Row", "TableWriter", "Limits", "col", "cp", "diff", "Diff", "errors",
        # Media
        "Media", "Image", "Audio", "Video", "Html", "Object3D", "Molecule", "Plotly", "File", "Box", "Mask", "Classes",
        # Types of columns
        "ImageType", "AudioType", "VideoType", "HtmlType", "Object3DType", "MoleculeType", "PlotlyType", "FileType",
        "ClassType", "TensorType", "JsonType", "Schema",
    }
)  # fmt: skip
"""Names are added here on purpose and never removed without a word in `spec/changes.md`."""

COMMANDS = (
    "ls",
    "log",
    "show",
    "head",
    "schema",
    "diff",
    "import",
    "export",
    "convert",
    "files",
    "alias",
    "rollback",
    "compact",
    "cp",
    "verify",
    "add-reference",
    "own",
    "download",
)


def run_command(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """The exit code of `tableformat ARGUMENTS…` in this process, and what it printed."""
    from tableformat.cli import main

    monkeypatch.setattr(sys, "argv", ["tableformat", *arguments])
    try:
        code = main()
    except SystemExit as exit_:
        code = exit_.code
    return int(code or 0), capsys.readouterr().out


def documented_commands() -> set[str]:
    """The words that follow `tableformat` in the shell blocks of the README and the specification."""
    found = set()
    for path in documents():
        for fence in split_markdown(path)[1] if path.exists() else []:
            if fence.language in {"shell", "sh", "bash", "console"}:
                found |= set(re.findall(r"(?:^|[\s;&|/(])tableformat ([a-z][a-z-]*)", fence.body))
    return found


def test_public_names_are_frozen() -> None:
    """`tableformat.__all__` is exactly the list above, and each name is there."""
    assert set(tableformat.__all__) == PUBLIC
    assert [name for name in tableformat.__all__ if not hasattr(tableformat, name)] == []


@pytest.mark.parametrize("name", sorted(PUBLIC - {"__version__", "errors"}))
def test_public_names_are_documented(name: str) -> None:
    """Each public name has a docstring, and so has each public method of each public class."""
    thing = getattr(tableformat, name)
    assert inspect.getdoc(thing)
    bare = []
    for attribute, value in vars(thing).items() if inspect.isclass(thing) else []:
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if (
            not attribute.startswith("_")
            and inspect.isfunction(function)
            and not inspect.getdoc(getattr(thing, attribute))
        ):
            bare.append(attribute)
    assert bare == []


def test_kinds_of_errors_are_unique() -> None:
    """Each exception has a kind of its own, since documents and exit codes speak of kinds."""
    kinds = [getattr(errors, name).kind for name in errors.__all__ if name.endswith("Error")]
    assert len(kinds) == len(set(kinds))


def test_import_contracts_hold() -> None:
    """The floors of the library import only what stands below them, and every module has a floor."""
    # In a process of its own: the linter sets up logging anew, which silences the loggers that are there.
    code = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).resolve().parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_help_names_every_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`tableformat --help` lists all commands."""
    code, text = run_command(["--help"], monkeypatch, capsys)
    assert code == 0
    assert [command for command in COMMANDS if not re.search(rf"\b{command}\b", text)] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_commands_has_examples(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`tableformat COMMAND --help` ends well and shows how the command is used, in words that the shell can split."""
    code, text = run_command([command, "--help"], monkeypatch, capsys)
    assert code == 0
    examples = re.findall(rf"^\s*(?:\$ )?(tableformat {command} .*)$", text, re.MULTILINE)
    assert [line for line in examples if "usage:" not in line]
    assert all(shlex.split(line, comments=True)[1] == command for line in examples)


def test_documented_commands_exist(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Documents show no command that does not exist."""
    assert documented_commands() - set(COMMANDS) == set()
    code, _ = run_command(["no-such-command"], monkeypatch, capsys)
    assert code != 0
