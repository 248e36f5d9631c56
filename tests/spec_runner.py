"""Runs the cases of the specification: fenced blocks of `spec/*.md` and `README.md`, and the vectors of `spec/vectors/*.json`.

What a case means is said by its kind. Each module `tests/spec_kinds_<noun>.py` exports `CASE_KINDS`, a mapping from the
name of a kind to a `CaseKind` (or to its decoder alone). A decoder takes the bytes of the case and returns the value in
them as JSON would hold it, or raises one of `tableformat.errors`: `result` is `valid` or the `kind` of that error.

Kinds that need no decoder are here: `python` and `shell` run in a folder of their own that holds the digits; `output` is
what the block above it printed, with … standing for anything; `command` is a line that `.ci/run` runs on a bare copy.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tableformat import errors
from tests.fences import Fence, split_markdown

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""
RUN_KINDS = frozenset({"python", "shell", "output", "command"})
"""The kinds that stand for running something."""
ERROR_KINDS = frozenset(getattr(errors, name).kind for name in errors.__all__ if name.endswith("Error"))
"""What `result` may be besides `valid`."""


@dataclass(frozen=True, slots=True)
class CaseKind:
    """How to run the cases of one kind."""

    decode: Callable[[bytes], object]
    """From the bytes of the case to its value as JSON would hold it; raises a `TableformatError` for what is not valid."""
    encode: Callable[[Any], bytes] | None = None
    """From that value to the same bytes again, where the form is canonical."""


def load_case_kinds() -> dict[str, CaseKind]:
    """All kinds of `tests/spec_kinds_*.py`, by name. A name that two modules give is an error."""
    kinds: dict[str, CaseKind] = {}
    for path in sorted(Path(__file__).parent.glob("spec_kinds_*.py")):
        given: Mapping[str, CaseKind | Callable[[bytes], object]] = importlib.import_module(
            f"tests.{path.stem}"
        ).CASE_KINDS
        for name, kind in given.items():
            if name in kinds or name in RUN_KINDS:
                raise ValueError(f"{path.name}: the kind {name!r} is taken")
            kinds[name] = kind if isinstance(kind, CaseKind) else CaseKind(kind)
    return kinds


def documents() -> list[Path]:
    """The files whose fences are cases."""
    return [*sorted((ROOT / "spec").glob("*.md")), ROOT / "README.md"]


def all_fences() -> list[Fence]:
    """Every fence of every document, in order."""
    return [fence for path in documents() if path.exists() for fence in split_markdown(path)[1]]


def check_info(fence: Fence, kinds: Mapping[str, CaseKind]) -> list[str]:
    """What is wrong with the info string of a fence, as sentences."""
    problems = list(fence.problems)
    given = fence.attributes
    if "untested" in given:
        if not given["untested"].strip():
            problems.append("untested must give the reason")
        if len(given) > 1:
            problems.append("a fence is a case or untested, not both")
        return problems
    if not fence.case:
        return [*problems, 'a fence needs case="…" or untested="the reason"']
    if fence.kind not in kinds and fence.kind not in RUN_KINDS:
        problems.append(f"the kind {fence.kind!r} is none of {sorted({*kinds, *RUN_KINDS})}")
    result = given.get("result", "valid" if fence.kind in RUN_KINDS else "")
    if result != "valid" and result not in ERROR_KINDS:
        problems.append(f"the result {result!r} is neither 'valid' nor one of {sorted(ERROR_KINDS)}")
    return problems


def case_bytes(fence: Fence) -> bytes:
    """The bytes of a case: hex fences decoded (a `#` begins a comment), others as UTF-8."""
    if fence.language != "hex":
        return fence.body.encode("utf-8")
    return bytes.fromhex("".join(line.split("#", 1)[0] for line in fence.body.split("\n")))


def run_decoder(kind: CaseKind, data: bytes) -> tuple[str, object]:
    """The result of decoding, `valid` or the kind of the error, and the value or the error. Other exceptions pass."""
    try:
        value = kind.decode(data)
    except errors.TableformatError as error:
        return error.kind, error
    return "valid", value


def make_workplace(folder: Path) -> Path:
    """A folder as the README's reader has it: `examples/digits/` below, nothing else. Returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT / "examples" / "digits", folder / "examples" / "digits")
    return folder


def run_python(fence: Fence, workplace: Path, names: dict[str, object]) -> str:
    """Run the body with `names` as its globals, which later fences see; returns what it printed."""
    code = compile("\n" * fence.line + fence.body, str(fence.path), "exec")
    with contextlib.chdir(workplace), contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, names)
    return printed.getvalue()


def run_shell(fence: Fence, workplace: Path) -> str:
    """Run the body by bash in strict mode; returns what it printed.

    `tableformat` is the command line of this checkout, whether it is installed or not, and stands first on the path.
    """
    programs = workplace.parent / "programs"
    programs.mkdir(exist_ok=True)
    program = programs / "tableformat"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nfrom tableformat.cli import main\nsys.exit(main())\n", encoding="utf-8"
    )
    program.chmod(0o755)
    before = {name: [value] for name in ("PATH", "PYTHONPATH") if (value := os.environ.get(name))}
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(programs), str(Path(sys.executable).parent), *before.get("PATH", [])]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *before.get("PYTHONPATH", [])]),
    }
    command = ["bash", "-euo", "pipefail", "-c", fence.body]
    done = subprocess.run(command, cwd=workplace, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{fence.place}: bash ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def run_document(path: Path, folder: Path) -> Iterator[tuple[Fence, str, str]]:
    """Run the python, shell and output fences of one document in order, in one workplace.

    Yields each fence with its expected and its actual result; for output fences both are texts.
    """
    workplace = make_workplace(folder)
    names: dict[str, object] = {"__name__": "__main__"}
    printed = ""
    for fence in split_markdown(path)[1]:
        expected = fence.attributes.get("result", "valid")
        if fence.kind == "output":
            yield fence, fence.body.strip(), printed.strip()
        elif fence.kind in {"python", "shell"}:
            result = "valid"
            try:
                printed = run_python(fence, workplace, names) if fence.kind == "python" else run_shell(fence, workplace)
            except errors.TableformatError as error:
                if error.kind != expected:
                    raise
                result = error.kind
            yield fence, expected, result


def output_matches(expected: str, actual: str) -> bool:
    """Whether `actual` is `expected`, line ends trimmed, where … in `expected` stands for any text, of lines too."""
    wanted, given = ("\n".join(line.rstrip() for line in text.split("\n")) for text in (expected, actual))
    pattern = ".*?".join(re.escape(piece) for piece in wanted.split("…"))
    return re.fullmatch(pattern, given, re.DOTALL) is not None
