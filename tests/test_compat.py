"""Old bytes open for ever: the stores that earlier versions wrote say what they said, and broken ones are refused as they should."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest

import tableformat
from tableformat.document import encode_document
from tableformat.errors import TableformatError, UnsupportedError
from tableformat.storage.backend import open_backend
from tableformat.verify import verify_version
from tests.spec_runner import ROOT

FOLDER = ROOT / "spec" / "vectors" / "artifacts"
BROKEN = sorted(path.parent for path in FOLDER.glob("broken/*/expected.json"))
GOLDEN = sorted(path.parent for path in FOLDER.glob("*/*/expected.json") if path.parent.parent.name != "broken")


def load_writer() -> ModuleType:
    """The program that writes the stores."""
    spec = importlib.util.spec_from_file_location("write_artifacts", FOLDER / "write.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WRITER = load_writer()


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def expected_of(folder: Path) -> Any:
    return json.loads((folder / "expected.json").read_text(encoding="utf-8"))


def name_of(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


@pytest.fixture
def copied(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of the store of a folder: reading leaves no trace in the repository."""
    target: Path = tmp_path / "store"
    shutil.copytree(request.param / "store", target)
    return target


@pytest.mark.parametrize("folder", GOLDEN, ids=name_of)
def test_stores_say_what_they_said(folder: Path) -> None:
    """Every version, entry, row and byte of media is what was written; nothing in the store is changed by reading."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    store = tableformat.open_store(folder / "store", create=False)
    assert as_json(WRITER.describe(store)) == expected_of(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("folder", GOLDEN, ids=name_of)
def test_stores_verify(folder: Path) -> None:
    """Every version that was not deleted verifies."""
    store = tableformat.open_store(folder / "store", create=False)
    for name in store.artifacts():
        for version in store.versions(name):
            assert verify_version(open_backend(str(folder / "store")), name, version.slot).problems == ()


@pytest.mark.parametrize("copied", GOLDEN, ids=name_of, indirect=True)
def test_stores_can_be_written_on(copied: Path) -> None:
    """A version made from the newest one carries its entries and adds one."""
    store = tableformat.open_store(copied, create=False)
    before = {item["name"]: encode_document(item) for item in store["a"].items_raw()}
    with store.draft("a", base="latest") as draft:
        draft.add(pa.table({"x": [1]}), "added")
    after = {item["name"]: encode_document(item) for item in store["a"].items_raw()}
    assert {name: after[name] for name in before} == before
    assert set(after) == {*before, "added"}


@pytest.mark.parametrize("folder", BROKEN, ids=name_of)
def test_broken_stores_are_refused(folder: Path) -> None:
    """The error comes where it should, of the kind that is stated, and names what is not understood. [FORMAT-1] [PART-14]"""
    told = expected_of(folder)

    def until(step: str) -> None:
        store = tableformat.open_store(folder / "store", create=False)
        if step != "store":
            version = store["a"]
            if step == "rows":
                version["t"].to_arrow()
            elif step == "entry":
                version["view"]

    steps = ["store", "version", "rows"]
    if told["at"] in steps:
        for step in steps[: steps.index(told["at"])]:
            until(step)
    with pytest.raises(TableformatError) as caught:
        until(told["at"])
    assert caught.value.kind == told["error"]
    assert told["says"] in str(caught.value)


@pytest.mark.parametrize("copied", [FOLDER / "broken" / "reserved-kind"], ids=name_of, indirect=True)
def test_reserved_kinds_are_carried(copied: Path) -> None:
    """An entry of a kind that is not known stands in the next version byte by byte. [FORMAT-3]"""
    store = tableformat.open_store(copied, create=False)
    [before] = [item for item in store["a"].items_raw() if item["kind"] == "view"]
    with store.draft("a", base="latest") as draft:
        draft.add(pa.table({"x": [1]}), "added")
    [after] = [item for item in store["a"].items_raw() if item["kind"] == "view"]
    assert encode_document(after) == encode_document(before)
    with pytest.raises(UnsupportedError, match="view"):
        store["a"]["view"]


def test_stores_are_listed() -> None:
    """Each store has a line in the README that says what it proves, and the writer writes it."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [name_of(folder) for folder in [*GOLDEN, *BROKEN] if f"| `{folder.name}` |" not in text] == []
    assert {folder.name for folder in BROKEN} == set(WRITER.BROKEN)
    assert {folder.name for folder in GOLDEN if folder.parent.name == WRITER.VERSION} == set(WRITER.STORES)
