"""A table as a list of dicts, and edits that can be drawn, done to the model, and done to a draft: for tests of any size.

`draw_edit` gives an edit that fits a model. `edit.change(model)` says what must come of it, `edit.apply(draft, name)` does it to a
table of a draft; both together must end the same, whatever the sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from tableformat import col

__all__ = ["TYPES", "Edit", "TableModel", "draw_edit", "draw_model", "draw_rows"]

Row = dict[str, Any]

TYPES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "int32": (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "int64": (pa.int64(), st.integers(-(2**40), 2**40)),
    "float64": (pa.float64(), st.floats(allow_nan=False)),
    "string": (pa.string(), st.text(st.characters(codec="utf-8"), max_size=6)),
    "bool": (pa.bool_(), st.booleans()),
    "binary": (pa.binary(), st.binary(max_size=5)),
    "list": (pa.list_(pa.int64()), st.lists(st.integers(0, 9) | st.none(), max_size=3)),
    "struct": (
        pa.struct([("a", pa.int64()), ("b", pa.string())]),
        st.fixed_dictionaries({"a": st.integers(0, 9) | st.none(), "b": st.sampled_from(["", "x", None])}),
    ),
}
"""Types of columns, with values."""
WIDER: dict[str, tuple[str, ...]] = {"int32": ("int64", "float64")}
NAMES = [f"c{number}" for number in range(30)]


@dataclass
class TableModel:
    """What a table holds: columns in order, rows in order, and which columns are the key."""

    types: dict[str, str]
    """By name of column, in order, the name of its type in `TYPES`."""
    key: tuple[str, ...]
    rows: list[Row] = field(default_factory=list)
    defaults: dict[str, Any] = field(default_factory=dict)
    """Of columns that were added with one."""
    added: int = 0
    """Columns that there ever were, for names that are new."""

    def key_of(self, row: Row) -> tuple[Any, ...]:
        """The key of a row."""
        return tuple(row[name] for name in self.key)

    def arrow_schema(self) -> pa.Schema:
        """The columns as Arrow declares them."""
        return pa.schema([(name, TYPES[kind][0]) for name, kind in self.types.items()])

    def to_arrow(self) -> pa.Table:
        """All rows."""
        return pa.Table.from_pylist(self.rows, self.arrow_schema())

    def plain_columns(self) -> list[str]:
        """The columns that are not of the key."""
        return [name for name in self.types if name not in self.key]

    def new_name(self) -> str:
        """A name that no column ever had."""
        self.added += 1
        return NAMES[self.added - 1] if self.added <= len(NAMES) else f"c{self.added}"


@dataclass(frozen=True)
class Edit:
    """One change of a table."""

    what: str
    """Said when a test fails."""
    change: Callable[[TableModel], None]
    """Does it to the model."""
    apply: Callable[[Any, str], Any]
    """Does it to the table of that name in a draft."""

    def __repr__(self) -> str:
        return self.what


def draw_model(draw: Any) -> TableModel:
    """A table without rows, with a key of one or two columns."""
    key = draw(st.sampled_from([("id",), ("id", "part")]))
    kinds = {"id": draw(st.sampled_from(["int64", "string", "int32"])), "part": "string"}
    model = TableModel({name: kinds[name] for name in key}, key)
    for _ in range(draw(st.integers(1, 3))):
        model.types[model.new_name()] = draw(st.sampled_from(sorted(TYPES)))
    return model


def _key_values(kind: str) -> st.SearchStrategy[Any]:
    return st.integers(0, 40) if kind.startswith("int") else st.integers(0, 40).map(lambda number: f"k{number}")


def _values(kind: str) -> st.SearchStrategy[Any]:
    return st.none() | TYPES[kind][1]


def draw_rows(draw: Any, model: TableModel, columns: Sequence[str] | None = None, most: int = 12) -> list[Row]:
    """Rows with keys that differ, and values for `columns` (None: all)."""
    one = st.tuples(*(_key_values(model.types[name]) for name in model.key))
    keys = draw(st.lists(one, max_size=most, unique=bool(model.key)))
    names = [name for name in (model.plain_columns() if columns is None else columns) if name not in model.key]
    return [
        {**dict(zip(model.key, key, strict=True)), **{name: draw(_values(model.types[name])) for name in names}}
        for key in keys
    ]


def draw_edit(draw: Any, model: TableModel) -> Edit:
    """An edit that fits the model as it is."""
    kinds = [_append, _delete_where, _aligned, _function, _add_column, _reorder, _compact, _compact]
    if model.key:
        kinds += [_upsert, _upsert, _delete_keys, _by_key]
    if model.plain_columns():
        kinds += [_rename, _replaced]
    if len(model.plain_columns()) > 1:
        kinds += [_drop]
    if any(model.types[name] in WIDER for name in model.types):
        kinds += [_widen]
    return draw(st.sampled_from(kinds))(draw, model)


# Rows


def _append(draw: Any, model: TableModel) -> Edit:
    there = {model.key_of(row) for row in model.rows}
    rows = [row for row in draw_rows(draw, model) if not model.key or model.key_of(row) not in there]

    def apply(draft: Any, name: str) -> None:
        with draft.table(name, mode="append") as table:
            table.extend(pa.Table.from_pylist(rows, model.arrow_schema()))

    return Edit(f"append {rows}", lambda m: m.rows.extend(dict(row) for row in rows), apply)


def _upsert(draw: Any, model: TableModel) -> Edit:
    columns = draw(st.lists(st.sampled_from(model.plain_columns()), unique=True)) if model.plain_columns() else []
    rows = draw_rows(draw, model, columns)
    for row in rows:  # some rows as they are, so that nothing changes
        same = next((old for old in model.rows if model.key_of(old) == model.key_of(row)), None)
        if same is not None and draw(st.integers(0, 3)) == 0:
            row.update({name: same[name] for name in columns})
    as_arrow = draw(st.booleans())

    def change(m: TableModel) -> None:
        for row in rows:
            old = next((one for one in m.rows if m.key_of(one) == m.key_of(row)), None)
            whole = {name: row[name] if name in row else (old or m.defaults).get(name) for name in m.types}
            if old is not None and _same(old, whole):
                continue
            if old is not None:
                m.rows.remove(old)
            m.rows.append(whole)

    def apply(draft: Any, name: str) -> Any:
        schema = pa.schema([model.arrow_schema().field(column) for column in (*model.key, *columns)])
        return draft.upsert(name, pa.Table.from_pylist(rows, schema) if as_arrow else [dict(row) for row in rows])

    return Edit(f"upsert {rows}", change, apply)


def _same(one: Row, other: Row) -> bool:
    """Whether rows are equal as stored: 0.0 and -0.0 are not."""
    return _shown(one) == _shown(other)


def _shown(value: Any) -> str:
    return repr({name: _shown(value[name]) for name in sorted(value)}) if isinstance(value, dict) else repr(value)


def _delete_keys(draw: Any, model: TableModel) -> Edit:
    keys = draw(st.lists(st.tuples(*(_key_values(model.types[name]) for name in model.key)), max_size=10))

    def change(m: TableModel) -> None:
        m.rows[:] = [row for row in m.rows if m.key_of(row) not in set(keys)]

    given = keys if len(model.key) > 1 else [key[0] for key in keys]
    return Edit(f"delete {given}", change, lambda draft, name: draft.delete(name, keys=given))


def _delete_where(draw: Any, model: TableModel) -> Edit:
    if not model.key:
        return _delete_nulls(draw, model)
    name = model.key[0]
    bound = draw(_key_values(model.types[name]))
    above = draw(st.booleans())
    predicate = col(name) > bound if above else col(name) <= bound

    def change(m: TableModel) -> None:
        m.rows[:] = [row for row in m.rows if (row[name] > bound) != above]

    return Edit(f"delete {predicate}", change, lambda draft, table: draft.delete(table, predicate))


def _delete_nulls(draw: Any, model: TableModel) -> Edit:
    name = draw(st.sampled_from(list(model.types)))
    values = draw(st.booleans())
    predicate = ~col(name).is_null() if values else col(name).is_null()

    def change(m: TableModel) -> None:
        m.rows[:] = [row for row in m.rows if (row[name] is None) == values]

    return Edit(f"delete {predicate}", change, lambda draft, table: draft.delete(table, predicate))


# Columns


def _column(draw: Any, model: TableModel) -> tuple[str, str]:
    return model.new_name(), draw(st.sampled_from(sorted(TYPES)))


def _aligned(draw: Any, model: TableModel) -> Edit:
    name, kind = _column(draw, model)
    values = [draw(_values(kind)) for _ in model.rows]
    return _with_values(name, kind, values, pa.array(values, TYPES[kind][0]))


def _with_values(name: str, kind: str, values: list[Any], array: pa.Array, *, replace: bool = False) -> Edit:
    def change(m: TableModel) -> None:
        m.types[name] = kind
        for row, value in zip(m.rows, values, strict=True):
            row[name] = value

    what = f"{'replace' if replace else 'add'} {name}: {kind} = {values}"
    return Edit(what, change, lambda draft, table: draft.add_columns(table, pa.table({name: array}), replace=replace))


def _replaced(draw: Any, model: TableModel) -> Edit:
    name = draw(st.sampled_from(model.plain_columns()))
    kind = draw(st.sampled_from([model.types[name], *sorted(TYPES)]))
    wide = model.types[name]
    kind = wide if {kind, wide} == {"int32", "int64"} or {kind, wide} == {"int32", "float64"} else kind
    values = [draw(_values(kind)) for _ in model.rows]
    edit = _with_values(name, kind, values, pa.array(values, TYPES[kind][0]), replace=True)

    def change(m: TableModel) -> None:
        if m.types[name] != kind:
            m.defaults.pop(name, None)
        edit.change(m)

    return Edit(edit.what, change, edit.apply)


def _by_key(draw: Any, model: TableModel) -> Edit:
    name, kind = _column(draw, model)
    chosen = [row for row in model.rows if draw(st.booleans())]
    data = [
        {**{one: row[one] for one in model.key}, name: draw(_values(kind))} for row in draw(st.permutations(chosen))
    ]
    schema = pa.schema([*(model.arrow_schema().field(one) for one in model.key), (name, TYPES[kind][0])])

    def change(m: TableModel) -> None:
        values = {m.key_of(row): row[name] for row in data}
        m.types[name] = kind
        for row in m.rows:
            row[name] = values.get(m.key_of(row))

    return Edit(
        f"join {name}: {kind} = {data}",
        change,
        lambda draft, table: draft.add_columns(table, pa.Table.from_pylist(data, schema)),
    )


def _function(draw: Any, model: TableModel) -> Edit:
    name, source = model.new_name(), model.key[0] if model.key else next(iter(model.types))

    def change(m: TableModel) -> None:
        m.types[name] = "int64"
        for row in m.rows:
            row[name] = len(str(row[source]))

    def function(batch: pa.RecordBatch) -> dict[str, Any]:
        return {name: pa.array([len(str(value)) for value in batch.column(source).to_pylist()], pa.int64())}

    if not model.rows:  # a function that is never called makes no column
        return _aligned(draw, model)
    return Edit(f"function {name}", change, lambda draft, table: draft.add_columns(table, function, columns=[source]))


def _add_column(draw: Any, model: TableModel) -> Edit:
    name, kind = _column(draw, model)
    default = draw(_values(kind))

    def change(m: TableModel) -> None:
        m.types[name] = kind
        m.defaults[name] = default
        for row in m.rows:
            row[name] = default

    return Edit(
        f"add {name}: {kind} default {default!r}",
        change,
        lambda draft, table: draft.add_column(table, name, TYPES[kind][0], default=default),
    )


def _drop(draw: Any, model: TableModel) -> Edit:
    name = draw(st.sampled_from(model.plain_columns()))

    def change(m: TableModel) -> None:
        del m.types[name]
        m.defaults.pop(name, None)
        for row in m.rows:
            del row[name]

    return Edit(f"drop {name}", change, lambda draft, table: draft.drop_columns(table, name))


def _rename(draw: Any, model: TableModel) -> Edit:
    old, new = draw(st.sampled_from(list(model.types))), model.new_name()

    def renamed(values: dict[str, Any]) -> dict[str, Any]:
        return {new if name == old else name: value for name, value in values.items()}

    def change(m: TableModel) -> None:
        m.types, m.defaults = renamed(m.types), renamed(m.defaults)
        m.key = tuple(new if name == old else name for name in m.key)
        m.rows[:] = [renamed(row) for row in m.rows]

    return Edit(f"rename {old} to {new}", change, lambda draft, table: draft.rename_columns(table, {old: new}))


def _reorder(draw: Any, model: TableModel) -> Edit:
    order = draw(st.permutations(list(model.types)))

    def change(m: TableModel) -> None:
        m.types = {name: m.types[name] for name in order}
        m.rows[:] = [{name: row[name] for name in order} for row in m.rows]

    return Edit(f"reorder {order}", change, lambda draft, table: draft.reorder_columns(table, order))


def _widen(draw: Any, model: TableModel) -> Edit:
    name = draw(st.sampled_from([name for name in model.types if model.types[name] in WIDER]))
    wide = [kind for kind in WIDER[model.types[name]] if name not in model.key or kind != "float64"]
    kind = draw(st.sampled_from(wide))

    def change(m: TableModel) -> None:
        m.types[name] = kind
        if kind == "float64":
            for values in (*m.rows, m.defaults):
                if values.get(name) is not None:
                    values[name] = float(values[name])

    return Edit(
        f"widen {name} to {kind}", change, lambda draft, table: draft.widen_columns(table, {name: TYPES[kind][0]})
    )


def _compact(draw: Any, model: TableModel) -> Edit:
    plain = draw(st.booleans())
    return Edit(f"compact plain={plain}", lambda m: None, lambda draft, table: draft.compact(table, plain=plain))
