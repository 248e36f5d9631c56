"""Entries of a manifest that are not tables: class sets, single media, files. Their items, and the objects behind them.

An item is what stands in the manifest's series: `name`, `key` (the name again), `kind`, `content` (its share of the content
digest) and the fields of its kind (spec/manifest.md, "Entries").
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import pyarrow as pa

from tableformat.digest import check_digest, digest_of, tree_digest
from tableformat.document import JsonObject, encode_document
from tableformat.errors import CorruptError, FormatError, message
from tableformat.format.media.classes import Classes
from tableformat.format.schema import Schema
from tableformat.format.storage_json import from_storage_json, to_storage_json
from tableformat.format.value_digest import value_digest
from tableformat.storage.names import check_entry_name

__all__ = [
    "INLINE_DOCUMENT_BYTES",
    "checked_item",
    "classes_fields",
    "content_of_item",
    "file_fields",
    "item_of",
    "media_fields",
    "media_row",
    "place_of",
    "read_classes",
]

INLINE_DOCUMENT_BYTES: Final = 16 << 10
"""Longest class set that stands in its entry; longer ones are blobs."""

ReadPlace = Callable[[Mapping[str, Any]], bytes]
"""Reads the bytes at a place: `uri`, `offset`, `size`."""


def item_of(name: str, kind: str, content: str, fields: JsonObject) -> JsonObject:
    """An item of the series of entries."""
    return {**fields, "content": content, "key": name, "kind": kind, "name": name}


def checked_item(item: JsonObject, path: str) -> JsonObject:
    """`item` itself, where it has a name that entries may have, the same key, and a kind; raises `FormatError` or `IllegalNameError`
    naming `path`. What else it says is for whoever opens it."""
    name, kind = item.get("name"), item.get("kind")
    if not isinstance(name, str) or item.get("key") != name or not isinstance(kind, str):
        raise FormatError(
            message(
                "reading an entry",
                path=path,
                expected="a name, a key that equals it, and a kind",
                got=ascii(item)[:200],
            )
        )
    check_entry_name(name)
    return item


def content_of_item(item: JsonObject) -> str:
    """The content digest of an entry; of a kind without one, the digest of its canonical JSON."""
    content = item.get("content")
    return content if isinstance(content, str) else digest_of(encode_document(item))


def classes_fields(classes: Classes, place: JsonObject | None) -> JsonObject:
    """The fields of a class set; `place` says where its document lies if it is too long to stand inline."""
    data = classes.encode()
    fields: JsonObject = {"digest": classes.digest, "size": len(data)}
    if place is None:
        fields["document"] = classes.to_json()
    else:
        fields["place"] = place
    return fields


def read_classes(item: JsonObject, read: ReadPlace, path: str) -> Classes:
    """The class set of an entry, compared with its digest."""
    place = item.get("place")
    document = item.get("document", {})
    if not isinstance(document, dict):
        raise FormatError(message("reading a class set", path=path, expected="an object", got=type(document).__name__))
    classes = (
        Classes.from_json(document, path) if "document" in item else Classes.decode(read(_place(place, path)), path)
    )
    if classes.digest != item.get("digest"):
        raise CorruptError(message("reading a class set", path=path, expected=item.get("digest"), got=classes.digest))
    return classes


def file_fields(digest: str, size: int, content_type: str, file_name: str | None, place: JsonObject) -> JsonObject:
    """The fields of a file that was copied in."""
    return {"content_type": content_type, "digest": digest, "file_name": file_name, "place": place, "size": size}


def media_fields(kind: str, schema: Schema, row: list[pa.Array]) -> tuple[str, JsonObject]:
    """The content digest and fields of one media object: a row of one, its cell in the first column, its annotations in the others."""
    values = {
        column.name: to_storage_json(array.to_pylist()[0], array.type)
        for column, array in zip(schema.columns, row, strict=True)
    }
    content = tree_digest(
        "media",
        [kind, *(f"{column.name} {value_digest(array)}" for column, array in zip(schema.columns, row, strict=True))],
    )
    fields = {
        "media": kind,
        "row": json.dumps(values, sort_keys=True, separators=(",", ":")),
        "schema": schema.to_json(),
    }
    return content, fields


def media_row(item: JsonObject, path: str) -> tuple[Schema, list[pa.Array]]:
    """The schema and the arrays of length one that `media_fields` was given."""
    schema = Schema.from_json(item.get("schema"))
    try:
        values = json.loads(item["row"])
        if not isinstance(values, dict):
            raise TypeError("not an object")
        arrays = []
        for column in schema.columns:
            type_ = column.type.storage()
            arrays.append(pa.array([from_storage_json(values[column.name], type_, path)], type_))
    except (KeyError, TypeError, ValueError, pa.ArrowException, RecursionError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(
            message("reading a media entry", path=path, expected="a row of its schema", got=f"{error!r}"[:200])
        ) from error
    return schema, arrays


def _place(place: object, path: str) -> Mapping[str, Any]:
    if not isinstance(place, dict) or not isinstance(place.get("uri"), str):
        raise FormatError(message("reading an entry", path=path, expected="a place with a uri", got=repr(place)[:100]))
    return place


def place_of(item: JsonObject, path: str) -> Mapping[str, Any]:
    """Where the bytes of a file entry lie; raises `FormatError` where that is not said."""
    return _place(item.get("place"), path)


def file_cell(item: JsonObject, path: str) -> JsonObject:
    """The fields of the cell that a file entry is read through. Raises `FormatError` where the entry has no place, or a field is
    of another type."""
    place = place_of(item, path)
    digest = check_digest(item.get("digest"), "reading a file entry")
    told = {"size": item.get("size"), "offset": place.get("offset")}
    named = {name: item.get(name) for name in ("content_type", "file_name")}
    wrong = {name: value for name, value in told.items() if value is not None and (type(value) is not int or value < 0)}
    wrong |= {name: value for name, value in named.items() if value is not None and not isinstance(value, str)}
    if wrong:
        raise FormatError(message("reading a file entry", path=path, expected="sizes as integers and names as text", got=repr(wrong)[:200]))  # fmt: skip
    file = {
        "uri": place["uri"],
        "offset": told["offset"],
        "size": told["size"],
        "content_type": named["content_type"],
        "checksum": f"SHA-256:{digest.removeprefix('sha256:')}",
    }
    return {"file": file, "name": named["file_name"], "format": None}
