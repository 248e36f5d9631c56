"""The specification and the README are true: every fenced block is a case that runs, every requirement is covered."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests import spec_runner
from tests.fences import Fence, find_unmarked, iter_requirements, split_markdown
from tests.spec_runner import ROOT, CaseKind

KINDS = spec_runner.load_case_kinds()
FENCES = spec_runner.all_fences()
CASES = [fence for fence in FENCES if fence.kind in KINDS]
STORIES = [
    path
    for path in spec_runner.documents()
    if any(fence.path == path and fence.kind in {"python", "shell"} for fence in FENCES)
]
SPEC = sorted((ROOT / "spec").glob("*.md"))


def write(folder: Path, text: str) -> Path:
    path = folder / "demo.md"
    path.write_text(text, encoding="utf-8")
    return path


def only_fence(folder: Path, text: str) -> Fence:
    (fence,) = split_markdown(write(folder, text))[1]
    return fence


def requirement_ids() -> list[str]:
    return [mark for path in SPEC for mark in iter_requirements(split_markdown(path)[0])]


def ids_named_by_tests(known: set[str]) -> set[str]:
    """The ids in brackets anywhere in the tests whose prefix the specification uses."""
    prefixes = {mark.rsplit("-", 1)[0] for mark in known}
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests").rglob("*.py")))
    return {mark for mark in iter_requirements(text) if mark.rsplit("-", 1)[0] in prefixes}


def ids_covered_by_vectors() -> set[str]:
    from tests.test_vectors import VECTORS

    return {mark for vector in VECTORS for mark in vector.covers}


def test_every_fence_says_how_it_is_tested() -> None:
    """Each fenced block of the documents is a well-formed case, or gives the reason why it is none."""
    problems = [f"{fence.place}: {problem}" for fence in FENCES for problem in spec_runner.check_info(fence, KINDS)]
    assert problems == []


def test_names_of_cases_are_unique() -> None:
    """A case is found by its name alone."""
    counts = Counter(fence.case for fence in FENCES if fence.case)
    assert [name for name, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("fence", CASES, ids=[fence.case for fence in CASES])
def test_case(fence: Fence) -> None:
    """The decoder of the case's kind gives the result that the document states, and canonical forms encode to the same bytes."""
    data, kind = spec_runner.case_bytes(fence), KINDS[fence.kind]
    result, value = spec_runner.run_decoder(kind, data)
    assert result == fence.attributes["result"], f"{fence.place}: {value!r}"
    if result == "valid" and kind.encode is not None:
        assert kind.encode(value) == data, fence.place


@pytest.mark.parametrize("path", STORIES, ids=[path.name for path in STORIES])
def test_story(path: Path, tmp_path: Path) -> None:
    """The Python and shell blocks of a document run in order in one fresh folder, and print what the document shows."""
    for fence, expected, actual in spec_runner.run_document(path, tmp_path / "reader"):
        if fence.kind == "output":
            assert spec_runner.output_matches(expected, actual), f"{fence.place} printed:\n{actual}"
        else:
            assert actual == expected, fence.place


def test_requirements_have_ids_of_their_own() -> None:
    """Each MUST of the specification has a mark behind it, and no mark stands twice: elsewhere an id goes without brackets."""
    unmarked = [f"{path.name}: {block}" for path in SPEC for block in find_unmarked(split_markdown(path)[0])]
    assert unmarked == []
    assert [mark for mark, count in Counter(requirement_ids()).items() if count > 1] == []


def test_every_requirement_is_covered() -> None:
    """Each requirement is covered by a case, a vector or a test that names it."""
    known = set(requirement_ids())
    covered = {mark for fence in FENCES for mark in fence.covers} | ids_covered_by_vectors() | ids_named_by_tests(known)
    assert sorted(known - covered) == []


def test_nothing_covers_an_unknown_requirement() -> None:
    """A case, vector or test that names a requirement names one that exists."""
    known = set(requirement_ids())
    named = {mark for fence in FENCES for mark in fence.covers} | ids_covered_by_vectors() | ids_named_by_tests(known)
    assert sorted(named - known) == []


def test_readme_has_two_commands_of_one_line() -> None:
    """All set-up is two commands of one line each, which `.ci/run` takes from the README as they stand."""
    commands = [fence for fence in FENCES if fence.kind == "command"]
    assert [fence.path.name for fence in commands] == ["README.md", "README.md"]
    assert all(fence.body.strip() and "\n" not in fence.body for fence in commands)
    assert "tests/fences.py README.md command" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


# The runner itself


@pytest.mark.parametrize(
    ("info", "problem"),
    [
        ("text", 'needs case="…" or untested'),
        ('text untested=""', "must give the reason"),
        ('text untested="long" case="a"', "not both"),
        ('text case="a" kind="nothing" result="valid"', "'nothing' is none of"),
        ('text case="a" kind="demo"', "the result '' is neither"),
        ('text case="a" kind="demo" result="odd"', "the result 'odd' is neither"),
        ('text case="a" kind="demo" result="valid" colour="red"', "colour is unknown"),
        ('text case="a" case="b" kind="demo" result="valid"', "case stands twice"),
        ("text case=a", "is no attribute of the form"),
    ],
)
def test_bad_info_strings_are_told(info: str, problem: str, tmp_path: Path) -> None:
    """A fence that does not say how it is tested is refused with the reason."""
    fence = only_fence(tmp_path, f"```{info}\nx\n```\n")
    assert problem in "; ".join(spec_runner.check_info(fence, {"demo": CaseKind(bytes.decode)}))


def test_good_info_strings_pass(tmp_path: Path) -> None:
    """A case, an untested block and a block to run are all accepted."""
    kinds = {"demo": CaseKind(bytes.decode)}
    infos = [
        'hex case="a" kind="demo" result="corrupt" covers="DEMO-1, DEMO-2"',
        'text untested="a picture"',
        'python case="b" kind="python"',
    ]
    for info in infos:
        assert spec_runner.check_info(only_fence(tmp_path, f"```{info}\nx\n```\n"), kinds) == []


def test_fences_are_found_as_markdown_has_them(tmp_path: Path) -> None:
    """Longer fences hold shorter ones, indented fences lose their indent, an open fence is told."""
    path = write(
        tmp_path,
        'a\n\n````text untested="shows a fence"\n```hex\n00\n```\n````\n\n  ```json case="b"\n  {\n   }\n  ```\n~~~\nrest',
    )
    prose, fences = split_markdown(path)
    assert [fence.body for fence in fences] == ["```hex\n00\n```", "{\n }", "rest"]
    assert [fence.line for fence in fences] == [3, 9, 13]
    assert fences[2].problems == ("the fence is never closed",)
    assert prose.strip() == "a"


def test_hex_fences_become_bytes(tmp_path: Path) -> None:
    """Hex may stand in lines and be explained behind a hash."""
    fence = only_fence(tmp_path, '```hex case="a"\n50 4b  # magic\n0304\n```\n')
    assert spec_runner.case_bytes(fence) == b"PK\x03\x04"


def test_marks_belong_to_the_must_before_them() -> None:
    """MUST without a mark behind it is found by paragraph, list item and row; `MUST` in code is not one."""
    good = "A reader MUST stop. `[DEMO-1]` A writer MUST NOT go on. `[DEMO-2]`\n\nThe word `MUST` means it.\n"
    assert find_unmarked(good) == []
    assert list(iter_requirements(good)) == ["DEMO-1", "DEMO-2"]
    assert find_unmarked("- It MUST a. `[DEMO-1]`\n- It MUST b.\n") == ["- It MUST b."]
    assert find_unmarked("It MUST a `[DEMO-1]` and MUST b.") == ["It MUST a `[DEMO-1]` and MUST b."]
    assert find_unmarked("MUST is that of RFC 2119, with an id such as `[DEMO-1]`; others MUST not.") == []
    assert list(iter_requirements("MUST is that of RFC 2119, with an id such as `[DEMO-1]`.")) == []
    assert list(iter_requirements("see [DEMO-1](#demo) and [SHA-256 x]")) == []


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [("a\nb", "a  \nb", True), ("a … c", "a b\nb c", True), ("a…", "b", False), ("a.c", "abc", False), ("…", "", True)],
)
def test_output_is_compared_with_gaps(expected: str, actual: str, same: bool) -> None:
    """An ellipsis stands for any text; everything else is compared letter by letter."""
    assert spec_runner.output_matches(expected, actual) is same


def test_stories_run_in_order(tmp_path: Path) -> None:
    """Names of one Python block are seen by the next, the digits are at hand, and a printed text is compared."""
    text = (
        '```python case="a" kind="python"\nfrom pathlib import Path\nn = len(list(Path("examples/digits/images").iterdir()))\n```\n'
        '```python case="b" kind="python"\nprint(n)\n```\n```text case="c" kind="output"\n10\n```\n'
        '```shell case="d" kind="shell"\nls examples\n```\n```text case="e" kind="output"\ndigits\n```\n'
    )
    runs = list(spec_runner.run_document(write(tmp_path, text), tmp_path / "reader"))
    assert [(fence.case, expected, actual) for fence, expected, actual in runs] == [
        ("a", "valid", "valid"), ("b", "valid", "valid"), ("c", "10", "10"), ("d", "valid", "valid"), ("e", "digits", "digits")
    ]  # fmt: skip


def test_python_blocks_keep_their_line_numbers(tmp_path: Path) -> None:
    """An exception in a block points at the line of the document."""
    path = write(tmp_path, 'text\n\n```python case="a" kind="python"\n1 / 0\n```\n')
    with pytest.raises(ZeroDivisionError) as caught:
        list(spec_runner.run_document(path, tmp_path / "reader"))
    entry = caught.traceback[-1]
    assert (str(entry.path), entry.lineno + 1) == (str(path), 4)


def test_failing_shell_blocks_are_told(tmp_path: Path) -> None:
    """A shell block stops at the first command that fails."""
    path = write(tmp_path, '```shell case="a" kind="shell"\nfalse\necho reached\n```\n')
    with pytest.raises(AssertionError, match=re.escape("demo.md:1: bash ended with 1")):
        list(spec_runner.run_document(path, tmp_path / "reader"))
