"""How the cases of spec/manifest.md, spec/part.md and spec/digests.md are decoded, and those of spec/vectors/values.json."""

from __future__ import annotations

import decimal
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from tableformat.document import decode_document, encode_document
from tableformat.errors import FormatError
from tableformat.format.item_list import ItemList
from tableformat.format.keys import key_hashes
from tableformat.format.manifest import Manifest, Part
from tableformat.format.physical import schema_digest
from tableformat.format.schema import Schema
from tableformat.format.types import type_from_json
from tableformat.format.value_digest import ColumnChain, value_digest
from tests.spec_runner import CaseKind


def storage_value(value: Any, type_: pa.DataType) -> Any:
    """A value of a vector as Python: floats and decimals stand as text, bytes as hex, times as counts of their unit, maps as
    lists of pairs."""
    if value is None:
        return None
    if pa.types.is_struct(type_):
        return {field.name: storage_value(value.get(field.name), field.type) for field in type_}
    if pa.types.is_map(type_):
        return [(storage_value(key, type_.key_type), storage_value(item, type_.item_type)) for key, item in value]
    if pa.types.is_list(type_) or pa.types.is_fixed_size_list(type_):
        return [storage_value(item, type_.value_type) for item in value]
    if pa.types.is_binary(type_) or pa.types.is_fixed_size_binary(type_):
        return bytes.fromhex(value)
    if pa.types.is_decimal(type_):
        return decimal.Decimal(value)
    return float(value) if pa.types.is_floating(type_) else value


def storage_array(document: dict[str, Any]) -> pa.Array:
    """The rows of a vector: `values` in the storage of `type`, repeated until there are `count` of them, if that is given."""
    type_ = type_from_json(document["type"]).storage()
    values = [storage_value(value, type_) for value in document["values"]]
    count = document.get("count", len(values))
    return pa.array([values[row % len(values)] for row in range(count)], type_)


def decode_value_digest(data: bytes) -> object:
    """The unit digest of the rows; with `chain`, the digest of the whole column."""
    document = decode_document(data, "case")
    array = storage_array(document)
    if not document.get("chain"):
        return {"digest": value_digest(array)}
    chain = ColumnChain(array.type)
    chain.update(array)
    return {"digest": chain.digest(), "link": f"sha256:{chain.link.hex()}"}


def decode_key_hash(data: bytes) -> object:
    """The hash of a key, of one column (`type`, `value`) or of several (`types`, `values`), against the one that is stated."""
    document = decode_document(data, "case")
    types = document.get("types", [document.get("type")])
    values = document.get("values", [document.get("value")])
    columns = []
    for name, value in zip(types, values, strict=True):
        type_ = type_from_json(name).storage()
        columns.append(pa.array([storage_value(value, type_)], type_))
    found = f"{int(key_hashes(columns)[0]):016x}"
    if found != document["hash"]:
        raise FormatError(f"the document says {document['hash']}, the library {found}")
    return {"hash": found}


def decode_item_list(data: bytes) -> object:
    """An item list as a manifest holds it."""
    return ItemList.from_json(decode_document(data, "case"), "case").to_json()


def decode_part(data: bytes) -> object:
    """A part as the list of a table's parts holds it."""
    return Part.from_json(decode_document(data, "case"), "case").to_json()


def decode_file_schema(data: bytes) -> object:
    """A schema, and the digest of the columns of a file that was written by it."""
    document = decode_document(data, "case")
    found = schema_digest(Schema.from_json(document["schema"]).arrow_schema())
    if found != document["file"]:
        raise FormatError(f"the document says {document['file']}, the library {found}")
    return None


CASE_KINDS: dict[str, CaseKind | Callable[[bytes], object]] = {
    "value-digest": decode_value_digest,
    "key-hash": decode_key_hash,
    "part": CaseKind(decode_part, encode_document),
    "file-schema": decode_file_schema,
    "item-list": CaseKind(decode_item_list, encode_document),
    "document": CaseKind(lambda data: decode_document(data, "case"), encode_document),
    "manifest": CaseKind(lambda data: Manifest.decode(data, "case"), lambda manifest: manifest.encode()),
}
"""Name of a kind → how to run its cases."""
