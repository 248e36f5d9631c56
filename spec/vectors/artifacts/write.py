"""Writes the stores beside it, and what each says: `python spec/vectors/artifacts/write.py`, from the root of the repository.

See README.md for what each proves. Stores of other versions of the library than the present one are left alone.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2]))

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402

import tableformat  # noqa: E402
from tests.publishing import Requires, publish  # noqa: E402
from tests.sample_store import MEDIA_SCHEMA, media_row, picture, plain, scalars  # noqa: E402
from tests.table.edited_tables import SAMPLES, item_of, sample  # noqa: E402

VERSION = ".".join(tableformat.__version__.split(".")[:2])


def write_scalars(store: tableformat.Store) -> None:
    with store.draft("a", metadata={"about": "every type"}, message="all of them") as draft, draft.table("t") as table:
        table.extend(scalars(20))


def write_keyed(store: tableformat.Store) -> None:
    with store.draft("a") as draft, draft.table("t", key="id", part_rows=64) as table:
        table.extend(pa.table({"id": range(0, 900, 3), "name": [f"n{row % 5}" for row in range(300)]}))


def write_media(store: tableformat.Store) -> None:
    names = ("id", "label", "image", "thumb", "sound", "page")
    with store.draft("a") as draft:
        with draft.table("t", {name: MEDIA_SCHEMA[name] for name in names}) as table:
            for row in range(6):
                table.append({name: media_row(row)[name] for name in names})
        draft.add(tableformat.Image(picture(99), caption="one"), "cover")
        draft.add(tableformat.File(b"a file", name="note.txt"), "note")


def write_nested(store: tableformat.Store) -> None:
    names = ("id", "views", "known", "vector", "more")
    with store.draft("a") as draft, draft.table("t", {name: MEDIA_SCHEMA[name] for name in names}) as table:
        for row in range(4):
            table.append({name: media_row(row)[name] for name in names})


def write_empty(store: tableformat.Store) -> None:
    with store.draft("a") as draft, draft.table("t", {"id": pa.int64(), "image": tableformat.ImageType()}, key="id"):
        pass
    store.draft("nothing", type="model").commit()


def write_history(store: tableformat.Store) -> None:
    for version in range(3):
        with (
            store.draft("a", base="latest", message=f"v{version}", producer={"run": f"r{version}"}) as draft,
            draft.table(f"t{version}") as table,
        ):
            for row in range(3):
                table.append(id=row, image=tableformat.Image(picture(row + version)))
    for alias, version in (("best", "v0"), ("best", "v2"), ("gone", "v0")):
        store.set_alias("a", alias, version)
    store.remove_alias("a", "gone")
    with store.draft("b") as draft:
        draft.use(store["a:best"])
        draft.add(store["a:v2"]["t2"], "copied")
    store.context.versions("a").expire(1)


def write_leaves(store: tableformat.Store) -> None:
    with store.draft("a") as draft:
        for number in range(120):
            draft.add(tableformat.Classes({0: f"none of {number}", 1: f"animal {number}"}), f"classes-{number:03}")
        with draft.table("t", part_rows=4) as table:
            table.extend(pa.table({"id": range(120), "x": np.arange(120) / 4}))


def write_edited(store: tableformat.Store) -> None:
    """Tables as edits leave them, put together by hand: no version of the library has to edit in the same way."""
    store.context.ensure()
    items = [item_of(sample(name, store.context.backend)[0], name) for name in sorted(SAMPLES)]
    publish(store, "a", items)


STORES: dict[str, Callable[[tableformat.Store], None]] = {
    "scalars": write_scalars, "keyed": write_keyed, "media": write_media, "nested": write_nested, "empty": write_empty,
    "history": write_history, "leaves": write_leaves, "edited": write_edited,
}  # fmt: skip


def one_table(store: tableformat.Store) -> dict[str, Any]:
    """A version with a table of three rows, and its entry, to be published again with a change."""
    with store.draft("a") as draft, draft.table("t") as table:
        table.extend(pa.table({"id": [1, 2, 3]}))
    [item] = store["a"].items_raw()
    return item


def break_part(store: tableformat.Store, change: Callable[[dict[str, Any]], dict[str, Any]], rows: int = 3) -> None:
    item = one_table(store)
    [part] = item["parts"]["items"]
    parts = {"count": 1, "items": [{**part, **change(part)}]}
    publish(store, "a", [{**item, "rows": rows, "parts": parts, "plain": False}])


def break_marker(store: tableformat.Store) -> None:
    one_table(store)
    path = Path(store.root, "tableformat.json")
    path.write_text(path.read_text(encoding="utf-8").replace('"version":1', '"version":2'), encoding="utf-8")


def break_deletions(store: tableformat.Store) -> None:
    break_part(store, lambda part: {"deletions": {"digest": part["key"], "rows": 1, "size": 100}}, rows=2)


def break_files(store: tableformat.Store) -> None:
    break_part(
        store, lambda part: {"files": [{**part["files"][0], "columns": [1]}, {**part["files"][0], "columns": [2]}]}
    )


def break_feature(store: tableformat.Store) -> None:
    publish(store, "a", [one_table(store)], Requires(("time-travel",), ()))


def break_kind(store: tableformat.Store) -> None:
    view = {"columns": [{"name": "id", "width": 7}], "key": "view", "kind": "view", "name": "view", "of": "t"}
    publish(store, "a", [one_table(store), view])


BROKEN: dict[str, tuple[Callable[[tableformat.Store], None], dict[str, Any]]] = {
    "newer-marker": (break_marker, {"at": "store", "error": "unsupported", "says": "format 2"}),
    "unknown-feature": (break_feature, {"at": "version", "error": "unsupported", "says": "time-travel"}),
    "wrong-deletions": (break_deletions, {"at": "rows", "error": "corrupt", "says": "deletion file"}),
    "wrong-column-files": (break_files, {"at": "rows", "error": "format", "says": "malformed part"}),
    "reserved-kind": (break_kind, {"at": "entry", "error": "unsupported", "says": "view"}),
}


def fresh(folder: Path) -> tableformat.Store:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return tableformat.open_store(folder / "store")


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=True, sort_keys=True) + "\n", encoding="utf-8")


def describe(store: tableformat.Store) -> dict[str, Any]:
    """What a store says, as JSON."""
    said: dict[str, Any] = {}
    for name in store.artifacts():
        aliases = store.aliases(name)
        versions = {f"v{version.slot}": store[f"{name}:v{version.slot}"] for version in store.versions(name)}
        said[name] = {"aliases": aliases, "versions": {}}
        for number, artifact in versions.items():
            told = {
                "digest": artifact.digest,
                "content": artifact.content_digest,
                "type": artifact.type,
                "metadata": artifact.metadata,
            }
            more = {
                "message": artifact.message,
                "producer": artifact.producer,
                "inputs": [one.digest for one in artifact.inputs()],
            }
            entries = {entry: plain(artifact[entry]) for entry in artifact}
            said[name]["versions"][number] = {**told, **more, "entries": entries}
    return said


def main() -> None:
    for name, write in STORES.items():
        store = fresh(HERE / VERSION / name)
        write(store)
        write_json(HERE / VERSION / name / "expected.json", describe(store))
    for name, (write, expected) in BROKEN.items():
        write(fresh(HERE / "broken" / name))
        write_json(HERE / "broken" / name / "expected.json", expected)


if __name__ == "__main__":
    main()
