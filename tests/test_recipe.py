"""A store is read by jq, DuckDB, dd and unzip, as spec/recipe.md says, and gives what the library gives."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tableformat
from tests.fences import split_markdown
from tests.spec_runner import ROOT

FENCES = [fence for fence in split_markdown(ROOT / "spec" / "recipe.md")[1] if fence.kind == "recipe"]
NEEDED = ("bash", "jq", "dd", "sha256sum", "base64")
DUCKDB = '''#!{python}
"""DuckDB's command line, where only its Python package is installed: -c, -csv, -list and -noheader."""
import csv, sys
import duckdb

arguments = sys.argv[1:]
found = duckdb.sql(arguments[arguments.index("-c") + 1])
rows = found.fetchall()
out = csv.writer(sys.stdout, lineterminator="\\n") if "-csv" in arguments else None
if "-noheader" not in arguments:
    rows.insert(0, tuple(found.columns))
for row in rows:
    row = ["" if value is None else value for value in row]
    out.writerow(row) if out else print("|".join(map(str, row)))
'''


def write_animals(root: Path, *, many: bool) -> tableformat.Store:
    """Two versions of `animals`; with `many`, so many entries and parts that both stand in leaves."""
    store = tableformat.open_store(root)
    schema = {
        "id": pa.int64(), "label": pa.string(), "image": tableformat.ImageType(), "icon": tableformat.ImageType()
    }  # fmt: skip
    for version in (1, 2):
        with store.draft("animals", type="dataset") as draft:
            for number in range(200 if many else 1):
                draft.add(tableformat.Classes({0: "cat", 1: "dog", 2: f"animal {number}"}), f"classes-{number}")
            with draft.table("train", schema, part_rows=4 if many else None) as table:
                for row in range(150):
                    noise = np.random.default_rng(row * version).integers(0, 255, (24, 24, 3), np.uint8)
                    image = tableformat.Image(noise, caption=f"number {row}, “{version}”")
                    table.append(id=row, label=("cat", "dog")[row % 2], image=image, icon=noise[:8, :8])
    return store


def run_recipe(store: tableformat.Store, folder: Path, fences: list[Any]) -> None:
    """Run the blocks in `folder`, in one bash that stops at the first command that fails."""
    programs = folder / "programs"
    programs.mkdir()
    if shutil.which("duckdb") is None:
        shim = programs / "duckdb"
        shim.write_text(DUCKDB.replace("{python}", sys.executable), encoding="utf-8")
        shim.chmod(0o755)
    environment = {
        **os.environ,
        "STORE": store.root,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
    }
    text = "\n".join(["shopt -s inherit_errexit", *(fence.body for fence in fences)])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def needs(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed here: {', '.join(missing)}")


@pytest.mark.parametrize("many", [False, True])
def test_recipe_reads_what_the_library_reads(tmp_path: Path, many: bool) -> None:
    """Rows and pictures come out of a store, short lists and long ones, without this library."""
    needs(*NEEDED)
    pytest.importorskip("duckdb")
    store = write_animals(tmp_path / "store", many=many)
    root = store["animals"].manifest
    assert bool(root.entries.leaves) == many
    assert many == any(item["kind"] == "table" and "leaves" in item["parts"] for item in store["animals"].items_raw())
    run_recipe(store, tmp_path, [fence for fence in FENCES if "unzip" not in fence.body])
    table = store["animals"]["train"]
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["id", "label", "width", "height", "image_caption"]
    assert rows[1:] == [[str(row["id"]), row["label"], "24", "24", row["image"].caption] for row in table.rows()]
    assert (tmp_path / "labels.csv").read_text(encoding="utf-8").split() == ["label,rows", "cat,75", "dog,75"]
    assert (tmp_path / "picture.png").read_bytes() == table[42]["image"].bytes()
    assert (tmp_path / "icon.png").read_bytes() == table[42]["icon"].bytes()


def test_recipe_with_unzip(tmp_path: Path) -> None:
    """`unzip -t` passes on a pack, and `unzip -p` gives a picture by its digest."""
    needs(*NEEDED, "unzip")
    pytest.importorskip("duckdb")
    store = write_animals(tmp_path / "store", many=False)
    run_recipe(store, tmp_path, FENCES)
    assert (tmp_path / "unzipped.png").read_bytes() == store["animals"]["train"][42]["image"].bytes()


def test_recipe_compares_digests(tmp_path: Path) -> None:
    """A changed root or a changed picture stops the recipe."""
    needs(*NEEDED)
    pytest.importorskip("duckdb")
    store = write_animals(tmp_path / "store", many=False)
    cell = store["animals"]["train"][42]["image"].cell
    for path, at in (
        (next((tmp_path / "store" / "manifests").glob(f"{store['animals'].digest[7:]}*")), 5),
        (tmp_path / "store" / "data" / cell.uri, cell.offset + 50),
    ):
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.write_bytes(data)
        folder = tmp_path / path.name[:8]
        folder.mkdir()
        with pytest.raises(AssertionError, match="FAILED"):
            run_recipe(store, folder, [fence for fence in FENCES if "unzip" not in fence.body])
        data[at] ^= 1
        path.write_bytes(data)
