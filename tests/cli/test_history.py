"""`log`, `rollback`, and what `show` tells of changes, on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tableformat
from tableformat.cli import main


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The exit code, standard output and standard error of a command."""
    monkeypatch.setattr("sys.argv", ["tableformat", *arguments])
    code = main()
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def root(tmp_path: Path) -> str:
    store = tableformat.open_store(tmp_path / "store")
    with store.draft("a", message="first", metadata={"n": 1}) as draft, draft.table("t", key="id") as table:
        table.extend([{"id": 1}, {"id": 2}])
    with store.draft("a", base="latest", message="more") as draft, draft.table("t", mode="append") as table:
        table.append(id=3)
    store.set_alias("a", "best", "v0")
    return f"{store.root}#a"


def test_log_lists_versions(root: str, monkeypatch: Any, capsys: Any) -> None:
    """Newest first, with message, counts and aliases; `-n` cuts, `--json` is for programs."""
    code, out, _ = run(monkeypatch, capsys, "log", root)
    lines = out.splitlines()
    assert code == 0
    assert [line.split()[0] for line in lines] == ["version", "v1", "v0"]
    assert "more" in lines[1]
    assert "best" in lines[2]
    _, out, _ = run(monkeypatch, capsys, "log", root, "-n", "1", "--json")
    [told] = json.loads(out)
    assert (told["version"], told["message"], told["report"]["rows"], told["aliases"]) == ("v1", "more", 1, [])
    assert run(monkeypatch, capsys, "log", root + ":v0")[0] == 2


def test_show_tells_what_changed(root: str, monkeypatch: Any, capsys: Any) -> None:
    """Since the version before, or another; nothing for the first version; message and metadata are shown."""
    _, out, _ = run(monkeypatch, capsys, "show", root)
    assert "since a:v0" in out
    assert "+1" in out
    assert '{"n": 1}' in out
    assert "since" not in run(monkeypatch, capsys, "show", root + ":v0")[1]
    _, out, _ = run(monkeypatch, capsys, "show", root + ":v0", "--since", "v1", "--json")
    changes = json.loads(out)["changes"]
    assert changes["since"] == "a:v1"
    assert [(entry["name"], entry["rows_removed"]) for entry in changes["entries"]] == [("t", 1)]


def test_rollback_commits_an_old_version(root: str, monkeypatch: Any, capsys: Any) -> None:
    """The old version is the newest, once: again there is nothing to do; an address without version is refused."""
    code, out, _ = run(monkeypatch, capsys, "rollback", root + ":v0", "--message", "oops")
    assert (code, out) == (0, "a:v2 is a:v0 again\n")
    _, out, err = run(monkeypatch, capsys, "rollback", root + ":best", "--json")
    assert json.loads(out)["created"] is False
    assert "nothing to do" in err
    assert run(monkeypatch, capsys, "rollback", root)[0] == 2
    assert "oops" in run(monkeypatch, capsys, "log", root)[1]
