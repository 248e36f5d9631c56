"""Names and paths that lead elsewhere are refused wherever a store can put one, and nothing outside of it is touched."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import tableformat
from tableformat.errors import IllegalNameError, NotFoundError, TableformatError
from tableformat.storage.backend import open_backend
from tableformat.storage.blob_reader import BlobReader
from tableformat.storage.interface import check_path
from tableformat.storage.names import check_entry_name, check_name, decode_name, parse_address
from tests.hostile.forging import forge
from tests.hostile.samples import items_of, with_rows, write_small

CANARY = "the content of a file outside of the store"
UPS = (
    "..",
    "../",
    "../..",
    "..\\",
    "..\\..",
    "....//",
    "..;/",
    ".%2e",
    "%2e%2e",
    "%252e%252e",
    "..%2f",
    "..%5c",
    "．．",
    "‥",
    "..\u200b",
    "..\u0000",
)
ROOTS = (
    "/",
    "//",
    "\\",
    "\\\\server\\share\\",
    "C:\\",
    "C:",
    "c:/",
    "~/",
    "~root/",
    "file:///",
    "file:",
    "\\\\?\\C:\\",
    "//./",
    "/proc/self/",
)
DEVICES = ("con", "CON", "nul", "NUL.txt", "aux.", "com1", "COM9.png", "lpt1", "LPT0", "prn", "CONIN$")
ODD = ("", ".", " ", "a.", "a/", "/a", "a//b", "./a", "a/.", "a/./b", "a\nb", "a\rb", "a\tb", "a\x00b", "a\x7fb", "a\x1b[31mb", "a\\b", "a:b", "a\ud800b",
       "e\u0301", "\u212b", "\u202egnp", "a" * 1025, "a?b", "a#b", "a*b", "a|b", 'a"b', "a<b", "\ufeffa", "ﬁle", "ʼ", "ⅴ3", "v3", "v03", "latest", "аlpha",
       "s3://bucket/a", "http://localhost/a", "memory://a", "simplecache::s3://a", "!a", "A!b", ".tmp-a")  # fmt: skip
NAMES = tuple(
    dict.fromkeys(
        [*UPS, *ROOTS, *DEVICES, *ODD, *(f"{root}{up}/etc/passwd" for root, up in itertools.product(ROOTS, UPS))]
    )
)


def outside_of(root: Path) -> dict[str, bytes]:
    """Every file beside the store, with its bytes."""
    return {
        str(path.relative_to(root.parent)): path.read_bytes()
        for path in root.parent.rglob("*")
        if path.is_file() and root not in path.parents
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tableformat.Store:
    folder = tmp_path_factory.mktemp("paths")
    (folder / "secret").mkdir()
    (folder / "secret" / "passwd").write_text(CANARY, encoding="utf-8")
    return write_small(folder / "store")


def test_there_are_names_enough() -> None:
    """More than 200 hostile names are tried."""
    assert len(NAMES) > 200


WAYS: dict[str, Callable[[tableformat.Store, str], Any]] = {
    "path": lambda store, name: check_path(name),
    "backend.read": lambda store, name: store.context.backend.read(name),
    "backend.size": lambda store, name: store.context.backend.size(name),
    "backend.create": lambda store, name: store.context.backend.create(name, b"x"),
    "backend.put": lambda store, name: store.context.backend.put(name, b"x"),
    "backend.delete": lambda store, name: store.context.backend.delete(name),
    "backend.uri": lambda store, name: store.context.backend.uri(name),
    "blob": lambda store, name: BlobReader(store.context.backend).read_many([(name, 0, 1, None)]),
    "folder of a name": lambda store, name: decode_name(name),
}
HARMLESS = frozenset({" ", "a.", "A!b", "!a", ".tmp-a", "v3", "v03", "latest", *DEVICES})
"""No names of artifacts, and paths inside a store like any other: they stay below its root."""


@pytest.mark.parametrize("way", WAYS)
def test_paths_of_strangers_are_refused(store: tableformat.Store, way: str) -> None:
    """Every hostile name is refused as a path inside a store, or leads to nothing below the root, by every operation."""
    root = Path(store.root)
    before = outside_of(root)
    passed = []
    for name in NAMES:
        try:
            WAYS[way](store, name)
        except TableformatError:
            continue
        passed.append(name)
    assert set(passed) <= HARMLESS
    assert outside_of(root) == before


@pytest.mark.parametrize("kind", ["artifact", "alias"])
def test_names_of_strangers_are_no_names(store: tableformat.Store, kind: str) -> None:
    """None of the hostile names can be given to an artifact or an alias, so none becomes part of a path."""
    before = outside_of(Path(store.root))
    for name in NAMES:
        with pytest.raises(TableformatError):
            check_name(name, kind)
        with pytest.raises(TableformatError):
            store.draft(name) if kind == "artifact" else store.set_alias("a", name, "v0")
    assert outside_of(Path(store.root)) == before


def test_addresses_are_decoded_once(store: tableformat.Store) -> None:
    """Escapes of dots and slashes in addresses are refused, or stand for themselves."""
    for up in (*UPS, "%2e%2e/x", "x%2fy", "%252e%252e/x"):
        with pytest.raises(TableformatError):
            tableformat.read_table(f"{store.root}#a/{up}")
    assert parse_address("/x#a/%25").entry == "%"


def entries(name: str, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    [file] = [item for item in items if item["name"] == "file"]
    return [{**file, "name": name, "key": name}]


def test_names_of_entries_do_not_lead_out(store: tableformat.Store, tmp_path: Path) -> None:
    """Whatever the entries of a version are called, downloading it writes below its target or refuses; the others are named."""
    items = items_of(store)
    before = outside_of(Path(store.root))
    for number, name in enumerate(name for name in NAMES if "\ud800" not in name):
        forge(store.context, "lies", entries(name, items))
        target = tmp_path / "targets" / str(number) / "deep" / "er"
        try:
            store["lies"].download(target, progress=False)
        except TableformatError:
            pass
        else:
            check_entry_name(name)
        written = [path for path in (tmp_path / "targets" / str(number)).rglob("*") if path.is_file()]
        assert all(target in path.parents for path in written), name
        for path in written:
            path.unlink()
    after = {path: data for path, data in outside_of(Path(store.root)).items() if not path.startswith("targets")}
    assert after == before


def test_readers_refuse_what_is_no_name_of_an_entry(store: tableformat.Store) -> None:
    """Listing a version with such a name raises and does not show it. [LAYOUT-6]"""
    for name in ("../x", "/x", "a\\b", "a\x1bb", "e\u0301", "a//b", ""):
        forge(store.context, "lies", entries(name, items_of(store)))
        with pytest.raises(IllegalNameError):
            list(tableformat.open_store(store.root)["lies"])
        with pytest.raises(TableformatError):
            store.draft("lies", base="latest")


def hostile_uris() -> Iterator[str]:
    yield from NAMES
    hexes = "ab" * 32
    yield from (f"packs/ab/../../../secret/passwd#{hexes}", f"packs/ab/{hexes}.zip/../../../..", f"packs/AB/{hexes.upper()}.zip", f"packs/cd/{hexes}.zip",
                f"blobs/ab/{hexes}/../../../../secret/passwd", f"blobs/ab/{hexes}\n", f"packs/ab/{hexes}.zip\x00", f"./packs/ab/{hexes}.zip")  # fmt: skip


def test_cells_do_not_lead_out(store: tableformat.Store) -> None:
    """A cell whose uri is no pack or blob of the store, and no allowed URL, is refused by every way of reading it."""
    [item] = [item for item in items_of(store, "a:v0") if item["name"] == "t"]
    uris = [uri for uri in hostile_uris() if "\ud800" not in uri]
    for first in range(0, len(uris), 6):  # a table of six lies costs as much as one
        batch = iter(uris[first : first + 6])

        def lie(values: list[Any], field: pa.Field, batch: Iterator[str] = batch) -> list[Any]:
            if field.name != "image":
                return values
            file = {"uri": "", "offset": 0, "size": 8, "content_type": None, "checksum": None, "inline": None}
            return [{**(value or {"digest": None}), "file": {**file, "uri": next(batch, "..")}} for value in values]

        changed = with_rows(store, item, lie)
        assert changed is not None
        forge(store.context, "lies", [*[one for one in items_of(store) if one["name"] == "classes"], changed])
        table = tableformat.open_store(store.root)["lies"]["t"]
        for row in table.select("id", "image").rows():
            with pytest.raises(TableformatError):
                row["image"].bytes()
            with pytest.raises(TableformatError):
                row["image"].open().read()
        with pytest.raises(TableformatError):
            list(table.rows("bytes"))


def test_places_of_entries_do_not_lead_out(store: tableformat.Store) -> None:
    """The same for entries that are files and media of their own."""
    items = {item["name"]: item for item in items_of(store)}
    for uri in hostile_uris():
        if "\ud800" in uri:
            continue
        forge(store.context, "lies", [{**items["file"], "place": {**items["file"]["place"], "uri": uri}}])
        with pytest.raises(TableformatError):
            store["lies"]["file"].bytes()


def test_references_do_not_lead_out(store: tableformat.Store) -> None:
    """References into the machine that reads, to its network, and chained URLs are refused, and a local file is never opened."""
    inside = Path(store.root).parent / "secret" / "passwd"
    for url in (f"file://{inside}", f"file://localhost{inside}", f"simplecache::file://{inside}", "http://169.254.169.254/latest/meta-data/",
                "http://localhost:1/", "http://127.1/", "http://[::1]/", "gs://other/x", "reference://x", f"zip://passwd::{inside}"):  # fmt: skip
        listed = {"bytes": None, "count": 1, "digest": f"sha256:{'0' * 64}", "prefix": url, "references": [{"path": ""}],
                  "requires": {"read": [], "write": []}, "kind": "reference", "name": "r", "key": "r"}  # fmt: skip
        forge(store.context, "lies", [listed])
        with pytest.raises(TableformatError) as caught:
            tableformat.open_store(store.root)["lies"]["r"].bytes()
        assert not isinstance(caught.value, NotFoundError)
        assert CANARY not in str(caught.value)


def test_stores_elsewhere_refuse_as_well() -> None:
    """In memory, as on a bucket, paths are refused by the same grammar, before anything is asked."""
    backend = open_backend("memory://hostile-paths")
    for name in NAMES:
        if name in HARMLESS:
            continue
        with pytest.raises(IllegalNameError):
            backend.put(name, b"x")
        with pytest.raises(IllegalNameError):
            backend.read_or_none(name)
