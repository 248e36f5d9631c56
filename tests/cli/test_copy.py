"""`cp`: push, pull, one version, rows; what is told, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tableformat
from tests.cli.conftest import Run


@pytest.fixture
def root(tmp_path: Path) -> str:
    store = tableformat.open_store(tmp_path / "s")
    with store.draft("a", message="first") as draft, draft.table("t", key="id") as table:
        table.extend(
            {"id": number, "label": "ab"[number % 2], "score": number / 4 if number else None} for number in range(8)
        )
    with store.draft("a", base="latest", message="second") as draft:
        draft.delete("t", id=0)
    store.set_alias("a", "best", "v0")
    return store.root


def test_push_and_pull(run: Run, root: str, tmp_path: Path) -> None:
    """The artifact goes there and, under another name, back; a second run says that all was there."""
    done = run("cp", f"{root}#a", str(tmp_path / "t"), "--quiet")
    lines = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert [line.split()[:2] for line in lines[:3]] == [["source", "target"], ["v0", "a:v0"], ["v1", "a:v1"]]
    assert lines[3].endswith("moved · aliases: best → v0")
    assert "was there" in run("cp", f"{root}#a", str(tmp_path / "t"), "-q").out
    told = json.loads(run("cp", f"{tmp_path / 't'}#a:best", f"{root}#back", "--json", "-q").out)
    assert [
        (version["source"], version["name"], version["slot"], version["created"]) for version in told["versions"]
    ] == [(0, "back", 0, True)]
    assert told["files_moved"] == 0
    store = tableformat.open_store(root)
    assert store["back"].digest == store["a:v0"].digest


@pytest.mark.parametrize(
    ("tests", "ids"),
    [
        (["label=a"], [2, 4, 6]), (["label!=a", "score>0.5"], [3, 5, 7]), (["score>=1", "score<=1.25"], [4, 5]), (["id<3"], [1, 2]),
        (["score=null"], [0]), (["score!=null", "id==5"], [5]),
    ],
)  # fmt: skip
def test_rows(run: Run, root: str, tmp_path: Path, tests: list[str], ids: list[int]) -> None:
    """`--where` compares with JSON values, or text; all tests must hold."""
    version = ":v0" if "score=null" in tests else ""
    flags = [flag for test in tests for flag in ("--where", test)]
    done = run(
        "cp",
        f"{root}#a{version}/t",
        f"{tmp_path / 't'}#some",
        *flags,
        "--columns",
        "id,score",
        "--message",
        "some rows",
    )
    assert (done.code, done.out.splitlines()[1].split()[:2]) == (0, ["rows", "some:v0"])
    table = tableformat.open_store(tmp_path / "t")["some"]["t"]
    assert [row["id"] for row in table.rows()] == ids
    assert [column.name for column in table.schema.columns] == ["id", "score"]


def test_what_is_left_is_told(run: Run, root: str, tmp_path: Path) -> None:
    """Aliases that the target has for something else are told beside the output; mistakes end with their code."""
    target = tableformat.open_store(tmp_path / "t")
    with target.draft("a") as draft, draft.table("own") as table:
        table.append(x=1)
    target.set_alias("a", "best", "v0")
    done = run("cp", f"{root}#a", target.root)
    assert done.code == 0
    assert "left: alias best: at the target it names v0" in done.err
    assert run("cp", f"{root}#a/t", target.root, "--where", "label").code != 0
