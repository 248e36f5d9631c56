"""How the cells of a column become stored values: one `Plan` for each column, chosen from what was declared and what is there.

Declared types are taken where the data agree with them; where they say nothing, or the wrong thing, the data decide. A plan
converts block by block and refuses with `MisfitError` what it was not made for: then the whole column has to be looked at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import GenericAlias
from typing import Any, Final

import numpy as np
import pyarrow as pa

import tableformat
from tableformat.convert.legacy.json_text import json_text
from tableformat.convert.legacy.profile import Profile
from tableformat.convert.legacy.times import time_array
from tableformat.convert.legacy.types import MEDIA_KINDS, Declared
from tableformat.errors import SchemaError

__all__ = ["MEDIA_TYPES", "Lost", "MisfitError", "Plan", "plan_column"]

MEDIA_TYPES: Final[Mapping[str, Callable[[], Any]]] = {
    "image": tableformat.ImageType, "audio": tableformat.AudioType, "video": tableformat.VideoType,
    "html": tableformat.HtmlType, "object3d": tableformat.Object3DType, "molecule": tableformat.MoleculeType,
    "plotly": tableformat.PlotlyType, "file": tableformat.FileType,
}  # fmt: skip
"""The type of a column of each kind of media."""
_EXACT: Final = 2**53
_NULL: Final = type(None)


class MisfitError(Exception):
    """A block holds what the plan of its column was not made for."""


Lost = Callable[[int, str], None]
"""Told of a cell that cannot be kept: its index in the block, and why."""


def _keep_quiet(_index: int, _why: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of a column."""

    label: str
    """Its type, for the report."""
    declared: Any
    """Its type, as a schema takes it."""
    classes: frozenset[type] = frozenset()
    """The classes of cells that `build` takes without a look at them."""
    build: Callable[[Sequence[Any], Lost], pa.Array] | None = None
    """The array of a block. None for media, which are made one by one."""
    values: Callable[[Sequence[Any], Lost], list[Any]] | None = None
    """The Python values of a block, where they are not those of the array."""
    notes: tuple[str, ...] = ()
    """What is worth saying about the choice."""
    media: str | None = None
    """The kind of media, where cells are media."""
    inner: tuple[Plan, ...] = field(default=())
    """The plans of elements or fields."""

    @property
    def is_json(self) -> bool:
        """Whether cells become JSON."""
        return self.label == "json"

    @property
    def has_media(self) -> bool:
        """Whether media are among the values, at any depth."""
        return self.media is not None or any(plan.has_media for plan in self.inner)

    def array(self, cells: Sequence[Any], lost: Lost = _keep_quiet) -> pa.Array:
        """The array of a block. Raises `MisfitError`."""
        if self.classes and not set(map(type, cells)) <= self.classes:
            raise MisfitError
        assert self.build is not None
        try:
            return self.build(cells, lost)
        except (pa.ArrowException, OverflowError, ValueError, TypeError, UnicodeEncodeError, KeyError) as error:
            raise MisfitError from error

    def python(self, cells: Sequence[Any], lost: Lost = _keep_quiet) -> list[Any]:
        """The Python values of a block of a column without media. Raises `MisfitError`."""
        if self.values is not None:
            if self.classes and not set(map(type, cells)) <= self.classes:
                raise MisfitError
            return self.values(cells, lost)
        array = self.array(cells, lost)
        if pa.types.is_timestamp(array.type) and array.type.unit == "ns":
            return [
                None if value is None else np.datetime64(value, "ns") for value in array.cast(pa.int64()).to_pylist()
            ]
        return list(array.to_pylist())


def plan_column(profile: Profile) -> Plan:
    """The plan of a column of which `profile` was seen."""
    present = profile.present
    if not present:
        return _nothing(profile.declared)
    if profile.declared.is_time and profile.are_times and present <= {"int", "float", "str"}:
        return _plan_times(profile)
    if len(present) == 1:
        [kind] = present
        if kind.startswith("media:"):
            return Plan(kind[6:], MEDIA_TYPES[kind[6:]](), media=kind[6:])
        return _SINGLE[kind](profile)
    if present == {"int", "float"}:
        if profile.low >= -_EXACT and profile.high <= _EXACT:
            return Plan(
                "float64",
                pa.float64(),
                frozenset({int, float, _NULL}),
                _plain(pa.float64()),
                notes=("integers among floats became floats",),
            )
        return _json("integers too large for a float, among floats")
    if any(kind.startswith("media:") for kind in present):
        return _json("media beside other values: they stay descriptions, and their files entries of their own")
    return _json(f"mixed values: {', '.join(sorted(present))}")


def _nothing(declared: Declared) -> Plan:
    """The plan of a column without a value: the declared type, where it is one, else text."""
    none: frozenset[type] = frozenset({_NULL})
    if declared.name in MEDIA_KINDS:
        kind = MEDIA_KINDS[declared.name]
        return Plan(kind, MEDIA_TYPES[kind](), media=kind, notes=("no value",))
    data_type = _EMPTY.get("timestamp" if declared.is_time else declared.name, pa.string())
    return Plan(str(data_type), data_type, none, _plain(data_type), notes=("no value",))


_EMPTY: Final = {
    "number": pa.float64(), "boolean": pa.bool_(), "timestamp": pa.timestamp("us", "UTC"), "foreignIndex": pa.int64(),
    "classesId": pa.int64(),
}  # fmt: skip


# -- scalars -----------------------------------------------------------------------------------------------------------


def _plain(data_type: pa.DataType) -> Callable[[Sequence[Any], Lost], pa.Array]:
    return lambda cells, lost: pa.array(cells, data_type)  # noqa: ARG005 - one signature


def _bools(_profile: Profile) -> Plan:
    return Plan("bool", pa.bool_(), frozenset({bool, _NULL}), _plain(pa.bool_()))


def _ints(profile: Profile) -> Plan:
    taken: frozenset[type] = frozenset({int, _NULL})
    if profile.low >= -(2**63) and profile.high < 2**63:
        return Plan("int64", pa.int64(), taken, _plain(pa.int64()))
    if profile.low >= 0 and profile.high < 2**64:
        return Plan("uint64", pa.uint64(), taken, _plain(pa.uint64()), notes=("integers beyond int64",))
    if max(-profile.low, profile.high) < 10**38:
        return Plan(
            "decimal128(38, 0)",
            pa.decimal128(38, 0),
            taken,
            _plain(pa.decimal128(38, 0)),
            notes=("integers beyond 64 bits",),
        )
    return _json("integers of more than 38 digits")


def _floats(_profile: Profile) -> Plan:
    return Plan("float64", pa.float64(), frozenset({float, _NULL}), _plain(pa.float64()))


def _texts(profile: Profile) -> Plan:
    taken: frozenset[type] = frozenset({str, _NULL})
    if not profile.is_text:
        return _json("lone surrogates, which no text column holds")
    if profile.declared.name == "pythonObject" and profile.declared.class_name == "bytes":
        return Plan("binary", pa.binary(), taken, _bytes, notes=("bytes that were written as text",))
    return Plan("string", pa.string(), taken, _plain(pa.string()))


def _bytes(cells: Sequence[Any], lost: Lost) -> pa.Array:  # noqa: ARG001 - one signature
    return pa.array(cells, pa.string()).cast(pa.binary())


def _plan_times(profile: Profile) -> Plan:
    declared, nanos = profile.declared, profile.has_nanos and profile.fits_nanos
    notes: list[str] = []
    if "str" in profile.kinds or declared.name != "timestamp":
        notes.append(f"times that were written as {declared.class_name or 'text'}")
    if profile.has_nanos and not nanos:
        notes.append("nanoseconds rounded to microseconds: other times are outside of the years 1677 to 2262")
    unit = pa.timestamp("ns" if nanos else "us", "UTC")

    def build(cells: Sequence[Any], lost: Lost) -> pa.Array:  # noqa: ARG001 - one signature
        return time_array(cells, nanos=nanos)

    return Plan(str(unit), unit, frozenset({int, float, str, _NULL}), build, notes=tuple(notes))


# -- nested ------------------------------------------------------------------------------------------------------------


def _lists(profile: Profile) -> Plan:
    if profile.is_whole or profile.item is None:
        return _json("values nested deeply")
    item = plan_column(profile.item)
    if item.is_json:
        return _json("lists of mixed values", item.notes)

    def build(cells: Sequence[Any], lost: Lost) -> pa.Array:
        offsets: list[int | None] = []
        total = 0
        for cell in cells:
            offsets.append(None if cell is None else total)
            total += 0 if cell is None else len(cell)
        flat = item.array(list(chain.from_iterable(cell for cell in cells if cell is not None)), lost)
        return pa.ListArray.from_arrays(pa.array([*offsets, total], pa.int32()), flat)

    declaration = GenericAlias(list, (item.declared,))
    return Plan(f"list<{item.label}>", declaration, frozenset({list, _NULL}), build, notes=item.notes, inner=(item,))


def _dicts(profile: Profile) -> Plan:
    if profile.is_whole or not profile.is_uniform:
        return _json("dicts of different keys, or objects")
    names = list(profile.fields)
    if not _are_names(names):
        return _json("keys that are no names")
    plans = [plan_column(inner) for inner in profile.fields.values()]
    if any(plan.is_json for plan in plans):
        return _json("dicts of mixed values", tuple(note for plan in plans for note in plan.notes))
    keys = profile.fields.keys()

    def build(cells: Sequence[Any], lost: Lost) -> pa.Array:
        if any(cell is not None and cell.keys() != keys for cell in cells):
            raise MisfitError
        arrays = [
            plan.array([None if cell is None else cell[name] for cell in cells], lost)
            for name, plan in zip(names, plans, strict=True)
        ]
        missing = pa.array([cell is None for cell in cells], pa.bool_())
        return pa.StructArray.from_arrays(arrays, names, mask=missing)

    label = ", ".join(f"{name}: {plan.label}" for name, plan in zip(names, plans, strict=True))
    notes = tuple(f"{name}: {note}" for name, plan in zip(names, plans, strict=True) for note in plan.notes)
    declaration = {name: plan.declared for name, plan in zip(names, plans, strict=True)}
    return Plan(f"struct<{label}>", declaration, frozenset({dict, _NULL}), build, notes=notes, inner=tuple(plans))


def _are_names(names: Sequence[str]) -> bool:
    """Whether fields of a struct may have these names, exactly these."""
    try:
        schema = tableformat.Schema.from_user({name: pa.int64() for name in names})
    except SchemaError:
        return False
    return list(schema.names) == list(names)


# -- whatever else -----------------------------------------------------------------------------------------------------


def _json(why: str, more: Sequence[str] = ()) -> Plan:
    return Plan("json", tableformat.JsonType(), build=_texts_of, values=_finite_values, notes=(why, *more))


def _texts_of(cells: Sequence[Any], lost: Lost) -> pa.Array:
    texts: list[str | None] = []
    for index, cell in enumerate(cells):
        try:
            texts.append(None if cell is None else json_text(cell))
        except RecursionError as error:
            lost(index, str(error))
            texts.append(None)
    return pa.array(texts, pa.string())


def _finite_values(cells: Sequence[Any], lost: Lost) -> list[Any]:
    return [None if text is None else json.loads(text) for text in _texts_of(cells, lost).to_pylist()]


_SINGLE: Final[dict[str, Callable[[Profile], Plan]]] = {
    "bool": _bools, "int": _ints, "float": _floats, "str": _texts, "list": _lists, "dict": _dicts,
}  # fmt: skip
