"""`tableformat.cp`: addresses on both sides, whole versions and rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tableformat
from tableformat import col
from tableformat.errors import IllegalNameError, NotFoundError, UsageError


@pytest.fixture
def root(tmp_path: Path) -> str:
    """A store with `a`: pictures with labels and a class set, and references."""
    store = tableformat.open_store(tmp_path / "source")
    with store.draft("a", message="first") as draft:
        draft.add(tableformat.Classes(["cat", "dog"]), "kinds")
        schema = {
            "id": pa.int64(),
            "label": tableformat.ClassType(tableformat.Classes(["cat", "dog"])),
            "image": tableformat.ImageType(),
        }
        with draft.table("t", schema, key="id") as table:
            for row in range(8):
                table.append(
                    id=row, label=row % 2, image=np.random.default_rng(row).integers(0, 255, (32, 32, 3), np.uint8)
                )
        with draft.table("refs") as table:
            table.append(id=0, image=tableformat.Image.refer("https://example.com/cat.png"))
    with store.draft("a", base="latest", message="second") as draft:
        draft.delete("t", id=7)
    return store.root


def test_whole_artifacts_and_versions(root: str, tmp_path: Path) -> None:
    """A bare name means every version, `:latest` and others one; the target may give another name."""
    target = str(tmp_path / "target")
    assert [version.slot for version in tableformat.cp(f"{root}#a", target).versions] == [0, 1]
    one = tableformat.cp(f"{root}#a:latest", f"{target}#b")
    assert (one.name, one.created, one.bytes_moved) == ("b", 1, 0)
    store = tableformat.open_store(target)
    assert store["b"].digest == store["a:v1"].digest == tableformat.open_store(root)["a"].digest
    assert tableformat.cp(f"{target}#a@{store['a:v0'].digest}", str(tmp_path / "third")).created == 1


def test_rows_become_a_version(root: str, tmp_path: Path, store_url: str) -> None:
    """Rows of a filter and some columns, with classes and media; what the target has is not stored again."""
    copied = tableformat.cp(
        f"{root}#a/t",
        f"{store_url}#dogs",
        where=(col("label") == 1) & (col("id") > 2),
        columns=["id", "label", "image"],
    )
    store = tableformat.open_store(store_url)
    here = tableformat.open_store(root)["a"]["t"]
    assert [row["id"] for row in store["dogs"]["t"].rows()] == [3, 5]
    assert [row["image"].bytes() for row in store["dogs"]["t"].rows()] == [
        here[3]["image"].bytes(),
        here[5]["image"].bytes(),
    ]
    assert store["dogs"]["t"].key == ("id",)
    assert store["dogs"].message == f"rows of {root}#a/t"
    assert (copied.created, copied.versions[0].source, copied.versions[0].slot) == (1, None, 0)
    assert copied.bytes_moved > 6000
    assert store.verify("dogs").ok
    more = tableformat.cp(f"{root}#a/t", f"{store_url}#dogs", message="more")
    assert (more.blobs_there, store["dogs:v1"].message) == (2, "more")
    assert tableformat.cp(f"{root}#a/t", f"{store_url}#dogs").created == 0


def test_references_stay(root: str, tmp_path: Path) -> None:
    """References are copied as they are, without being followed."""
    tableformat.cp(f"{root}#a:v0/refs", str(tmp_path / "target"))
    store = tableformat.open_store(tmp_path / "target")
    assert repr(store["a"]["refs"][0]["image"]) == "Image.refer('https://example.com/cat.png')"
    assert set(store["a"]) == {"refs"}


@pytest.mark.parametrize(
    ("source", "target", "error"),
    [
        ("#nothing", "x", NotFoundError), ("#a:v9", "x", NotFoundError), ("#a/kinds", "x", UsageError), ("#a/none", "x", NotFoundError),
        ("", "x", IllegalNameError), ("#a", "x#b:v1", UsageError), ("#a", "#b", UsageError), ("#a", "x#b/t", IllegalNameError),
        ("#a:v0/t", "x#latest", IllegalNameError),
    ],
)  # fmt: skip
def test_bad_addresses(root: str, tmp_path: Path, source: str, target: str, error: type[Exception]) -> None:
    """What names nothing, or a version at the target, is refused before anything is written."""
    place = f"{tmp_path}/{target}" if target.startswith("x") else target
    with pytest.raises(error):
        tableformat.cp(f"{root}{source}", place)
    assert not (tmp_path / "x").exists()


def test_rows_need_a_table(root: str, tmp_path: Path) -> None:
    """Where a version has several tables, rows are asked for by name; a filter must fit."""
    with pytest.raises(UsageError, match="ends in the name of a table"):
        tableformat.cp(f"{root}#a", str(tmp_path / "x"), columns=["id"])
    with pytest.raises(NotFoundError):
        tableformat.cp(f"{root}#a/t", str(tmp_path / "x"), where=col("none") == 1)
    assert not (tmp_path / "x").exists()


def test_copying_stays_lazy(root: str) -> None:
    """The source must be there; looking never makes a store of it."""
    missing: Any = f"{root}-none#a"
    with pytest.raises(NotFoundError):
        tableformat.cp(missing, root)
    assert not Path(f"{root}-none").exists()
