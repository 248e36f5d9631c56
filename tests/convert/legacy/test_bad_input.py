"""Whatever is wrong in a source is told with its place, the rest converts, and `strict` commits nothing: each kind once."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tableformat
from tableformat.convert.legacy import convert_wandb
from tableformat.errors import InvalidInputError
from tests.convert.legacy.making import PNG, entry, image_cell, make, table_text

GOOD = {"good.table.json": table_text(["a"], [[1], [2]])}
ARRAY = {"wb_type": "ndarray", "params": {"shape": [2], "serialization_path": {"path": "a.npz", "key": "v"}}}
CLASSES = b'{"_type": "classes", "class_set": [{"id": 1, "name": "a"}]}'
FILE = "classes-file"


def objects() -> bytes:
    file = io.BytesIO()
    np.savez(file, v=np.array([{"a": 1}, None], object))
    return file.getvalue()


def made(files: dict[str, bytes], refs: dict[str, Any] | None = None) -> Callable[[Path], None]:
    return lambda root: make(root, {**GOOD, **files}, refs) and None


def table(*cells: Any, **more: Any) -> dict[str, bytes]:
    return {"t.table.json": table_text(["c"], [[cell] for cell in cells], **more)}


def linked(root: Path) -> None:
    make(root, {**GOOD, **table(image_cell("link.png"))})
    (root.parent / "out.png").write_bytes(PNG)
    os.symlink(root.parent / "out.png", root / "link.png")


# What is wrong, the kind of the warning, and its place.
BAD: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "truncated": (made({"t.table.json": table_text(["c"], [[1], [2], [3]])[:-30]}), "truncated", "t.table.json"),
    "truncated-first-row": (made({"t.table.json": b'{"columns": ["c"], "data": [[1'}), "truncated", "t.table.json, row 0"),
    "no-object": (made({"t.table.json": b"[1, 2]"}), "impostor", "t.table.json"),
    "not-json": (made({"t.table.json": b"\x89PNG"}), "format", "t.table.json"),
    "empty": (made({"t.table.json": b""}), "format", "t.table.json"),
    "short-row": (made({"t.table.json": table_text(["a", "b"], [[1, 2], [3]])}), "row-length", "t.table.json: row 1"),
    "long-row": (made({"t.table.json": table_text(["a"], [[1], [3, 4]])}), "row-length", "t.table.json: row 1"),
    "no-row": (made({"t.table.json": table_text(["a"], [[1], 7])}), "row", "t.table.json: row 1"),  # type: ignore[list-item]
    "rows-that-lie": (made(table(1, nrows=1 << 60)), "count", "t.table.json"),
    "columns-that-lie": (made(table(1, ncols=10**30)), "count", "t.table.json"),
    "deep-row": (made({"t.table.json": b'{"columns": ["c"], "data": [[1], [' + b"[" * 10_000 + b"]" * 10_000 + b"]]}"}), "row", "t.table.json, row 1"),
    "deep-cell": (made({"t.table.json": b'{"columns": ["c"], "data": [[1], [' + b"[" * 300 + b"]" * 300 + b"]]}"}), "nesting", "t.table.json: row 1, column 'c'"),
    "deep-object": (made({"c.classes.json": b'{"_type": "classes", "x": ' + b"[" * 10_000}), "format", "c.classes.json"),
    "parent-path": (made(table(image_cell("../x.png"))), "path", "t.table.json: row 0, column 'c'"),
    "absolute-path": (made(table(image_cell("/etc/x.png"))), "path", "t.table.json: row 0, column 'c'"),
    "drive-path": (made(table(image_cell("C:/x.png"))), "path", "t.table.json: row 0, column 'c'"),
    "path-in-manifest": (made({}, {"../../x": entry(b"x")}), "path", "../../x"),
    "link": (linked, "name", "t.table.json: row 0, column 'c'"),
    "objects-in-arrays": (made({"t.table.json": table_text(["c"], [[None], [None]], {"c": ARRAY}), "a.npz": objects()}), "arrays", "t.table.json: column 'c'"),
    "model": (made({".wb_data/m.pkl": b"\x80\x04."}), "pickle", ".wb_data/m.pkl"),
    "missing-media": (made(table(image_cell("gone.png"))), "missing-media", "t.table.json: row 0, column 'c'"),
    "missing-mask": (made({**table(image_cell("a.png", masks={"m": {"_type": "mask", "path": "gone.png"}})), "a.png": PNG}), "annotation", "t.table.json: row 0, column 'c', masks 'm'"),
    "missing-classes": (made({**table(image_cell("a.png", classes={"type": FILE, "path": "gone.json"})), "a.png": PNG}), "missing-media", "t.table.json: row 0, column 'c'"),
    "missing-file": (made({}, {"gone.bin": entry(b"x")}), "missing-file", "gone.bin"),
    "digest-of-cell": (made({**table(image_cell("a.png", b"other")), "a.png": PNG}), "digest", "t.table.json: row 0, column 'c'"),
    "digest-of-table": (made({}, {"good.table.json": entry(b"x" * len(GOOD["good.table.json"]))}), "digest", "good.table.json"),
    "digest-of-file": (made({"a.bin": b"x"}, {"a.bin": entry(b"y")}), "digest", "a.bin"),
    "digest-of-object": (made({"c.classes.json": CLASSES}, {"c.classes.json": entry(b"y" * len(CLASSES))}), "digest", "c.classes.json"),
    "size-of-media": (made({**table(image_cell("a.png")), "a.png": PNG}, {"a.png": {**entry(PNG), "size": 3}}), "size", "t.table.json: row 0, column 'c'"),
    "size-of-file": (made({"a.bin": b"x"}, {"a.bin": {**entry(b"x"), "size": 9}}), "size", "a.bin"),
    "not-the-media": (made({**table(image_cell("a.png", b"text")), "a.png": b"text"}), "media", "t.table.json: row 0, column 'c'"),
    "surrogate-in-cell": (made(table("a", "\ud800")), "surrogate", "t.table.json: row 1, column 'c'"),
    "surrogate-in-list": (made(table(["a"], ["b", {"k": "\ud800"}])), "surrogate", "t.table.json: row 1, column 'c'"),
    "surrogate-in-name": (made({"t.table.json": table_text(["\ud800"], [[1]])}), "surrogate", "t.table.json: column '\\ud800'"),
    "surrogate-in-caption": (made({**table(image_cell("a.png", caption="\ud800")), "a.png": PNG}), "surrogate", "t.table.json: row 0, column 'c'"),
    "not-utf-8": (made({"t.table.json": b'{"columns": ["c"], "data": [["\xff"]]}'}), "encoding", "t.table.json, row 0"),
    "key-twice": (made({"t.table.json": b'{"columns": ["x"], "columns": ["c"], "data": [[1]]}'}), "duplicate-key", "t.table.json"),
    "key-twice-in-cell": (made({"t.table.json": b'{"columns": ["c"], "data": [[1], [{"a": 1, "a": 2}]]}'}), "duplicate-key", "t.table.json, row 1"),
    "key-twice-in-object": (made({"c.classes.json": b'{"x": 1, "x": 2, ' + CLASSES[1:]}), "duplicate-key", "c.classes.json"),
    "manifest": (lambda root: (make(root, GOOD) / "wandb_manifest.json").write_bytes(b"[]") and None, "manifest", "wandb_manifest.json"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_each_kind_is_told_with_its_place(tmp_path: Path, name: str) -> None:
    """The place stands in the report, what is good converts, and strictly nothing is committed. [LEGACY-19]"""
    prepare, kind, place = BAD[name]
    root = tmp_path / "in" / "a:v0"
    root.mkdir(parents=True)
    prepare(root)
    store = tableformat.open_store(tmp_path / "store")
    with pytest.raises(InvalidInputError) as caught:
        convert_wandb(root, store, strict=True, progress=False)
    assert store.artifacts() == []
    assert kind in {problem.kind for problem in caught.value.problems}
    report = convert_wandb(root, store, progress=False)
    places = [
        problem.place.encode("ascii", "backslashreplace").decode()
        for problem in report.warnings
        if problem.kind == kind
    ]
    assert any(f"a:v0: {place}" == one.removesuffix(":") or one.startswith(f"a:v0: {place}") for one in places), (
        report.warnings
    )
    assert store["a"]["good"].get_column("a") == [1, 2]
    json.dumps(report.to_json()).encode()
    str(report).encode("utf-8", "backslashreplace")
