from __future__ import annotations

import io
import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

import tableformat
from tableformat.cli.convert_command import run_convert
from tableformat.convert.legacy import ConversionReport, convert_wandb, read_wandb_table, source_document
from tableformat.convert.legacy.folder import check_relative, open_folder
from tableformat.convert.legacy.names import artifact_name, column_names, entry_name_of
from tableformat.convert.legacy.source import read_identities
from tableformat.errors import FormatError, IllegalNameError, InvalidInputError, NotFoundError, UsageError
from tests.convert.legacy.legacy import LEGACY
from tests.convert.legacy.making import PNG, entry, image_cell, make, table_text


@pytest.fixture
def store(tmp_path: Path) -> tableformat.Store:
    return tableformat.open_store(tmp_path / "store")


def convert(source: Path, store: tableformat.Store, **options: Any) -> ConversionReport:
    return convert_wandb(source, store, progress=False, **options)


def kinds(report: ConversionReport) -> list[str]:
    return [problem.kind for problem in report.warnings]


def rows_of(store: tableformat.Store, address: str, name: str) -> list[dict[str, Any]]:
    return [dict(row) for row in store[address][name].rows()]


def npz(path: str = "v", **arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


ARRAY_TYPE = {
    "wb_type": "ndarray",
    "params": {"shape": [2], "serialization_path": {"path": "media/serialized_data/a.npz", "key": "v"}},
}


# Doing it again


def test_a_second_run_changes_nothing(tmp_path: Path, store: tableformat.Store) -> None:
    """What was converted is found by the digest of its source, and left alone. [LEGACY-20]"""
    root = make(tmp_path / "in" / "x:v3", {"t.table.json": table_text(["a"], [[1]])})
    first = convert(root, store)
    assert (first.artifacts[0].state, first.target_of("x:v3")) == ("converted", "x:v0")
    before = sorted(path for path in (tmp_path / "store").rglob("*") if path.is_file())
    again = convert(root, store)
    assert (again.artifacts[0].state, again.target_of("x:v3")) == ("unchanged", "x:v0")
    assert sorted(path for path in (tmp_path / "store").rglob("*") if path.is_file()) == before
    assert store["x:v0"].producer["source"]["artifact"] == "x:v3"


def test_a_missing_artifact_that_comes_later(tmp_path: Path, store: tableformat.Store) -> None:
    """What refers to a missing artifact stays a reference; a later run that has it makes a version with the bytes. [LEGACY-15]"""
    cell = image_cell("media/images/a.png")
    uses = table_text(["image"], [[cell]])
    ref = {"media/images/a.png": entry(PNG, ref="wandb-artifact://4142/media/images/a.png", size=0)}
    make(tmp_path / "in" / "preds-v0", {"t.table.json": uses}, ref)
    first = convert(tmp_path / "in", store)
    assert first.artifacts[0].unresolved == ["wandb-artifact://4142/media/images/a.png"]
    [row] = rows_of(store, "preds", "t")
    assert row["image"].reference.uri == "wandb-artifact://4142/media/images/a.png"
    assert row["image"].reference.checksum == "SHA-256:" + cell["sha256"]
    make(tmp_path / "in" / "images-v7", {"media/images/a.png": PNG})
    second = convert(tmp_path / "in", store)
    assert [one.source for one in second.artifacts] == ["images:v7", "preds:v0"]
    assert second.target_of("preds:v0") == "preds:v1"
    assert rows_of(store, "preds", "t")[0]["image"].bytes() == PNG
    assert [one.artifact for one in store["preds"].inputs()] == ["images"]


def test_two_candidates_decide_nothing(tmp_path: Path, store: tableformat.Store) -> None:
    """Where two artifacts have the file, the id stays unresolved, until identities tell which one it means. [LEGACY-15]"""
    ref = {"a.png": entry(PNG, ref="wandb-artifact://4142/a.png", size=0)}
    make(tmp_path / "in" / "uses-v0", {"t.table.json": table_text(["a"], [[1]])}, ref)
    for number in (0, 1):
        make(tmp_path / "in" / f"images-v{number}", {"a.png": PNG})
    assert convert(tmp_path / "in", store).artifacts[2].unresolved == ["wandb-artifact://4142/a.png"]
    told = convert(tmp_path / "in", store, identities={"4142": "images:v1"})
    assert (told.artifacts[2].state, told.artifacts[2].unresolved) == ("converted", [])
    assert [one.slot for one in store["uses"].inputs()] == [1]
    assert store["uses"]["a.png"].bytes() == PNG


def test_many_artifacts_in_order(tmp_path: Path, store: tableformat.Store) -> None:
    """Versions keep their order, gaps or not; one that fails does not stop the others, and is done by the next run."""
    for number in (2, 10, 1):
        make(tmp_path / "in" / f"x-v{number}", {"t.table.json": table_text(["a"], [[number]])})
    (tmp_path / "in" / "broken-v0").mkdir()
    bad = make(tmp_path / "in" / "broken-v0", {"t.table.json": table_text(["a"], [[1], [1, 2]])})
    report = convert(tmp_path / "in", store, strict=True)
    assert [(one.source, one.state) for one in report.artifacts] == [
        ("broken:v0", "failed"), ("x:v1", "converted"), ("x:v2", "converted"), ("x:v10", "converted"),
    ]  # fmt: skip
    assert not report.is_complete
    assert [rows_of(store, f"x:v{slot}", "t") for slot in range(3)] == [[{"a": 1}], [{"a": 2}], [{"a": 10}]]
    make(bad, {"t.table.json": table_text(["a"], [[1]])})
    again = convert(tmp_path / "in", store, strict=True)
    assert [one.state for one in again.artifacts] == ["converted", "unchanged", "unchanged", "unchanged"]


def test_a_sidecar(tmp_path: Path, store: tableformat.Store) -> None:
    """What the files do not hold comes from the sidecar, and stands under `source`; inputs that were converted are inputs."""
    for name in ("x-v0", "y-v0"):
        make(tmp_path / "in" / name, {"t.table.json": table_text(["a"], [[1]])})
    sidecar = tmp_path / "about.json"
    sidecar.write_text(
        json.dumps({"y:v0": {"type": "model", "aliases": ["best"], "metadata": {"lr": 0.1}, "inputs": ["x:v0"]}})
    )
    convert(tmp_path / "in", store, sidecar=sidecar)
    artifact = store["y"]
    assert artifact.type == "model"
    assert (artifact.metadata["source"]["aliases"], artifact.metadata["source"]["metadata"]) == (["best"], {"lr": 0.1})
    assert [one.artifact for one in artifact.inputs()] == ["x"]
    with pytest.raises(InvalidInputError):
        convert(tmp_path / "in", store, sidecar={"no version": {}})


# Bad input


def test_rows_of_wrong_length(tmp_path: Path, store: tableformat.Store) -> None:
    """Short rows are filled with nulls, long ones cut, others replaced, and counts that lie are told. [LEGACY-19]"""
    text = table_text(["a", "b"], [[1, 2], [3], [4, 5, 6], {"no": "row"}], nrows=99)  # type: ignore[list-item]  # what it is about
    report = convert(make(tmp_path / "x:v0", {"t.table.json": text}), store)
    assert rows_of(store, "x", "t") == [{"a": 1, "b": 2}, {"a": 3, "b": None}, {"a": 4, "b": 5}, {"a": None, "b": None}]
    assert sorted(kinds(report)) == ["count", "row", "row-length", "row-length"]
    assert any("row 2" in problem.place and "6" in problem.text for problem in report.warnings)


@pytest.mark.parametrize(
    ("path", "data", "kind"),
    [
        ("a.table.json", b"[1, 2]", "impostor"), ("a.table.json", b"", "format"), ("a.table.json", b'{"x": 1}', "impostor"),
        ("a.classes.json", b'{"_type": "classes"}', "impostor"), ("a.joined-table.json", b'{"_type": "joined-table", "join_key": 3}', "impostor"),
        ("a.image-file.json", b'{"_type": "image-file", "path": "gone.png"}', "missing-media"), ("a.table.json", b"[" * 10_000, "format"),
    ],
)  # fmt: skip
def test_impostors_are_files(tmp_path: Path, store: tableformat.Store, path: str, data: bytes, kind: str) -> None:
    """A file that is not what it is called is carried over as a file, with a word; strictly it is an error. [LEGACY-9]"""
    root = make(tmp_path / "x:v0", {path: data, "good.table.json": table_text(["a"], [[1]])})
    with pytest.raises(InvalidInputError):
        convert(root, store, strict=True)
    assert store.artifacts() == []
    report = convert(root, store)
    assert kind in kinds(report)
    assert store["x"][path].bytes() == data
    assert rows_of(store, "x", "good") == [{"a": 1}]


@pytest.mark.parametrize(
    "path",
    ["../secret", "/etc/passwd", "C:/x", "C:x", "a/../../x", "a\\..\\x", "", "a//b", "a\0b", "file:///etc/passwd", "."],
)
def test_paths_that_lead_out(tmp_path: Path, store: tableformat.Store, path: str) -> None:
    """A path that leaves the artifact is refused wherever it stands. [LEGACY-17]"""
    with pytest.raises(IllegalNameError):
        check_relative(path)
    (tmp_path / "secret").write_bytes(PNG)
    types = {"v": {**ARRAY_TYPE, "params": {"serialization_path": {"path": path, "key": "v"}}}}
    files = {
        "t.table.json": table_text(["i", "v"], [[image_cell(path), None]], types),
        "c.image-file.json": json.dumps(image_cell(path)).encode(),
    }
    root = make(tmp_path / "x:v0", files, {path: entry(PNG)})
    report = convert(root, store)
    assert "path" in kinds(report)
    [row] = rows_of(store, "x", "t")
    assert (row["i"], row["i_more"]["sha256"]) == (None, image_cell(path)["sha256"])


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_that_lead_out(tmp_path: Path, store: tableformat.Store) -> None:
    """Links to files and folders outside of the artifact are not followed. [LEGACY-17]"""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.png").write_bytes(PNG)
    root = make(
        tmp_path / "x:v0",
        {"t.table.json": table_text(["i", "j"], [[image_cell("a.png"), image_cell("d/a.png")]])},
        manifest=False,
    )
    os.symlink(outside / "a.png", root / "a.png")
    os.symlink(outside, root / "d")
    (root / "own.txt").write_text("own")
    os.symlink(root / "own.txt", root / "inner.txt")
    folder = open_folder(root)
    assert folder.read("inner.txt") == b"own"
    for path in ("a.png", "d/a.png"):
        with pytest.raises(IllegalNameError):
            folder.read(path)
        assert folder.size(path) is None
    report = convert(root, store)
    [row] = rows_of(store, "x", "t")
    assert (row["i"], row["j"]) == (None, None)
    assert len(report.artifacts[0].not_carried) == 2


def test_pickles_are_never_loaded(tmp_path: Path, store: tableformat.Store) -> None:
    """Arrays of objects and saved models are carried over as files. [LEGACY-18]"""
    data = npz(v=np.array([{"a": 1}, None], object))
    files = {
        "t.table.json": table_text(["v"], [[None], [None]], {"v": ARRAY_TYPE}),
        "media/serialized_data/a.npz": data,
        ".wb_data/m.pkl": b"\x80\x04.",
    }
    report = convert(make(tmp_path / "x:v0", files), store)
    assert rows_of(store, "x", "t") == [{"v": None}, {"v": None}]
    assert kinds(report) == ["arrays", "pickle"]
    assert store["x"]["media/serialized_data/a.npz"].bytes() == data
    assert store["x"][".wb_data/m.pkl"].bytes() == b"\x80\x04."


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(3, 2),
        np.asfortranarray(np.arange(6).reshape(3, 2)),
        np.array([["a", "b"]] * 3),
        np.arange(3, dtype=">i4"),
    ],
)
def test_arrays_row_by_row(tmp_path: Path, store: tableformat.Store, array: Any) -> None:
    """Row i of the array file is row i of the table, whatever the order of its bytes. [LEGACY-13]"""
    files = {
        "t.table.json": table_text(["v"], [[None]] * 3, {"v": ARRAY_TYPE}),
        "media/serialized_data/a.npz": npz(v=array),
    }
    report = convert(make(tmp_path / "x:v0", files), store)
    found = [row["v"] for row in rows_of(store, "x", "t")]
    assert [one.tolist() if hasattr(one, "tolist") else one for one in found] == array.tolist()
    assert [entry.kind for entry in report.artifacts[0].entries] == ["table"]


@pytest.mark.parametrize(
    "data", [b"", b"PK", npz(v=np.arange(4.0).reshape(2, 2)), npz(v=np.float64(1)), npz(v=np.zeros((3, 2)))[:-40]]
)
def test_arrays_that_do_not_fit(tmp_path: Path, store: tableformat.Store, data: bytes) -> None:
    """An array file with fewer rows, or a damaged one, is told; the cells stand as they are, and the file is kept. [LEGACY-13]"""
    files = {
        "t.table.json": table_text(["v"], [[None], ["x"], [None]], {"v": ARRAY_TYPE}),
        "media/serialized_data/a.npz": data,
    }
    report = convert(make(tmp_path / "x:v0", files), store)
    assert rows_of(store, "x", "t") == [{"v": None}, {"v": "x"}, {"v": None}]
    assert kinds(report) == ["arrays"]
    assert store["x"]["media/serialized_data/a.npz"].bytes() == data


def test_arrays_longer_than_their_table(tmp_path: Path, store: tableformat.Store) -> None:
    """Rows behind the end of a table that was cut are told, and their file is kept. [LEGACY-13]"""
    data = npz(v=np.zeros((5, 2)))
    files = {"t.table.json": table_text(["v"], [[None]] * 3, {"v": ARRAY_TYPE}), "media/serialized_data/a.npz": data}
    report = convert(make(tmp_path / "x:v0", files), store)
    assert len(rows_of(store, "x", "t")) == 3
    assert [problem.kind for problem in report.artifacts[0].not_carried] == ["arrays"]
    assert store["x"]["media/serialized_data/a.npz"].bytes() == data


def test_media_that_are_not_what_is_told(tmp_path: Path, store: tableformat.Store) -> None:
    """Wrong digests and sizes, files that are no media, and missing ones are told, and kept as they are. [LEGACY-14]"""
    cells = [
        image_cell("a.png", b"other"),
        image_cell("b.png", b"no picture"),
        image_cell("gone.png"),
        image_cell("c.png"),
    ]
    files = {
        "t.table.json": table_text(["i"], [[cell] for cell in cells]),
        "a.png": PNG,
        "b.png": b"no picture",
        "c.png": PNG,
    }
    report = convert(make(tmp_path / "x:v0", files), store)
    rows = rows_of(store, "x", "t")
    assert [None if row["i"] is None else row["i"].bytes() for row in rows] == [PNG, b"no picture", None, PNG]
    assert sorted(kinds(report)) == ["digest", "media", "missing-media"]
    assert rows[0]["i_more"] == {"sha256": cells[0]["sha256"]}
    assert rows[3]["i_more"] is None


def test_overlays_that_are_none(tmp_path: Path, store: tableformat.Store) -> None:
    """Boxes and masks that cannot be read stay in JSON beside the image, and the others stay what they are."""
    good = {
        "position": {"minX": 0.1, "maxX": 0.2, "minY": 0, "maxY": 1},
        "class_id": 3,
        "scores": {"p": float("nan")},
        "mine": [1],
    }
    odd = {**good, "scores": {}, "box_caption": "\ud800"}
    boxes = {"good": [good], "bad": [{"position": 3}], "odd": [odd]}
    cell = image_cell("a.png", boxes=boxes, masks={"m": {"_type": "mask", "path": "gone.png"}})
    report = convert(make(tmp_path / "x:v0", {"t.table.json": table_text(["i"], [[cell]]), "a.png": PNG}), store)
    [row] = rows_of(store, "x", "t")
    [box] = row["i"].boxes["good"]
    assert (box.class_id, dict(box.extra), str(box.scores["p"])) == (3, {"mine": [1]}, "nan")
    assert row["i_more"] == {
        "boxes": {"bad": [{"position": 3}], "odd": [odd]},
        "masks": {"m": {"_type": "mask", "path": "gone.png"}},
    }
    assert "annotation" in kinds(report)


def test_odd_class_sets(tmp_path: Path, store: tableformat.Store) -> None:
    """Ids that are text are numbered and kept, ids that stand twice are told, other keys are kept."""
    items = [
        {"id": "7", "name": "seven"},
        {"id": "x", "name": "ex", "color": "red"},
        {"id": 7, "name": "again"},
        {"id": -1, "name": "below"},
    ]
    report = convert(
        make(tmp_path / "x:v0", {"c.classes.json": json.dumps({"_type": "classes", "class_set": items}).encode()}),
        store,
    )
    classes = store["x"]["c"]
    assert dict(classes.names) == {-1: "below", 7: "again", 8: "ex"}
    assert dict(classes.extra_of(8)) == {"color": "red", "legacy_id": "x"}
    assert kinds(report) == ["classes", "classes"]


def test_a_primary_key_that_is_none(tmp_path: Path, store: tableformat.Store) -> None:
    """A primary key is the key of its table where its values are unique, and else is told. [LEGACY-21]"""
    types = {"id": {"wb_type": "primaryKey"}}
    root = make(
        tmp_path / "x:v0",
        {
            "a.table.json": table_text(["id"], [["p"], ["q"]], types),
            "b.table.json": table_text(["id"], [["p"], ["p"]], types),
        },
    )
    report = convert(root, store)
    assert (store["x"]["a"].key, store["x"]["b"].key) == (("id",), ())
    assert kinds(report) == ["key"]
    assert source_document(store["x"])["tables"]["b"]["keys"] == [{"column": "id", "kind": "primary"}]


def test_foreign_keys_name_their_tables(store: tableformat.Store) -> None:
    """Keys and indices into another table name the entry that it became, so that a join can be made of them."""
    root = LEGACY / "keys" / "artifacts"
    [name] = {one.target for one in convert(root, store).artifacts}
    assert name is not None
    told = source_document(store[name])["tables"]
    [key], [index] = told["by_key"]["keys"], told["by_index"]["keys"]
    assert (key["table"], index["table"], told["main"]["keys"]) == (
        "main",
        "main",
        [{"column": "id", "kind": "primary"}],
    )
    joined = tableformat.JoinedTable(
        store[name]["by_key"], store[name]["main"], on=(key["column"], key["table_column"])
    )
    assert len(list(joined.rows())) >= len(store[name]["by_key"])


# Types found late, names


def test_types_that_are_found_late(tmp_path: Path, store: tableformat.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A type that the first block did not show is taken for the whole column, and rows are not doubled. [LEGACY-11]"""
    monkeypatch.setattr("tableformat.convert.legacy.text._BLOCK", 64)
    monkeypatch.setattr("tableformat.convert.legacy.text._READ", 64)
    data = [[number, None, "x"] for number in range(50)] + [[0.5, "late", 1]]
    convert(make(tmp_path / "x:v0", {"t.table.json": table_text(["a", "b", "c"], data)}), store)
    rows = rows_of(store, "x", "t")
    assert len(rows) == 51
    assert rows[-1] == {"a": 0.5, "b": "late", "c": 1}
    assert rows[0] == {"a": 0.0, "b": None, "c": "x"}


def test_names_of_columns() -> None:
    """Columns get names of the format that differ in more than case; those of media keep names free behind them. [LEGACY-10]"""
    assert column_names([0, "x", "x", "X", "", "a\0b", "\ud800"], [False] * 7) == [
        "0",
        "x",
        "x_2",
        "X_3",
        "column_4",
        "a_b",
        "_",
    ]
    assert column_names(["image_path", "image"], [False, True]) == ["image_path_2", "image"]
    assert column_names(["i", "I"], [True, True]) == ["i", "I_2"]


def test_names_of_entries_and_artifacts() -> None:
    """Entries lose the suffix of their kind unless another has the name; artifacts get names of the format."""
    taken: set[str] = set()
    assert [entry_name_of(path, taken) for path in ("a.table.json", "a.image-file.json", "A.classes.json", "eval_table.json", "d/.table.json")] == [
        "a", "a.image-file.json", "A.classes.json", "eval_table.json", "d/.table.json",
    ]  # fmt: skip
    assert [artifact_name(name) for name in ("x", "_x", "latest", "v3", "a.", "con")] == [
        "x",
        "a-_x",
        "a-latest",
        "a-v3",
        "a",
        "a-con",
    ]
    assert artifact_name("X", ["x"]) == "X_2"


# Doors


def test_one_table_by_itself() -> None:
    """A table is read straight from its file, with the media of its artifact; what is no table is refused."""
    table = read_wandb_table(LEGACY / "image_overlays" / "artifacts" / "overlays-v0" / "scenes.table.json")
    [row] = table.where(id="s1").rows()
    assert row["scene"].width == 32
    with pytest.raises(FormatError):
        read_wandb_table(LEGACY / "image_overlays" / "artifacts" / "overlays-v0" / "palette.classes.json")
    with pytest.raises(NotFoundError):
        read_wandb_table(LEGACY / "none.table.json")


def test_artifacts_at_any_url(store: tableformat.Store) -> None:
    """Artifacts are read from any file system that fsspec knows."""
    name = f"legacy-{uuid.uuid4().hex}"
    memory = fsspec.filesystem("memory")
    memory.pipe(f"/{name}/x-v0/media/images/a.png", PNG)
    memory.pipe(f"/{name}/x-v0/tables/表.table.json", table_text(["i"], [[image_cell("media/images/a.png")]]))
    try:
        report = convert_wandb(f"memory://{name}", store, progress=False)
        assert report.is_complete
        assert rows_of(store, "x", "tables/表")[0]["i"].bytes() == PNG
        assert read_wandb_table(f"memory://{name}/x-v0/tables/表.table.json")[0]["i"].bytes() == PNG
    finally:
        memory.rm(f"/{name}", recursive=True)


def test_identities() -> None:
    """Ids are taken as hex, as base64 and as those of clients."""
    assert read_identities(b'{"QXJ0aWZhY3Q6MTEx": "x:v1", "zz9": "y:v0"}') == {
        "QXJ0aWZhY3Q6MTEx": "x:v1", "41727469666163743a313131": "x:v1", "zz9": "y:v0",
    }  # fmt: skip
    for data in (b"[]", b"{", b'{"a": "x"}'):
        with pytest.raises(InvalidInputError):
            read_identities(data)


def test_what_does_not_fit_many(tmp_path: Path, store: tableformat.Store) -> None:
    """A name for one artifact is refused where there are many."""
    make(tmp_path / "in" / "x-v0", {"t.table.json": table_text(["a"], [[1]])})
    with pytest.raises(UsageError):
        convert(tmp_path / "in", store, artifact="y")


def test_folders_of_an_artifact_may_look_like_artifacts(tmp_path: Path, store: tableformat.Store) -> None:
    """A folder with a version's name, or with a manifest, is one artifact, whatever its folders are called."""
    for root in (tmp_path / "in" / "x:v0", tmp_path / "other"):
        make(root, {"train-v1/t.table.json": table_text(["a"], [[1]])})
        report = convert(root, store)
        assert [one.entry for one in report.artifacts[0].entries] == ["train-v1/t"]


def test_the_report(tmp_path: Path, store: tableformat.Store) -> None:
    """It counts rows and cells, is JSON and text, and says what became of each column."""
    report = convert(make(tmp_path / "x:v0", {"t.table.json": table_text([0, "b"], [[1, "x"], [2.5, 3]])}), store)
    assert (report.rows, report.cells) == (2, 4)
    [artifact] = json.loads(json.dumps(report.to_json()))["artifacts"]
    assert [(one["name"], one["original"], one["type"]) for one in artifact["entries"][0]["columns"]] == [
        ("0", 0, "float64"),
        ("b", "b", "json"),
    ]
    assert "mixed values" in str(report)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command converts, prints its report, and says by its code whether all was converted."""
    import argparse

    from tableformat.cli.convert_command import add_arguments

    make(tmp_path / "in" / "x-v0", {"t.table.json": table_text(["a"], [[1]])})
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert run_convert(parser.parse_args([str(tmp_path / "in"), str(tmp_path / "store"), "--json", "-q"])) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 1
    make(tmp_path / "in" / "y-v0", {"t.table.json": table_text(["a"], [[1, 2]])})
    assert run_convert(parser.parse_args([str(tmp_path / "in"), str(tmp_path / "store"), "--strict", "-q"])) == 10
    assert "failed" in capsys.readouterr().out
