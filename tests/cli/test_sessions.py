"""`tableformat sessions`: what is open, how far, and who holds it; and dropping one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import tableformat
from tableformat.cli import main
from tableformat.errors import NotFoundError


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The exit code, standard output and standard error of a command."""
    monkeypatch.setattr("sys.argv", ["tableformat", *arguments])
    code = main()
    said = capsys.readouterr()
    return code, said.out, said.err


def test_sessions(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    """Each table of each open session has a line; `--json` says the same to programs, `--discard` drops one."""
    store = tableformat.open_store(tmp_path / "store")
    held = store.draft("b", session="held")
    with pytest.raises(KeyError), store.draft("a", session="nightly") as draft:
        with draft.table("t") as table:
            table.extend({"x": [1, 2]}, checkpoint="two")
        table = draft.table("u")
        table.append(x=1)
        table.seal()
        raise KeyError
    code, out, _ = run(monkeypatch, capsys, "sessions", store.root)
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert [line[0] for line in lines] == ["session", "held", "nightly", "nightly"]
    assert str(os.getpid()) in lines[1]
    assert lines[2][4:8] == ["t", "2", "(closed)", "'two'"]
    assert lines[3][4:7] == ["u", "1", "nobody"]
    _, out, _ = run(monkeypatch, capsys, "sessions", store.root, "--json")
    told = json.loads(out)
    assert told[1]["tables"]["t"] == {"rows": 2, "checkpoint": "two", "closed": True}
    held.discard()
    assert run(monkeypatch, capsys, "sessions", store.root, "--discard", "nightly")[:2] == (0, "discarded nightly\n")
    assert store.sessions() == []
    with pytest.raises(NotFoundError):
        store.session("nightly")
    assert run(monkeypatch, capsys, "sessions", store.root, "--discard", "nightly")[0] != 0
