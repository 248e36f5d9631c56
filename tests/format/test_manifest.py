"""Manifests: canonical roots, entries of tables, what is carried and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.digest import digest_of, tree_digest
from tableformat.document import MAX_DOCUMENT_BYTES, decode_document, encode_document
from tableformat.errors import FormatError, LimitError, UnsupportedError
from tableformat.format.documents import Requires
from tableformat.format.item_list import ItemList
from tableformat.format.manifest import (
    Deletions,
    Manifest,
    Part,
    PartFile,
    TableEntry,
    content_of,
    merged_needs,
    needs_of,
)
from tableformat.format.part import Layout
from tableformat.format.physical import schema_digest
from tableformat.format.schema import Schema

D0, D1, D2 = (digest_of(bytes([number])) for number in range(3))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=10,
)


def part(**change: Any) -> dict[str, Any]:
    return {
        **Part(2, 10, (PartFile(D0, 100, 9, D1),), {"7": D2}, {"7": {"min": "1", "max": "2", "nulls": 0}}).to_json(),
        **change,
    }


def entry(schema: Any = None, **change: Any) -> TableEntry:
    made = Schema.from_user(schema or {"id": pa.int64(), "name": pa.string()})
    columns = {str(column.id): {"digest": digest_of(column.name.encode()), "link": D0} for column in made.columns}
    return TableEntry(rows=2, schema=made, layout=Layout(1024, 4096), columns=columns, **change)


def root(**change: Any) -> Manifest:
    fields: dict[str, Any] = {"type": "dataset", "metadata": "{}", "content": D0, "entries": ItemList(0), **change}
    return Manifest(**fields)


@given(st.dictionaries(st.text("abc", max_size=3), JSON, max_size=4))
def test_documents_have_one_canonical_form(value: dict[str, Any]) -> None:
    """Whatever can be written is ASCII, sorted, without white space, and is read as the same again. [MANIFEST-1] [MANIFEST-2]"""
    data = encode_document(value)
    assert data == json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")
    assert decode_document(data, "x", canonical=True) == value
    if value:
        with pytest.raises(FormatError, match="canonical"):
            decode_document(b" " + data, "x", canonical=True)


@pytest.mark.parametrize(
    "value", [{"a": 1.5}, {"a": 2**53}, {"a": float("nan")}, {"a": "\ud800"}, {"ä": 1}, {1: 1}, {"a": b""}]
)
def test_what_has_no_canonical_form_is_not_written(value: Any) -> None:
    """Floats, large integers, lone surrogates and keys that are not ASCII text stand in strings or not at all. [MANIFEST-1]"""
    with pytest.raises(FormatError):
        encode_document(value)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"a":NaN}',
        '{"a":1e2}',
        '{"a":"\\ud800"}',
        "[]",
        "",
        "{",
        '{"a":9007199254740992}',
        '{"a":"\xff',
    ],
)
def test_what_is_not_canonical_json_is_not_read(text: str) -> None:
    """Duplicates, other numbers, lone surrogates, cut text: each is a format error. [MANIFEST-1] [MANIFEST-2]"""
    with pytest.raises(FormatError):
        decode_document(text.encode("latin-1"), "x")


def test_documents_are_bounded() -> None:
    """Longer than 64 MiB or nested deeper than 64 is refused before it is parsed. [MANIFEST-3]"""
    with pytest.raises(LimitError, match="nesting"):
        decode_document(b'{"a":' + b"[" * 100_000, "x")
    with pytest.raises(LimitError, match="bytes"):
        decode_document(b" " * (MAX_DOCUMENT_BYTES + 1), "x")
    deep = b'{"a":' + b"[" * 60 + b"]" * 60 + b"}"
    assert encode_document(decode_document(deep, "x")) == deep


def test_roots_are_read_as_they_were_written() -> None:
    """A root gives itself again, with fields that are not known. [MANIFEST-1] [FORMAT-3]"""
    manifest = root(
        extra={"colour": "red"},
        entries=ItemList(1, ({"key": "a", "kind": "x", "name": "a"},)),
        requires=Requires((), ("w",)),
    )
    assert Manifest.decode(manifest.encode(), "x") == manifest
    assert manifest.with_entries(ItemList(0)).extra == {"colour": "red"}


def test_roots_say_nothing_of_their_place() -> None:
    """Equal contents are one root: it has no field for slot, predecessor, commit id, time or message. [MANIFEST-4]"""
    assert set(json.loads(root().encode())) == {"content", "entries", "format", "kind", "metadata", "requires", "type"}


FILE = part()["files"][0]
GONE = {"digest": D1, "rows": 1, "size": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"files": []}, {"rows": -1}, {"rows": True}, {"files": [{**FILE, "digest": "x"}]}, {"files": None}, {"files": [7]},
        {"files": [{**FILE, "footer": {"digest": D1, "size": 101}}]}, {"files": [{**FILE, "schema": "x"}]},
        {"files": [FILE, FILE]}, {"files": [{**FILE, "columns": [7]}] * 2}, {"files": [{**FILE, "columns": []}]},
        {"files": [{**FILE, "columns": [8]}]}, {"files": [{**FILE, "columns": [7, 8]}]}, {"files": [{**FILE, "columns": 7}]},
        {"files": [{**FILE, "columns": [True]}]}, {"files": [{**FILE, "columns": [2**31]}]}, {"files": [{**FILE, "columns": ["7"]}]},
        {"files": [{**FILE, "columns": [7]}, {**FILE, "columns": [8]}]}, {"values": {"7": "x"}}, {"values": [D0]}, {"stats": 7},
        {"deletions": 1}, {"deletions": {**GONE, "digest": "x"}}, {"deletions": {**GONE, "rows": 0}}, {"deletions": {**GONE, "rows": 3}},
        {"deletions": {**GONE, "rows": True}}, {"deletions": {**GONE, "size": 0}}, {"deletions": {"digest": D1, "rows": 1}},
    ],
)  # fmt: skip
def test_malformed_parts_are_refused(change: dict[str, Any]) -> None:
    """Deletions of more rows than there are, files that share columns or leave some out, and other shapes. [PART-14] [PART-15]"""
    with pytest.raises(FormatError, match="malformed"):
        Part.from_json(part(**change), "x")


def test_parts_give_themselves_again() -> None:
    """Several files, deletions and the schema of a file are read as they were written. [PART-15] [PART-16]"""
    files = (PartFile(D0, 100, 9, D1, (7,), D2), PartFile(D1, 50, 9, D1, (8, 9), D2))
    made = Part(5, 10, files, {"7": D2, "8": D2, "9": D0}, {}, Deletions(D2, 70, 2))
    assert Part.from_json(made.to_json(), "x") == made
    assert made.visible_rows == 3
    assert made.stored_bytes == 220
    assert made.paths == [files[0].path, files[1].path, f"data/{D2[7:]}.parquet"]
    assert (made.file_of(9), made.file_of(10)) == (files[1], None)


def test_needs_of_parts() -> None:
    """Exactly the features that the parts need: older files, several of them, deleted rows, absent columns. [MANIFEST-10]"""
    schema = Schema.from_user({"id": pa.int64(), "x": pa.int32()})
    first, second = (column.id or 0 for column in schema.columns)
    own = schema_digest(schema.arrow_schema())
    file = PartFile(D0, 100, 9, D1, schema=own)
    plain = Part(2, 10, (file,), {str(first): D0, str(second): D0})
    only = [schema_digest(pa.schema([field])) for field in schema.arrow_schema()]
    beside = tuple(replace(file, columns=(n,), schema=s) for n, s in zip((first, second), only, strict=True))
    parts = {
        (): plain,
        ("field-ids",): replace(plain, files=(replace(file, schema=D2),)),
        ("deletions",): replace(plain, deletions=Deletions(D2, 70, 1)),
        ("column-files",): replace(plain, files=beside),
        ("column-files", "field-ids"): replace(plain, files=beside[:1], values={str(first): D0}),
    }
    for features, one in parts.items():
        assert needs_of(schema, [one]) == (not features, Requires(features))
        assert needs_of(schema, [plain, one]) == (not features, Requires(features))
    assert needs_of(schema, [replace(plain, files=(replace(file, schema=None),))])[1].read == ("field-ids",)
    found = [needs_of(schema, [one])[1] for one in parts.values()]
    assert merged_needs(*found) == needs_of(schema, parts.values())
    assert merged_needs(Requires()) == (True, Requires())
    renamed = schema.with_renamed({"x": "y"})
    assert needs_of(renamed, [plain])[1].read == ("field-ids",)
    assert needs_of(renamed.with_renamed({"y": "x"}), [plain]) == (True, Requires())


def test_tables_are_read_as_they_were_written() -> None:
    """An entry gives itself again, with fields that are not known. [FORMAT-3]"""
    made = entry(
        table_key=("id",),
        sorted=True,
        parts=ItemList(1, (part(),)),
        objects=ItemList(1, ({"key": "packs/x"},)),
        extra={"later": [1]},
    )
    assert TableEntry.from_json({**made.to_json(), "name": "t", "key": "t"}, "x") == made


@pytest.mark.parametrize(
    "change",
    [
        {"rows": "2"},
        {"table_key": ["nobody"]},
        {"columns": {}},
        {"layout": {}},
        {"layout": {**Layout(1, 1).to_json(), "cut": "x"}},
        {"parts": None},
        {"table_key": 3},
    ],
)
def test_malformed_tables_are_refused(change: dict[str, Any]) -> None:
    """An entry whose key, digests or layout do not fit is a format error."""
    with pytest.raises(FormatError):
        TableEntry.from_json({**entry().to_json(), **change}, "x")


def test_tables_name_the_features_they_need() -> None:
    """A table that requires a feature is refused, naming it. [FORMAT-1]"""
    with pytest.raises(UnsupportedError, match="time-travel"):
        TableEntry.from_json(entry(requires=Requires(("time-travel",))).to_json(), "x")
    older = entry(requires=Requires(("deletions", "field-ids")), plain=False)
    assert TableEntry.from_json(older.to_json(), "x") == older
    assert len(older.why_not_plain) == 2
    assert entry().why_not_plain == ()


def test_content_of_a_table_is_its_shape_and_values() -> None:
    """Ids, those that are retired, defaults, parts and layout do not count; names, types, order, key, rows and values do."""
    table = entry()
    again = entry(parts=ItemList(1, (part(),)))
    assert table.content == again.content
    history = table.schema.with_added("y", int, default=1).with_dropped(["y"])
    assert replace(table, schema=history).content == table.content
    assert history.retired
    renamed = entry({"id": pa.int64(), "title": pa.string()})
    retyped = entry({"id": pa.int32(), "name": pa.string()})
    keyed = entry(table_key=("id",))
    assert len({table.content, renamed.content, retyped.content, keyed.content}) == 4
    assert table.key_digest is None
    assert keyed.key_digest == tree_digest("key", [digest_of(b"id")])


def test_content_of_a_version_does_not_see_order() -> None:
    """The content digest covers type, metadata, names, kinds and contents, in order of the names."""
    lines = [("b", "table", D0), ("a", "classes", D1)]
    assert content_of("t", "{}", lines) == content_of("t", "{}", lines[::-1])
    others = {
        content_of("t", "{}", [("b", "table", D0), ("a", "classes", D2)]),
        content_of("u", "{}", lines),
        content_of("t", '{"a":1}', lines),
    }
    assert len(others | {content_of("t", "{}", lines)}) == 4
