"""JSON, packs and lists of entries that lie: depth, doubles, sizes, overlaps, circles, and very many of one thing."""

from __future__ import annotations

import struct
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

import tableformat
from tableformat.document import MAX_DOCUMENT_BYTES, decode_document, encode_document
from tableformat.errors import CorruptError, FormatError, IllegalNameError, LimitError, TableformatError
from tableformat.format.item_list import Line, encode_leaves
from tableformat.format.media.rle import decode_rle
from tableformat.format.pack import END_BYTES, decode_pack, encode_pack
from tableformat.storage.backend import open_backend
from tableformat.storage.manifests import leaf_path
from tableformat.verify import verify_version
from tests.hostile.forging import forge
from tests.hostile.reading import read_store
from tests.hostile.samples import items_of, picture, write_small


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tableformat.Store:
    return write_small(tmp_path_factory.mktemp("documents") / "store")


DEEP = 2_000_000
TEXTS: dict[str, tuple[bytes, type[TableformatError]]] = {
    "lists in lists": (b"[" * DEEP + b"]" * DEEP, LimitError),
    "objects in objects": (b'{"a":' * 200_000 + b"1" + b"}" * 200_000, LimitError),
    "depth behind a text": (b'{"a":"' + b"[" * 100 + b'","b":' + b"[" * 70 + b"]" * 70 + b"}", LimitError),
    "one key twice": (b'{"a":1,"a":2}', FormatError),
    "one key twice by an escape": (b'{"a":1,"\\u0061":2}', FormatError),
    "one key twice below": (b'{"x":[{"a":1,"b":{"c":1,"c":1}}]}', FormatError),
    "no number": (b'{"a":NaN}', FormatError),
    "endless": (b'{"a":-Infinity}', FormatError),
    "fraction": (b'{"a":1e400}', FormatError),
    "a number of many digits": (b'{"a":' + b"9" * 1_000_000 + b"}", FormatError),
    "above 2^53": (b'{"a":9007199254740993}', FormatError),
    "lone surrogate": (b'{"a":"\\ud800"}', FormatError),
    "no UTF-8": (b'{"a":"\xff"}', FormatError),
    "UTF-16": ('{"a":1}'.encode("utf-16"), FormatError),
    "a mark before it": (b'\xef\xbb\xbf{"a":1}', FormatError),
    "a key that is no ASCII": ('{"ключ":1}'.encode(), FormatError),
    "more behind it": (b'{"a":1}{"b":2}', FormatError),
    "a list": (b"[1]", FormatError),
    "nothing": (b"", FormatError),
    "zeros": (bytes(4096), FormatError),
    "longer than any": (b" " * (MAX_DOCUMENT_BYTES + 1), LimitError),
}


@pytest.mark.parametrize("lie", TEXTS)
def test_json_that_lies_is_refused(lie: str) -> None:
    """Each is refused with the error that says so, and depth and length before anything is built of them. [SECURITY-9]"""
    data, error = TEXTS[lie]
    began = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(error):
            decode_document(data, "document")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20
    assert time.monotonic() - began < 10


def test_canonical_documents_have_one_spelling() -> None:
    """Where the canonical form is asked for, the same document in other words is refused."""
    for text in (b'{ "a":1}', b'{"b":1,"a":2}', b'{"a":1.0}', b'{"a":"\\u0062"}', b'{"a":1}\n', b'{"a":-0}'):
        with pytest.raises(FormatError):
            decode_document(text, "document", canonical=True)
    assert decode_document(b'{"a":1}', "document", canonical=True) == {"a": 1}


def test_texts_of_users_are_bounded(store: tableformat.Store) -> None:
    """Metadata, producers and JSON columns hold any text: what is no JSON, or too deep, is an error of ours when it is asked for. [SECURITY-10]"""
    for text in ("", "{", "[" * 100_000, "[1]", '{"a":' * 5000, "9" * 5000, "nul"):
        forge(store.context, "lies", [], root={"metadata": text}, producer=text)
        artifact = tableformat.open_store(store.root)["lies"]
        with pytest.raises(FormatError):
            _ = artifact.metadata
        with pytest.raises(FormatError):
            _ = artifact.producer


def changed(pack: bytes, at: int, value: bytes) -> bytes:
    return pack[:at] + value + pack[at + len(value) :]


def test_packs_that_lie_are_refused() -> None:
    """Entries that overlap, leave gaps, are larger than the file, compressed, encrypted, double, or called otherwise; zip64; comments."""
    blobs = [(picture(n, 8), "png") for n in range(3)]
    pack = encode_pack(blobs)
    first = pack.index(b"PK\x01\x02")
    second = pack.index(b"PK\x01\x02", first + 4)
    end = len(pack) - END_BYTES
    big = struct.pack("<L", 0xFFFFFFFE)
    lies = {
        "overlap": changed(pack, second + 42, pack[first + 42 : first + 46]),
        "gap": changed(pack, second + 42, struct.pack("<L", struct.unpack_from("<L", pack, second + 42)[0] + 1)),
        "beyond the file": changed(pack, first + 20, big + big),
        "beyond the bounds of a blob": changed(pack, first + 20, struct.pack("<LL", 9 << 20, 9 << 20)),
        "two sizes": changed(pack, first + 20, struct.pack("<L", 1)),
        "compressed": changed(pack, first + 10, b"\x08\x00"),
        "encrypted": changed(pack, first + 8, b"\x01\x00"),
        "a path as a name": changed(pack, first + 46, b"../" * 22 + b"a"),
        "an absolute name": changed(pack, first + 46, b"/"),
        "capitals": changed(pack, first + 46, b"AB"),
        "a comment of the entry": changed(pack, first + 32, b"\x05\x00"),
        "an extra field": changed(pack, first + 30, b"\xff\xff"),
        "another disk": changed(pack, first + 34, b"\x01\x00"),
        "a link": changed(pack, first + 38, struct.pack("<L", 0o120777 << 16)),
        "zip64": changed(pack, end + 8, b"\xff\xff\xff\xff"),
        "a huge directory": changed(pack, end + 12, big),
        "a directory beyond the file": changed(pack, end + 16, big),
        "fewer entries": changed(pack, end + 8, struct.pack("<HH", 2, 2)),
        "a comment": changed(pack, end + 20, b"\x01\x00") + b"x",
        "bytes before it": b"x" + pack,
        "one entry twice": encode_pack([blobs[0], blobs[0]]),
        "no end": pack[:-1],
    }
    passed = []
    for name, lie in lies.items():
        try:
            decode_pack(lie, "pack")
        except CorruptError:
            continue
        passed.append(name)
    assert passed == []
    assert len(decode_pack(pack, "pack")) == 3


def test_run_lengths_are_bounded() -> None:
    """A mask of few bytes that claims any size is refused before it is made."""
    with pytest.raises(LimitError):
        decode_rle({"size": [2**20, 2**20], "counts": [2**40]})
    with pytest.raises(TableformatError):
        decode_rle({"size": [10, 10], "counts": "o" * 1_000_000})


def join(name: str, left: str, right: str) -> dict[str, Any]:
    return {"how": "inner", "key": name, "kind": "joined_table", "left": {"path": left}, "name": name, "on": [["id", "id"]],
            "requires": {"read": ["joined-tables"], "write": []}, "right": {"path": right}}  # fmt: skip


def test_joins_that_read_themselves_are_refused(store: tableformat.Store) -> None:
    """A join of itself, in a circle of two, in a long chain, and in one that doubles at each step, ends in an error, soon. [SECURITY-11]"""
    tables = [item for item in items_of(store) if item["name"] in ("e", "t", "classes")]
    circles = {
        "j": [join("j", "j", "e")],
        "k": [join("j", "e", "k"), join("k", "j", "e")],
        "c0": [join(f"c{n}", f"c{n + 1}", "e") for n in range(40)] + [join("c40", "t", "e")],
        "b0": [join(f"b{n}", f"b{n + 1}", f"b{n + 1}") for n in range(12)] + [join("b12", "t", "e")],
        "d0": [join(f"d{n}", f"d{n + 1}", f"d{n + 1}") for n in range(40)] + [join("d40", "t", "e")],
    }
    for name, joins in circles.items():
        forge(store.context, "joins", sorted([*tables, *joins], key=lambda item: item["name"]))
        began = time.monotonic()
        with pytest.raises(TableformatError):
            tableformat.open_store(store.root)["joins"][name]
        if name != "b0":  # its keys stand twice in its sides, which is for whoever opens it to say
            with pytest.raises(TableformatError), store.draft("joins", base="latest") as draft:
                draft.add(tableformat.File(b"x"), "x")
        read_store(store.root, selection="joins")
        assert time.monotonic() - began < 30


@pytest.mark.parametrize("count", [6_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_very_many_entries_of_one_name_are_found_and_told(store: tableformat.Store, count: int) -> None:
    """Thousands of entries called alike: the first is opened, memory holds a leaf, and verify tells that names stand twice."""
    backend = store.context.backend
    [file] = [item for item in items_of(store) if item["name"] == "file"]
    leaves = []
    for leaf, data in encode_leaves(Line.of(file) for _ in range(count)):
        backend.put(leaf_path(leaf.digest), data)
        leaves.append(leaf.to_json())
    forge(store.context, "many", {"count": count, "leaves": leaves})
    began = time.monotonic()
    artifact = tableformat.open_store(store.root)["many"]
    assert len(artifact) == count
    assert artifact["file"].bytes() == bytes(range(256)) * 8
    with pytest.raises(TableformatError):
        artifact["other"]
    problems = verify_version(open_backend(store.root), "many", 0, workers=1).problems
    assert any("differ by more than case" in str(problem) for problem in problems)
    assert time.monotonic() - began < 120 + count / 1000


def test_entries_whose_names_look_alike_are_told(store: tableformat.Store) -> None:
    """Names that differ by case or by Unicode form alone are reported by verify, and not written by us. [MANIFEST-5]"""
    [file] = [item for item in items_of(store) if item["name"] == "file"]
    forge(store.context, "alike", [{**file, "name": name, "key": name} for name in ("File", "file")])
    assert any("case" in str(problem) for problem in verify_version(open_backend(store.root), "alike", 0).problems)
    forge(store.context, "alike", [{**file, "name": "e\u0301", "key": "e\u0301"}])
    with pytest.raises(IllegalNameError):
        list(tableformat.open_store(store.root)["alike"])


def test_lists_that_count_wrong_are_refused(store: tableformat.Store) -> None:
    """A list of entries with another count, with negative ones, or with items and leaves, is refused; 10^15 items are not believed."""
    items = items_of(store)[:1]
    leaf = {"digest": f"sha256:{'0' * 64}", "size": 10, "count": 10**15, "first": "a", "last": "z"}
    for entries in ({"count": 2, "items": items}, {"count": 0, "items": items}, {"count": 1, "items": items, "leaves": [leaf]}, {"count": -1, "leaves": [{**leaf, "count": -1}]},
                    {"count": 10**15, "leaves": [leaf]}, {"count": True, "items": items}):  # fmt: skip
        forge(store.context, "lies", entries)
        with pytest.raises(TableformatError):
            list(tableformat.open_store(store.root)["lies"])
        with pytest.raises(TableformatError):
            tableformat.open_store(store.root)["lies"]["m"]


def test_tables_that_claim_rows_hold_nothing_for_them(store: tableformat.Store) -> None:
    """A table that says to have 2^53 - 1 rows is opened and shown without memory for them, and reading it says what is wrong."""
    [item] = [item for item in items_of(store, "a:v0") if item["name"] == "e"]
    many = 2**53 - 1
    parts = [{**part, "rows": many} for part in item["parts"]["items"]]
    for lie in ({**item, "rows": many}, {**item, "rows": many, "parts": {"count": len(parts), "items": parts}}):
        forge(store.context, "lies", [lie])
        tracemalloc.start()
        try:
            table = tableformat.open_store(store.root)["lies"]["e"]
            assert len(table) == many
            with pytest.raises(TableformatError):
                table.take([many - 1]).to_arrow()
            with pytest.raises(TableformatError):
                sum(batch.num_rows for batch in table.batches()) == many or _short()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 64 << 20


def _short() -> None:
    raise CorruptError("fewer rows came than the table says to have")


def test_canonical_bytes_come_back() -> None:
    """What is read and written again is the same bytes."""
    for value in ({"a": [1, {"b": None}], "b": "ü"}, {"": 2**53 - 1}):
        assert decode_document(encode_document(value), "x") == value


def test_names_in_messages_are_escaped(store: tableformat.Store, tmp_path: Path) -> None:
    """What a stranger called something reaches no terminal as a command: messages, texts and previews show it escaped. [SECURITY-14]"""
    [item] = [item for item in items_of(store, "a:v0") if item["name"] == "e"]
    forge(store.context, "lies", [{**item, "name": "a\x1b[31m", "key": "a\x1b[31m"}])
    refused = read_store(store.root, tmp_path / "target", selection="lies")
    assert refused
    assert not any("\x1b" in str(error) or "\x1b" in repr(error) for error in refused)


def test_values_on_a_screen_are_escaped(tmp_path: Path) -> None:
    """Texts, names of columns and captions with control characters or markup are shown escaped. [SECURITY-14]"""
    store = tableformat.open_store(tmp_path / "store")
    evil = "\x1b[31mred\x07\x9b<script>"
    with store.draft("a") as draft:
        draft.add([{"text": evil, "list": [evil], "other": {"deep": evil}}], "t")
        draft.add(tableformat.Image(picture(1), caption=evil), "i")
    table = store["a"]["t"]
    for shown in (
        repr(table),
        table._repr_html_(),
        repr(table[0]),
        repr(store["a"]["i"]),
        repr(table.where(text=evil)),
    ):
        assert not {"\x1b", "\x07", "\x9b"} & set(shown)
    assert "<script>" not in table._repr_html_()
