"""`import`, `export`, `alias`: what they make, and what they leave alone where they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tableformat
from tests.cli.conftest import Run


def test_import_and_export_of_a_folder(run: Run, tmp_path: Path, digits: Path) -> None:
    """A folder of images goes in and comes out again, byte for byte."""
    done = run("import", "digits", digits, tmp_path / "s")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("digits:v0: images (600 rows) · ")
    again = run("import", "digits", digits, tmp_path / "s")
    assert (again.code, again.out) == (0, "digits:v0: nothing new, images (600 rows)\n")

    done = run("export", f"{tmp_path / 's'}#digits/images", tmp_path / "out", "--format", "csv", "--class-names")
    assert (done.code, done.out) == (0, f"{tmp_path / 'out' / 'rows.csv'}: 600 rows, 600 files\n")
    there = {path.relative_to(digits): path.read_bytes() for path in digits.glob("*/*.png")}
    assert {
        path.relative_to(tmp_path / "out" / "image"): path.read_bytes()
        for path in (tmp_path / "out" / "image").glob("*/*.png")
    } == there
    assert (tmp_path / "out" / "rows.csv").read_text().splitlines()[:2] == [
        '"path","label","image"',
        '"0/0000.png","0","image/0/0000.png"',
    ]


def test_import_of_several_sources(run: Run, tmp_path: Path) -> None:
    """Each source is an entry of its own, or all are one table."""
    (tmp_path / "a.csv").write_text("id,x\n1,0.5\n2,\n")
    (tmp_path / "b.jsonl").write_text('{"id": 3}\n')
    (tmp_path / "c.csv").write_text("id,x\n3,7\n")
    (tmp_path / "w.bin").write_bytes(b"w")
    told = run(
        "import",
        "all",
        tmp_path / "a.csv",
        tmp_path / "b.jsonl",
        tmp_path / "w.bin",
        tmp_path / "s",
        "--json",
        "--type",
        "mixed",
        "--metadata",
        '{"by": "me"}',
    ).json
    assert [(one["entry"], one["rows"]) for one in told["entries"]] == [("a", 2), ("b", 1), ("w.bin", None)]
    done = run(
        "import",
        "all",
        tmp_path / "a.csv",
        tmp_path / "c.csv",
        tmp_path / "s",
        "--table",
        "t",
        "--key",
        "id",
        "--message",
        "one",
    )
    assert done.code == 0
    artifact = tableformat.open_store(tmp_path / "s")["all"]
    assert (artifact.version, artifact.message, dict(artifact.kinds())) == ("v1", "one", {"t": "table"})
    assert artifact["t"].to_arrow().to_pydict() == {"id": [1, 2, 3], "x": [0.5, None, 7.0]}
    assert artifact["t"].key == ("id",)
    before = tableformat.open_store(tmp_path / "s")["all:v0"]
    assert (before.type, before.metadata) == ("mixed", {"by": "me"})


def test_import_keeps_what_base_has(run: Run, tmp_path: Path) -> None:
    """With `--base` the entries of an earlier version stay; a name that is taken is refused."""
    (tmp_path / "a.csv").write_text("x\n1\n")
    (tmp_path / "b.csv").write_text("x\n2\n")
    assert run("import", "n", tmp_path / "a.csv", tmp_path / "s").code == 0
    assert run("import", "n", tmp_path / "b.csv", tmp_path / "s", "--base", "latest").code == 0
    assert list(tableformat.open_store(tmp_path / "s")["n"]) == ["a", "b"]
    done = run("import", "n", tmp_path / "b.csv", tmp_path / "s", "--base", "latest")
    assert (done.code, "expected a free name" in done.err) == (4, True)


def test_import_of_unreadable_images(run: Run, tmp_path: Path, digits: Path) -> None:
    """An image that is cut off ends the import with its name, and nothing is visible; `--on-error skip` goes on and tells it."""
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
    data = (digits / "1" / "0001.png").read_bytes()
    (tmp_path / "pets" / "cat" / "1.png").write_bytes(data)
    (tmp_path / "pets" / "dog" / "2.png").write_bytes(data[:60])
    (tmp_path / "pets" / "notes.txt").write_text("left out")
    done = run("import", "pets", tmp_path / "pets", tmp_path / "s")
    assert (done.code, done.out) == (4, "")
    assert str(tmp_path / "pets" / "dog" / "2.png") in done.err
    assert run("ls", tmp_path / "s", "--json").json == []
    done = run("import", "pets", tmp_path / "pets", tmp_path / "s", "--on-error", "skip")
    assert done.code == 0
    assert "left out 1 file" in done.err
    assert "dog/2.png" in done.err
    assert [row["path"] for row in tableformat.open_store(tmp_path / "s")["pets"]["pets"]] == ["cat/1.png"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["import", "n", "{here}/gone.csv", "{here}/s"], 3, "nothing there"),
        (["import", "n", "{here}/empty", "{here}/s"], 3, "no files"),
        (["import", "n/m", "{here}/a.csv", "{here}/s"], 4, "n/m"),
        (["import", "latest", "{here}/a.csv", "{here}/s"], 4, "'latest' is computed"),
        (["import", "n", "{here}/a.csv", "{here}/s", "--key", "y"], 4, "y=2 stands in row 0"),
        (["import", "n", "{here}/a.csv", "{here}/s", "--key", "z"], 4, "z"),
        (["import", "n", "{here}/a.csv", "{here}/s", "--metadata", "[1]"], 4, "a JSON object"),
        (["import", "n", "{here}/a.csv", "{here}/s", "--metadata", "{{"], 4, "a JSON object"),
        (["import", "n", "{here}/a.csv", "{here}/s", "--base", "v3"], 3, "no such version"),
        (["import", "n", "{here}/a.csv", "{here}"], 5, "a folder that holds"),
        (["import", "n", "{here}/a.csv"], 2, "the following arguments are required"),
        (["import", "n", "{here}/a.csv", "{here}/a.csv/s"], 3, "Not a directory"),
        (["import", "n", "{here}/bad.csv", "{here}/s"], 4, "Row #3"),
        (["import", "n", "{here}/a.csv", "{here}/s", "--media", "smell"], 4, "'smell'"),
    ],
)
def test_imports_that_are_refused(arguments: list[str], code: int, told: str, run: Run, tmp_path: Path) -> None:
    """What cannot be imported is told in one line, and no version appears."""
    (tmp_path / "a.csv").write_text("x,y\n1,2\n3,2\n")
    (tmp_path / "bad.csv").write_text("x,y\n1,2\n3\n")
    (tmp_path / "empty").mkdir()
    done = run(*(argument.format(here=tmp_path) for argument in arguments))
    assert (done.code, done.out) == (code, "")
    assert told in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "s" / "artifacts").exists()


def test_export_refuses_what_is_there(run: Run, store: Path, tmp_path: Path) -> None:
    """A file, or a folder that is not empty, is left alone; `--force` replaces what has the names of what is written."""
    (tmp_path / "rows.csv").write_text("mine")
    done = run("export", f"{store}#digits/scores", tmp_path / "rows.csv")
    assert (done.code, (tmp_path / "rows.csv").read_text()) == (4, "mine")
    assert run("export", f"{store}#digits/scores", tmp_path / "rows.csv", "--force").code == 0
    assert (tmp_path / "rows.csv").read_text() == '"x","y"\n1,"a"\n2,\n3,"c"\n'
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    assert run("export", f"{store}#digits/images", tmp_path / "out").code == 4
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
    told = run("export", f"{store}#digits/images", tmp_path / "out", "--force", "--json").json
    assert (told["rows"], told["media"]) == (30, 30)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"mine.txt", "rows.parquet", "image", "classes.json"}
    assert run("export", f"{store}#digits/images", tmp_path / "x.csv", "--columns", "id,label").code == 0
    assert run("export", f"{store}#digits/images", tmp_path / "y.csv").code == 4
    assert run("export", f"{store}#digits/scores", tmp_path / "y.txt").code == 4
    assert run("export", f"{store}#digits/scores", tmp_path / "none" / "y.csv").code == 3


def test_alias(run: Run, store: Path) -> None:
    """Aliases are set, moved, listed and removed; what is none is told."""
    assert run("alias", "set", f"{store}#digits", "released").code == 0
    assert run("alias", "set", f"{store}#digits:v1", "best").out == "digits:best is v1\n"
    assert run("alias", "ls", f"{store}#digits", "--json").json == {"best": "v1", "released": "v1"}
    assert "released  v1" in run("alias", "ls", f"{store}#digits").out
    assert run("alias", "rm", f"{store}#digits:best").code == 0
    assert run("alias", "rm", f"{store}#digits:best").code == 3
    assert run("alias", "rm", f"{store}#digits").code == 2
    assert run("alias", "set", f"{store}#digits:v9", "best").code == 3
    assert run("alias", "set", f"{store}#digits", "latest").code == 4
    assert run("alias", "set", f"{store}#digits/images", "best").code == 2
    assert run("alias", "ls", f"{store}#none").code == 3
    assert run("alias").code == 2
    assert run("alias", "ls", f"{store}#digits", "--json").json == {"released": "v1"}


def test_tables_go_to_wandb_and_come_back(run: Run, store: Path, tmp_path: Path) -> None:
    """`export --to wandb` writes a table.json that `convert` brings back with the same rows."""
    with tableformat.open_store(store).draft("small") as draft:
        draft.add([{"x": 1, "y": "a"}, {"x": 2, "y": None}], "rows")
    done = run("export", f"{store}#small/rows", tmp_path / "old", "--to", "wandb", "--json")
    assert (done.code, json.loads(done.out)["rows"]) == (0, 2)
    assert run("export", f"{store}#small/rows", tmp_path / "older", "--to", "wandb", "--force").code == 2
    assert run("convert", tmp_path / "old", store, "--artifact", "back", "--quiet").code == 0
    again = tableformat.open_store(store)["back"]["rows"]
    assert [dict(row) for row in again] == [{"x": 1, "y": "a"}, {"x": 2, "y": None}]
