"""Rules of this house that no tool of others checks."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = sorted((ROOT / "tableformat").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
BENCHMARKS = sorted((ROOT / "benchmarks").rglob("*.py"))
SHIPPED_TESTS = sorted((ROOT / "tableformat" / "testing").rglob("*.py"))

MAX_LINES = 700
"""A file that outgrows this usually hides a second noun."""
FORBIDDEN = {
    r"\bpickle\.loads?\((?!pickle\.dumps\()": "a store is not trusted: unpickling runs code",
    r"(?<![\w.])eval\(": "a store is not trusted: eval runs code",
    r"(?<![\w.])exec\(": "a store is not trusted: exec runs code",
    r"allow_pickle\s*=\s*True": "NumPy would unpickle objects",
    r"\byaml\.load\(": "it builds any object",
    r"shell\s*=\s*True": "names would become commands",
}


def place(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def iter_tests(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            yield node


def expects_something(test: ast.AST) -> bool:
    """Whether a test asserts, expects an exception or warning, lets only named ones pass, or calls a helper that checks."""
    for node in ast.walk(test):
        if isinstance(node, ast.Assert) or (
            isinstance(node, ast.Try) and all(handler.type for handler in node.handlers)
        ):
            return True
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in {"raises", "warns"} or re.match(r"_?(assert|check|expect|run_state_machine)", name):
                return True
    return False


def test_every_folder_is_a_package() -> None:
    """A folder of the library without `__init__.py` would be left out of the wheel, and of the import contracts."""
    folders = {path.parent for path in LIBRARY}
    assert sorted(str(folder) for folder in folders if not (folder / "__init__.py").exists()) == []


def test_every_door_is_in_its_contract() -> None:
    """The import contract of the doors lists each door that there is."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (contract,) = [contract for contract in settings if contract["name"] == "doors use the front door"]
    doors = {
        f"tableformat.{name}"
        for name in ("convert", "cli", "view")
        if (ROOT / "tableformat" / name / "__init__.py").exists()
    }
    assert doors <= set(contract["source_modules"])


@pytest.mark.parametrize("path", [*LIBRARY, *TESTS, *BENCHMARKS], ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_short(path: Path) -> None:
    """No file is longer than what one noun needs."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_library_calls_nothing_dangerous(pattern: str) -> None:
    """The library never calls what would run code that lies in a store. [SECURITY-1]"""
    found = [
        place(path, number)
        for path in LIBRARY
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(pattern, line)
    ]
    assert found == [], FORBIDDEN[pattern]


@pytest.mark.parametrize(
    ("line", "caught"),
    [
        ("value = pickle.loads(data)", True), ("x = eval(text)", True), ("ast.literal_eval(text)", False), ("model.eval()", False),
        ("np.load(f, allow_pickle=True)", True), ("np.load(f, allow_pickle=False)", False), ("pickle.dumps(x)", False), ("yaml.load(f)", True),
    ],
)  # fmt: skip
def test_dangerous_calls_are_recognised(line: str, caught: bool) -> None:
    """The patterns catch the calls they are meant for, and no harmless ones."""
    assert any(re.search(pattern, line) for pattern in FORBIDDEN) is caught


@pytest.mark.parametrize("path", [*TESTS, *SHIPPED_TESTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_tests_say_and_assert_something(path: Path) -> None:
    """Each test has a docstring that states its behaviour, and an expectation that can fail."""
    silent = [place(path, test.lineno) for test in iter_tests(path) if not ast.get_docstring(test)]
    idle = [place(path, test.lineno) for test in iter_tests(path) if not expects_something(test)]
    assert (silent, idle) == ([], [])


def test_idle_tests_are_recognised() -> None:
    """A test that only runs something is told from one that expects something."""
    assert not expects_something(ast.parse("def test():\n    run()\n    print(1)"))
    assert expects_something(ast.parse("def test():\n    with pytest.raises(KeyError):\n        run()"))
    assert expects_something(ast.parse("def test():\n    check_bytes(run())"))
