"""`ls`, `show`, `head`, `schema`, `files`: what they print, and what they say about what is not there."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tableformat
from tests.cli.conftest import Run
from tests.publishing import publish
from tests.table.edited_tables import item_of, sample


def test_ls_lists_newest_versions(run: Run, store: Path) -> None:
    """`ls` prints a line for each artifact, `--json` the same as a document."""
    done = run("ls", store)
    assert (done.code, done.err) == (0, "")
    assert [line.split()[0] for line in done.out.splitlines()] == ["version", "digits:v1"]
    [told] = run("ls", store, "--json").json
    assert (told["name"], told["version"], told["message"], told["aliases"]) == ("digits", "v1", "second", [])


def test_ls_lists_all_versions(run: Run, store: Path) -> None:
    """`--versions`, or an address, lists every version, oldest first, with its aliases."""
    versions = run("ls", store, "--versions", "--json").json
    assert [(one["version"], one["aliases"]) for one in versions] == [("v0", ["best"]), ("v1", [])]
    assert run("ls", f"{store}#digits", "--json").json == versions


def test_ls_of_an_empty_store(run: Run, tmp_path: Path) -> None:
    """A store without artifacts is no error."""
    tableformat.open_store(tmp_path / "empty", create=True)
    done = run("ls", tmp_path / "empty")
    assert (done.code, done.out) == (0, "")
    assert "has no artifacts yet" in done.err


def test_ls_goes_on_after_an_artifact_it_cannot_open(run: Run, store: Path) -> None:
    """An artifact that cannot be opened is told, the others are listed, and the exit code says what it was."""
    opened = tableformat.open_store(store)
    with opened.draft("zeros") as draft:
        draft.add({"x": [0]}, "x")
    newest = store / "artifacts" / "digits" / "versions" / f"{1:020}.json"
    newest.write_bytes(newest.read_bytes().replace(b'"requires":{"read":[]', b'"requires":{"read":["telepathy"]'))
    done = run("ls", store, "--json")
    assert done.code == 5
    assert [one["name"] for one in done.json] == ["zeros"]
    assert done.err.startswith("tableformat: digits: ")


def test_show_version(run: Run, store: Path) -> None:
    """`show` tells what a version is, what it was made from and what it holds."""
    done = run("show", f"{store}#digits")
    assert done.code == 0
    for text in ("digits:v1  (dataset)", "second", '"run": "r1"', "digits:v0", "weights.bin", "30 rows", "3 rows"):
        assert text in done.out
    told = run("show", f"{store}#digits:best", "--json").json
    assert (told["version"], told["message"], told["metadata"], told["aliases"]) == (
        "v0",
        "first",
        {"source": "UCI"},
        ["best"],
    )
    assert {one["name"].split("/")[0]: one["kind"] for one in told["entries"]} == {
        "classes": "classes",
        "images": "table",
    }
    assert run("show", f"{store}#digits@{told['digest']}", "--json").json["version"] is None


def test_show_entries(run: Run, store: Path) -> None:
    """`show` of an entry tells about a table, a file, a class set."""
    table = run("show", f"{store}#digits/images", "--json").json
    assert (table["kind"], table["rows"], table["key"]) == ("table", 30, ["id"])
    assert "30 rows, key id" in run("show", f"{store}#digits/images").out
    file = run("show", f"{store}#digits/weights.bin", "--json").json
    assert (file["size"], file["name"], file["content_type"]) == (7, "weights.bin", "application/octet-stream")
    name = next(name for name in tableformat.open_store(store)["digits"] if name.startswith("classes/"))
    assert run("show", f"{store}#digits/{name}", "--json").json["classes"][3] == {"id": 3, "name": "digit 3"}
    assert "3  digit 3" in run("show", f"{store}#digits/{name}").out


def test_head(run: Run, store: Path) -> None:
    """`head` prints rows in columns, with the names of classes and media in a few words."""
    done = run("head", f"{store}#digits/images", "-n", 2)
    assert done.out.splitlines() == [
        "id  label      image",
        " 0  0 digit 0  Image png, 8×8, 140 bytes",
        " 1  1 digit 1  Image png, 8×8, 140 bytes",
        "… 2 of 30 rows",
    ]
    assert run("head", f"{store}#digits:v0", "-n", 1, "--columns", "label,id").out.splitlines()[1].split() == [
        "0",
        "digit",
        "0",
        "0",
    ]
    [row] = run("head", f"{store}#digits/images", "-n", 1, "--json").json
    assert (row["id"], row["label"], row["image"]["format"], row["image"]["width"]) == (0, 0, "png", 8)
    assert run("head", f"{store}#digits/scores", "--json").json == [
        {"x": 1, "y": "a"},
        {"x": 2, "y": None},
        {"x": 3, "y": "c"},
    ]
    assert run("head", f"{store}#digits/images", "-n", 0, "--json").json == []


def test_head_of_parquet(run: Run, tmp_path: Path) -> None:
    """A path without # is a Parquet file."""
    pq.write_table(pa.table({"x": [1, None]}), tmp_path / "x.parquet")
    assert run("head", tmp_path / "x.parquet", "--json").json == [{"x": 1}, {"x": None}]


def test_head_shows_nothing_that_moves_the_cursor(run: Run, tmp_path: Path) -> None:
    """Control characters and bidirectional marks in values are escaped, and so are line ends."""
    with tableformat.open_store(tmp_path / "s").draft("x") as draft:
        draft.add({"s": ["\x1b[31mred\r\nnext\u202eevil\u2066", "日本 e\u0301 👩\u200d🔬"]}, "t")
    out = run("head", f"{tmp_path / 's'}#x").out
    assert out.splitlines()[1] == r"\x1b[31mred\r\nnext\u202eevil\u2066"
    assert out.splitlines()[2] == "日本 e\u0301 👩\u200d🔬"
    assert run("head", f"{tmp_path / 's'}#x", "--json").out.isascii()


def test_schema(run: Run, store: Path) -> None:
    """`schema` prints columns, types and the key."""
    lines = [line.split() for line in run("schema", f"{store}#digits/images").out.splitlines()]
    assert lines == [["column", "type"], ["id", "int64", "key"], ["label", "class<int64>"], ["image", "image"]]
    told = run("schema", f"{store}#digits/images", "--json").json
    assert tableformat.Schema.from_json(told["schema"]).names == ["id", "label", "image"]
    assert [column["name"] for column in told["columns"]] == ["id", "label", "image"]


def test_files(run: Run, store: Path) -> None:
    """`files` prints Parquet files that another engine reads as the table's rows."""
    files = run("files", f"{store}#digits/scores").out.split()
    assert pa.concat_tables(pq.read_table(file) for file in files).to_pydict() == {
        "x": [1, 2, 3],
        "y": ["a", None, "c"],
    }
    assert run("files", f"{store}#digits/scores", "--json").json == files


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["ls", "{gone}"], 3, "expected a store"),
        (["show", "{store}#digit"], 3, "did you mean 'digits'?"),
        (["show", "{store}#digits:v9"], 3, "no such version"),
        (["show", "{store}#digits:worst"], 3, "there are: best"),
        (["show", "{store}#digits/image"], 3, "images"),
        (["show", "{store}#digits@sha256:" + "0" * 64], 3, ""),
        (["head", "{store}#digits/images", "--columns", "labl"], 3, "did you mean 'label'?"),
        (["head", "{store}#digits"], 2, "images, scores"),
        (["head", "{store}#digits/weights.bin"], 2, "got file"),
        (["head", "{store}"], 2, "its artifacts: digits"),
        (["head", "{gone}.parquet"], 3, ""),
        (["show", "{store}"], 2, "quote it"),
        (["show", "{store}#../digits"], 4, ""),
        (["show", "{store}#digits/%zz"], 4, "two hex digits"),
        (["show", "{store}#digits/..%2Fimages"], 4, "no escaped slash"),
        (["show", "{store}#con"], 4, "device"),
        (["show", "{store}#"], 4, ""),
        (["files", "{store}#digits/weights.bin"], 2, "expected a table"),
        (["head", "{store}#digits/images", "-n", "x"], 2, "invalid number of rows"),
        (["head", "{store}#digits/images", "-n", "-1"], 2, "invalid number of rows"),
        (["nothing"], 2, "invalid choice"),
        ([], 2, "usage"),
    ],
)
def test_wrong_addresses(arguments: list[str], code: int, told: str, run: Run, store: Path, tmp_path: Path) -> None:
    """What is not there is told in one line on standard error, with what there is, and by the exit code."""
    done = run(*(argument.format(store=store, gone=tmp_path / "gone") for argument in arguments))
    assert (done.code, done.out) == (code, "")
    assert told in done.err
    assert "Traceback" not in done.err


def test_folder_that_is_no_store(run: Run, tmp_path: Path) -> None:
    """A folder with other things in it is told from a store, and a marker of a newer format by its version."""
    (tmp_path / "other.txt").write_text("hello")
    assert run("ls", tmp_path).code == 3
    (tmp_path / "tableformat.json").write_text("{}")
    assert run("ls", tmp_path).code == 5


def test_show_joined_table(run: Run, tmp_path: Path) -> None:
    """`show` tells the kind, the columns and the plan of a joined table, and of a version whose joins lost a side the rest."""
    store = tableformat.open_store(tmp_path / "joins")
    with store.draft("a") as draft:
        draft.add(pa.table({"id": [1, 2]}), "left")
        draft.add(pa.table({"id": [2], "y": [1]}), "right")
        draft.add(tableformat.JoinedTable("left", "right", on="id", how="outer"), "joined")
    told = run("show", f"{store.root}#a/joined", "--json").json
    assert (told["kind"], told["how"], told["columns"]) == ("joined_table", "outer", ["id_0", "id_1", "y"])
    assert "outer join" in run("show", f"{store.root}#a/joined").out
    digest = store["a"].digest
    with store.draft("b") as draft:
        draft.add(tableformat.JoinedTable(store["a"]["left"], store["a"]["right"], on="id"), "joined")
        draft.add(pa.table({"id": [1]}), "own")
    (tmp_path / "joins" / "manifests" / f"{digest[7:]}.json").unlink()
    entries = run("show", f"{store.root}#b", "--json").json["entries"]
    assert [one["name"] for one in entries] == ["joined", "own"]
    assert "gone" in entries[0]["error"]


def test_files_of_a_table_that_is_not_plain(run: Run, tmp_path: Path) -> None:
    """They are refused, with the reason, and the view that reads them right is printed; `--force` prints them all the same."""
    store = tableformat.open_store(tmp_path / "store")
    store.context.ensure()
    table, want = sample("everything", store.context.backend)
    publish(store, "a", [item_of(table, "t")])
    address = f"{store.root}#a/t"
    refused = run("files", address)
    assert (refused.code, "rows are deleted" in refused.err) == (2, True)
    connection = duckdb.connect()
    connection.execute(refused.out)
    assert len(connection.sql("from t").fetchall()) == want.num_rows
    assert run("files", address, "--view", "other").out.startswith('CREATE OR REPLACE VIEW "other"')
    assert len(run("files", address, "--force").out.split()) == 5
    assert run("files", address, "--json").out == ""
    shown = run("show", address)
    assert "plain: no" in shown.out
    assert "rows are deleted" in shown.out
    assert run("show", address, "--json").json["plain"] is False


def test_joined_tables_are_read_like_tables(run: Run, tmp_path: Path, digits: Path) -> None:
    """`head`, `schema` and `export` take a joined table, by flattened names, its classes and media included."""
    store = tableformat.open_store(tmp_path / "store")
    picture = min(digits.glob("*/*.png"))
    with store.draft("a") as draft:
        with draft.table(
            "left", schema={"id": pa.int64(), "label": tableformat.ClassType(tableformat.Classes(["cat", "dog"]))}
        ) as table:
            table.extend([{"id": 1, "label": 1}, {"id": 2, "label": 0}])
        with draft.table("right") as table:
            table.append(id=1, image=tableformat.Image(picture))
        draft.add(tableformat.JoinedTable("left", "right", on="id", how="left"), "joined")
    address = f"{store.root}#a/joined"
    assert [one["name"] for one in run("schema", address, "--json").json["columns"][:3]] == ["id_0", "label", "id_1"]
    rows = run("head", address, "--columns", "label,id_1", "--json").json
    assert rows == [{"label": 1, "id_1": 1}, {"label": 0, "id_1": None}]
    shown = run("head", address, "--rows", "1").out
    assert "dog" in shown
    assert "… more rows" in shown
    assert "more rows" not in run("head", address).out
    assert run("export", address, tmp_path / "out", "--class-names").code == 0
    found = pq.read_table(tmp_path / "out" / "rows.parquet").to_pylist()
    assert [row["label"] for row in found] == ["dog", "cat"]
    assert (tmp_path / "out" / found[0]["image"]).read_bytes() == picture.read_bytes()
    assert found[1]["image"] is None
    assert run("export", address, tmp_path / "out.csv", "--columns", "label,id_1").code == 0
    assert (tmp_path / "out.csv").read_text().splitlines()[1:] == ["1,1", "0,"]
