"""Every object of every fixture, as the old library wrote it and its own reader gave it back."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest

import tableformat
from tableformat.convert.legacy import ConversionReport, source_document
from tests.convert.legacy.legacy import (
    CASES,
    LEGACY,
    by_id,
    check_cell,
    check_media,
    class_list,
    convert_case,
    expected_of,
)


class Converted:
    """One case, converted."""

    def __init__(self, case: str, store: tableformat.Store) -> None:
        self.case, self.store = case, store
        self.report: ConversionReport = convert_case(case, store)
        self._tables: dict[tuple[str, str], list[Any]] = {}

    def artifact(self, label: str) -> tableformat.Artifact:
        target = self.report.target_of(label)
        assert target is not None
        return self.store[target]

    def place_of(self, label: str, path: str) -> tuple[str, dict[str, Any], int, int | None]:
        """The entry that the table at `path` became, what is told of it, and the range of its rows."""
        for entry, told in source_document(self.artifact(label))["tables"].items():
            for part in told.get("parts", ()):
                if part["path"] == path:
                    return entry, told, *part["rows"]
            if told["path"] == path:
                return entry, told, 0, None
        raise LookupError(path)

    def rows(self, label: str, path: str, *, whole: bool = False) -> Iterator[list[tuple[Any, str, dict[str, Any]]]]:
        """Cells of a table, each with the type of its column and what stands beside it."""
        entry, told, start, stop = self.place_of(label, path)
        if (label, entry) not in self._tables:
            self._tables[label, entry] = list(self.artifact(label)[entry].rows())
        names = [column["name"] for column in told["columns"]]
        labels = self.labels(label, entry)
        for row in self._tables[label, entry][0 if whole else start : None if whole else stop]:
            yield [
                (row[name], labels[name], {"path": row.get(f"{name}_path"), "more": row.get(f"{name}_more")})
                for name in names
            ]

    def labels(self, label: str, entry: str) -> dict[str, str]:
        [artifact] = [one for one in self.report.artifacts if one.source == label]
        [told] = [one for one in artifact.entries if one.entry == entry]
        return {column.name: column.type for column in told.columns}


@pytest.fixture(scope="module", params=CASES)
def converted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Converted]:
    if request.param == "references_file":  # a store elsewhere may not point at files of this machine
        yield Converted(request.param, tableformat.open_store(tmp_path_factory.mktemp("store") / "store"))
        return
    name = f"legacy-{uuid.uuid4().hex}"
    yield Converted(request.param, tableformat.open_store(f"memory://{name}"))
    fsspec.filesystem("memory").rm(f"/{name}", recursive=True)


def check_rows(converted: Converted, label: str, path: str, expected: list[list[Any]], *, whole: bool = False) -> None:
    actual = list(converted.rows(label, path, whole=whole))
    assert len(actual) == len(expected)
    for number, (row, told) in enumerate(zip(actual, expected, strict=True)):
        for column, ((value, kind, beside), one) in enumerate(zip(row, told, strict=True)):
            try:
                check_cell(one, value, kind, beside)
            except AssertionError as error:
                raise AssertionError(f"{label}/{path}: row {number}, column {column}: {error}") from error


def objects_of(case: str, *kinds: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for key, told in expected_of(case)["objects"].items():
        if told["kind"] in kinds:
            label, _, path = key.partition("/")
            yield label, path, told


def test_every_cell_of_every_table(converted: Converted) -> None:
    """Each cell equals, by value and type, what the old reader gave; or what is in the file, where it failed. [LEGACY-1]"""
    for label, path, told in objects_of(converted.case, "table"):
        rows = told.get("rows", told.get("rows_lenient"))
        if not told["columns"]:
            assert not rows
            assert converted.artifact(label)[path].bytes()
            continue
        _, described, _, _ = converted.place_of(label, path)
        originals = [column["original"] for column in described["columns"]]
        assert originals == told["columns"]
        assert [type(one) for one in originals] == [type(one) for one in told["columns"]]
        if told.get("log_mode") == "INCREMENTAL":
            check_rows(converted, label, path, rows, whole=True)  # any increment was the whole table to the old reader
        else:
            check_rows(converted, label, path, rows)


def test_partitioned_tables_are_one_table(converted: Converted) -> None:
    """Parts follow each other in the order of the manifest; those that differ in columns stay tables. [LEGACY-2]"""
    for label, path, told in objects_of(converted.case, "partitioned-table"):
        if told["reader"] == "ok" and told["parts"]:
            check_rows(converted, label, path, told["rows"])
        else:
            assert converted.artifact(label)[path].bytes()


def test_increments_are_one_table(converted: Converted) -> None:
    """The files of an incremental table are joined in their order, with the arrays of all rows. [LEGACY-3]"""
    told = expected_of(converted.case)
    if "all_rows_in_order" in told:
        label = converted.report.artifacts[0].source
        entry = converted.artifact(label)["log"]
        assert len(entry) == len(told["all_rows_in_order"])
        for row, expected in zip(entry.rows(), told["all_rows_in_order"], strict=True):
            for name, one in zip(("step", "text"), expected, strict=False):
                check_cell(one, row[name])
            assert row["vec"] == expected[2]["v"]
    else:
        assert all(one.entry != "log" for artifact in converted.report.artifacts for one in artifact.entries)


def test_joined_tables_run(converted: Converted) -> None:
    """A joined table gives the pairs of rows that were shown of it, and those with null keys besides. [LEGACY-4]"""
    for label, path, told in objects_of(converted.case, "joined-table"):
        artifact = converted.artifact(label)
        entry = next(name for name, one in source_document(artifact)["entries"].items() if one["path"] == path)
        described = source_document(artifact)["entries"][entry]
        assert [described["table1"], described["table2"], described["join_key"]] == [
            told["table1"],
            told["table2"],
            told["join_key"],
        ]
        joined = artifact[entry]
        assert isinstance(joined, tableformat.JoinedTable)
        key = told["join_key"]
        pair = key if isinstance(key, list) else [key, key]
        names = [
            next(c["name"] for c in converted.place_of(label, told[side])[1]["columns"] if c["original"] == one)
            for side, one in zip(("table1", "table2"), pair, strict=True)
        ]
        found = []
        for row in joined.rows():
            left, right = row["0"], row["1"]
            value = left[names[0]] if left is not None else right[names[1]]
            if value is not None:
                found.append((repr(value), left is None, right is None))
        wanted = [(repr(_plain(one[0])), one[1] is None, one[2] is None) for one in told["ui_full_outer_join"]]
        assert sorted(found) == sorted(wanted)


def _plain(value: Any) -> Any:
    return value["v"] if isinstance(value, dict) else value


def test_objects_stay_objects(converted: Converted) -> None:
    """Single media and class sets are entries of their own, with all that was said about them. [LEGACY-5]"""
    for key, told in expected_of(converted.case)["objects"].items():
        label, _, path = key.partition("/")
        if told["kind"] in ("table", "joined-table", "partitioned-table") or told.get("value") is None:
            continue
        artifact = converted.artifact(label)
        entry, described = next(
            (name, one) for name, one in source_document(artifact)["entries"].items() if one["path"] == path
        )
        if told["kind"] == "classes":
            assert class_list(artifact[entry]) == by_id(told["value"]["class_set"])
        else:
            check_media(
                told["value"], artifact[entry], {"path": described["media_path"], "more": described.get("more")}
            )


def test_references_stay_references(converted: Converted) -> None:
    """What the manifest points at elsewhere is a line of the table of references, with its kind of digest. [LEGACY-6]"""
    lines: dict[tuple[str, str], Any] = {}
    for one in converted.report.artifacts:
        names = [entry.entry for entry in one.entries if entry.kind == "references"]
        for row in converted.artifact(one.source)[names[0]].rows() if names else ():
            lines[one.source, row["path"]] = row
    wanted = {}
    for key, told in (
        expected_of(converted.case)["references"].items()
        if isinstance(expected_of(converted.case)["references"], dict)
        else ()
    ):
        if not told["ref"].startswith("wandb-"):
            label, _, path = key.partition("/")
            wanted[label, path] = told
    assert lines.keys() == wanted.keys()
    for place, row in lines.items():
        told = wanted[place]
        assert row["uri"].reference.uri == told["ref"]
        assert (row["digest"], row["size"]) == (told["digest"], told.get("size"))
        version = told.get("extra", {}).get("versionID")
        assert row["version_id"] == (None if version is None else str(version))
        assert row["digest_kind"] in {"md5", "etag", "url"}
        assert (row["digest_kind"] == "url") is (told["digest"] == told["ref"])


def test_nothing_is_left_out(converted: Converted) -> None:
    """Every file of the artifact is in some entry, and what is only a file has its bytes. [LEGACY-7]"""
    for one in converted.report.artifacts:
        assert [problem for problem in one.not_carried if problem.kind != "arrays"] == []
        assert one.state == "converted"
        assert one.unresolved == []
        artifact = converted.artifact(one.source)
        folder = LEGACY / converted.case / "artifacts" / one.source.replace(":", "-")
        for entry in one.entries:
            if entry.kind == "file" and folder.exists():
                assert artifact[entry.entry].bytes() == (folder / entry.sources[0]).read_bytes()


def test_run_level_tables(converted: Converted) -> None:
    """Tables of a run directory hold only columns and rows, with NaN and infinities as they were. [LEGACY-8]"""
    for path, told in expected_of(converted.case).get("run_tables", {}).items():
        check_rows(converted, converted.report.artifacts[0].source, path, told["rows"])
    assert converted.report.is_complete
