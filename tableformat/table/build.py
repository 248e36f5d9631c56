"""Python values into stored arrays, column by column, when the type of the column is known.

`infer` decides what undeclared values are; here a type says what they must be. Plain values go through `infer` and
`fit_field` too, so that there is one set of rules for what converts into what.
"""

# ruff: noqa: ARG001 - the functions of one table of rules share a signature
from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tableformat.errors import SchemaError, message
from tableformat.format.defaults import default_array
from tableformat.format.media.siblings import boxes_array
from tableformat.format.schema import Schema, unknown_column
from tableformat.format.types import (
    ClassType,
    Field,
    FixedListType,
    JsonType,
    ListType,
    MapType,
    MediaType,
    ScalarType,
    StructType,
    TensorType,
    Where,
)
from tableformat.format.types.arrays import list_array, map_array, owner, struct_array
from tableformat.format.types.base import ColumnType
from tableformat.format.types.fit import Fitting, fit_field
from tableformat.format.types.names import check_name
from tableformat.format.types.nearest import nearest
from tableformat.table.annotations import annotation_values, box_rows, check_class_ids
from tableformat.table.families import families_of, is_number, lengths_of, mask_of, without_odd_nulls
from tableformat.table.infer import check_no_annotations, convert, infer
from tableformat.table.json_values import encode_json
from tableformat.table.placer import Placer
from tableformat.table.tensors import numpy_arrays, tensor_storage

__all__ = ["Placer", "Where", "build", "build_columns"]


def build_columns(
    schema: Schema,
    columns: Mapping[str, Sequence[Any]],
    place: Placer,
    row0: int = 0,
    ready: Mapping[str, pa.Array] | None = None,
) -> list[pa.Array]:
    """The stored arrays of a batch, one for each column of `schema`, in its order.

    `columns` are lists of Python values, all of one length; one that is missing is its default, or null, and what is said about media goes
    into the columns that annotate them. `row0` is the row of the table at which the batch begins, for errors. `ready` holds
    arrays that `TableInference.observe` made already. Nothing is placed before all plain columns are known to fit.
    """
    columns = {name if name in schema else check_name(name): values for name, values in columns.items()}
    counts = {name: len(values) for name, values in columns.items()}
    if len(set(counts.values())) > 1:
        raise SchemaError(message("storing rows", expected="columns of one length", got=str(counts)[:300]))
    for name in columns:
        if name not in schema:
            raise unknown_column(name, schema.names)
    count = next(iter(counts.values()), 0)
    arrays: dict[str, pa.Array] = {}
    fields = sorted(schema.columns, key=lambda field: _has_media(field.type))  # stable: plain columns first
    for field in fields:
        where = Where(field.name, row0)
        done = None if ready is None else ready.get(field.name)
        try:
            if done is not None:
                arrays[field.name] = fit_field(field, done, where, Fitting())
            elif field.default is not None and field.name not in columns:
                arrays[field.name] = default_array(field, count)
            elif field.annotates is not None and field.annotates[0] in columns:
                arrays[field.name] = _annotation(
                    field, columns[field.annotates[0]], columns.get(field.name), schema.columns, place, where
                )
            else:
                arrays[field.name] = build(field, columns.get(field.name, [None] * count), place, where)
        except UnicodeEncodeError as error:  # inside of boxes and the like, whose texts nobody looked at
            raise where.error(None, expected="text that UTF-8 can hold", got="a lone surrogate") from error
    return [arrays[field.name] for field in schema.columns]


def _has_media(type_: ColumnType) -> bool:
    return isinstance(type_, MediaType) or any(_has_media(field.type) for field in type_.fields)


def build(
    field: Field, values: Sequence[Any], place: Placer, where: Where, parent: Sequence[Any] | None = None
) -> pa.Array:
    """The stored array of `values`, a column or node of the type of `field`.

    Raises `SchemaError` with the row of the first misfit. Null where the field is not nullable is one, unless the value of
    `parent` at the same index is None.
    """
    families = families_of(values)
    if "null" in families:
        families.discard("null")
        values = without_odd_nulls(values)
    rule = _RULES.get(type(field.type))
    if rule is None:
        array = _plain(field.type, values, families, where)
    else:
        array = rule(field.type, values, families, place, where)
    if not field.nullable and array.null_count:
        missing = array.is_null().to_pylist()
        for index, null in enumerate(missing):
            if null and (parent is None or parent[index] is not None):
                where.fail(
                    index,
                    expected=f"{field.type}, never null",
                    got="null or nothing",
                    todo="give a value, or declare the column nullable",
                )
    return array


def _plain(type_: ColumnType, values: Sequence[Any], families: set[str], where: Where) -> pa.Array:
    """Scalars: what the values are by themselves, then what the type makes of that."""
    if isinstance(type_, ScalarType):
        data_type = type_.data_type
        if "enum" in families and not pa.types.is_string(data_type):
            values = [value.value if isinstance(value, enum.Enum) else value for value in values]
            families = families_of(values) - {"null"}
        # What Arrow would not infer by itself but takes when told: large unsigned numbers, decimals, mixed integers.
        exact = families == {"int"} and pa.types.is_uint64(data_type)
        if exact or (families and families <= {"int", "decimal"} and pa.types.is_decimal(data_type)):
            return convert(values, data_type, where, type_)
        integers = families - {"float", "numpy:float16", "numpy:float32", "numpy:float64"}
        if (
            pa.types.is_integer(data_type)
            and integers == families
            and len(families) > 1
            and all(map(is_number, families))
        ):
            return convert(values, data_type, where, type_)
    natural = infer(values, where, families=families)
    if natural.array is None:
        index = next(i for i, value in enumerate(values) if value is not None)
        where.fail(index, expected=type_, got=natural.type, todo="declare the column as media")
    logical = natural.array
    if isinstance(natural.type, ScalarType) and pa.types.is_duration(natural.type.data_type):
        logical = logical.view(natural.type.data_type)  # its storage is an integer, which is no duration to `fit_field`
    return fit_field(Field("", type_), logical, where, Fitting(rounding=True))


def _json(type_: Any, values: Sequence[Any], families: set[str], place: Placer, where: Where) -> pa.Array:
    return pa.array(
        [None if value is None else encode_json(value, where, index) for index, value in enumerate(values)], pa.string()
    )


def _class_ids(type_: Any, values: Sequence[Any], families: set[str], place: Placer, where: Where) -> pa.Array:
    ids = _plain(ScalarType(type_.storage()), values, families, where)
    return fit_field(Field("", type_), ids, where, Fitting(known_ids=place.known_ids))


def _tensor(type_: Any, values: Sequence[Any], families: set[str], place: Placer, where: Where) -> pa.Array:
    if not families <= {"array", "list"}:
        infer(values, where)  # mixed values have an error of their own
        index = next(i for i, value in enumerate(values) if value is not None)
        where.fail(index, expected=type_, got=type(values[index]).__name__)
    arrays = numpy_arrays(values, where)
    return tensor_storage(type_, arrays, where, rounding=True)


def _media(type_: Any, values: Sequence[Any], families: set[str], place: Placer, where: Where) -> pa.Array:
    if families == {"dict"}:
        return place.place_struct(
            type_.media, pa.array([None if value is None else dict(value) for value in values]), where
        )
    # Arrays, images of Pillow and figures go to the placer too, which knows what the kind takes.
    wrong = families - {f"media:{type_.media}", "bytes", "str", "array", "other"}
    if wrong:
        index = next(i for i, value in enumerate(values) if families_of([value]) & wrong)
        where.fail(index, expected=type_, got=f"{type(values[index]).__name__} ({values[index]!r:.80})")
    return place.place(type_.media, values, where)


def _list(type_: Any, values: Sequence[Any], families: set[str], place: Placer, where: Where) -> pa.Array:
    if not families <= {"list", "array"}:
        _wrong(type_, values, where, {"list", "array", "null"})
    if type_.is_plain and not type_.item.type.fields and "array" not in families:
        try:
            natural = infer(values, where, families=families)
            if natural.array is not None and not _is_duration(type_.item.type):
                return fit_field(Field("", type_), natural.array, where, Fitting(rounding=True))
        except SchemaError:
            pass  # elements that are taken when declared, or a misfit for which the way below finds the better words
    if "array" in families:
        values = [
            None if value is None else value if isinstance(value, list | tuple) else value.tolist() for value in values
        ]
    present = [value for value in values if value is not None]
    lengths, mask = lengths_of(values), mask_of(values)
    if isinstance(type_, FixedListType):
        for index, value in enumerate(values):
            if value is not None and len(value) != type_.size:
                where.fail(index, expected=type_, got=f"a list of {len(value)}", todo="declare a list of any length")
    flat = list(chain.from_iterable(present))
    below = where.child("[]", owner(lengths))
    check_no_annotations(flat, type_.item.type, below)
    return list_array(type_.storage(), lengths, build(type_.item, flat, place, below), mask)


def _is_duration(type_: ColumnType) -> bool:
    return isinstance(type_, ScalarType) and pa.types.is_duration(type_.data_type)


def _struct(type_: Any, values: Sequence[Any], families: set[str], place: Placer, where: Where) -> pa.Array:
    if not families <= {"dict"}:
        _wrong(type_, values, where, {"dict", "null"})
    names = [field.name for field in type_.fields]
    keys = dict.fromkeys(chain.from_iterable(value for value in values if value is not None))
    spelled = {name: name for name in names}
    for key in keys:
        name = key if key in spelled else check_name(key) if isinstance(key, str) else None
        if name not in spelled:
            index = next(i for i, value in enumerate(values) if value is not None and key in value)
            where.fail(
                index,
                expected=f"the fields of {type_}"[:200],
                got=f"the unknown field {key!r}",
                todo=nearest(str(key), names),
            )
        spelled[name] = key
    below = {name: [None if value is None else value.get(key) for value in values] for name, key in spelled.items()}
    arrays = []
    for field in type_.fields:
        inner = where.child(f".{field.name}")
        if field.annotates is not None:
            media, given = below[field.annotates[0]], below[field.name] if spelled[field.name] in keys else None
            arrays.append(_annotation(field, media, given, type_.fields, place, inner))
        else:
            arrays.append(build(field, below[field.name], place, inner, values))
    return struct_array(type_.storage(), arrays, len(values), mask_of(values))


def _map(type_: Any, values: Sequence[Any], families: set[str], place: Placer, where: Where) -> pa.Array:
    """Cells are dicts, or lists of pairs; a key that stands twice in a cell raises."""
    if not families <= {"dict", "list"}:
        _wrong(type_, values, where, {"dict", "list", "null"})
    keys: list[Any] = []
    items: list[Any] = []
    lengths = np.zeros(len(values), np.int64)
    for index, value in enumerate(values):
        if value is None:
            continue
        if isinstance(value, Mapping):
            keys += value.keys()
            items += value.values()
        else:
            try:
                pairs = [(key, item) for key, item in value]
                twice = len({key for key, _ in pairs}) < len(pairs)
            except (TypeError, ValueError) as error:
                raise where.error(index, expected="a dict, or a list of pairs", got=repr(value)[:80]) from error
            if twice:
                where.fail(index, expected="each key once", got=repr(value)[:80])
            keys += [key for key, _ in pairs]
            items += [item for _, item in pairs]
        lengths[index] = len(value)
    below = owner(lengths)
    inner = where.child("{}", below)
    check_no_annotations(items, type_.value.type, inner)
    built = build(type_.key, keys, place, where.child("{key}", below)), build(type_.value, items, place, inner)
    return map_array(type_.storage(), lengths, *built, mask_of(values))


def _wrong(type_: ColumnType, values: Sequence[Any], where: Where, fine: set[str]) -> None:
    index = next(i for i, value in enumerate(values) if not families_of([value]) <= fine)
    where.fail(index, expected=type_, got=f"{type(values[index]).__name__} ({values[index]!r:.80})")


# -- annotations -------------------------------------------------------------------------------------------------------


def _annotation(
    field: Field,
    media: Sequence[Any],
    given: Sequence[Any] | None,
    fields: Sequence[Field],
    place: Placer,
    where: Where,
) -> pa.Array:
    """The column `field`, which annotates `media`: what the media say, or what was given for the column itself."""
    assert field.annotates is not None
    role = field.annotates[1]
    type_ = next(other.type for other in fields if other.name == field.annotates[0])
    assert isinstance(type_, MediaType)
    said = annotation_values(role, media)
    for index, value in enumerate([] if given is None else given):
        if value is not None and said[index] is not None:
            where.fail(index, expected=f"the {role} of the media or a value of their own", got="both")
        if value is not None:
            said[index] = value
    if role == "boxes":
        check_class_ids(type_, media, where, place.known_ids)
        if given is None:
            return fit_field(field, boxes_array(said), where, Fitting())
        return build(field, [box_rows(layers) for layers in said], place, where)
    if role == "classes":
        return build(field, place.place_classes(said, where), place, where)
    if role == "masks":
        return _masks(field, said, media, place, where)
    return build(field, said, place, where)


def _masks(field: Field, said: Sequence[Any], media: Sequence[Any], place: Placer, where: Where) -> pa.Array:
    lengths = lengths_of(said)
    layers = [layer for value in said if value is not None for layer in value]
    masks = [mask for value in said if value is not None for mask in value.values()]
    images = [image for image, value in zip(media, said, strict=True) if value is not None for _ in value]
    below = where.child("{}", owner(lengths))
    cells = place.place_masks(masks, images, below)
    return map_array(
        field.type.storage(), lengths, convert(layers, pa.string(), below, "a layer"), cells, mask_of(said)
    )


_RULES: Final[dict[type, Callable[[Any, Sequence[Any], set[str], Placer, Where], pa.Array]]] = {
    JsonType: _json,
    ClassType: _class_ids,
    TensorType: _tensor,
    MediaType: _media,
    ListType: _list,
    FixedListType: _list,
    StructType: _struct,
    MapType: _map,
}
