"""Any sequence of edits ends as a list of dicts would, in one draft or over many versions, and is stored as the spec says."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, note, settings
from hypothesis import strategies as st

import tableformat
from tableformat.format.manifest import Part, needs_of
from tableformat.format.schema import Schema
from tableformat.storage.manifests import iter_items
from tests.table.edit.model import TableModel, draw_edit, draw_model, draw_rows


def write_first(store: tableformat.Store, model: TableModel, part_rows: int) -> None:
    """The first version, in small parts."""
    with (
        store.draft("a") as draft,
        draft.table("t", schema=model.arrow_schema(), key=list(model.key), part_rows=part_rows) as table,
    ):
        table.extend(model.to_arrow())


def fresh_digest(store: tableformat.Store, table: tableformat.Table, model: TableModel) -> str:
    """The content digest of the rows of the model, written whole under the schema that the table has."""
    bare = Schema(tuple(column.without_ids() for column in table.schema.columns))
    with store.draft("fresh") as draft:
        with draft.table("t", schema=bare, key=list(model.key)) as writer:
            writer.extend(model.to_arrow())
        return draft["t"].content_digest


def check(store: tableformat.Store, model: TableModel, table: tableformat.Table) -> None:
    """The table is that of the model, in rows, order, types and digest, and its entry tells the truth."""
    assert table.columns == list(model.types)
    assert table.to_arrow().to_pylist() == model.rows
    assert table.arrow_schema.types == model.arrow_schema().types
    entry = table.source.entry
    keys = [model.key_of(row) for row in model.rows]
    assert (entry.rows, entry.table_key, entry.unique) == (len(model.rows), model.key, True)
    assert not entry.sorted or all(one < other for one, other in itertools.pairwise(keys))
    parts = [Part.from_json(item, "t") for item in iter_items(store.context.backend, entry.parts)]
    assert (entry.plain, entry.requires) == needs_of(entry.schema, parts)
    assert set(entry.columns) == {str(column.id) for column in entry.schema}
    assert all(part.visible_rows for part in parts)
    assert entry.content == fresh_digest(store, table, model)


@settings(max_examples=max(settings.default.max_examples // 2, 10))  # each is a dozen versions of a table
@given(st.data())
def test_edits_end_as_those_of_a_list(data: Any) -> None:
    """Random edits, some in one draft and some in the next, leave rows, digests and entries as a fresh write of the rows would."""
    with tempfile.TemporaryDirectory() as folder:
        store = tableformat.open_store(Path(folder) / "store")
        model = draw_model(data.draw)
        model.rows = draw_rows(data.draw, model, most=40)
        write_first(store, model, data.draw(st.sampled_from([1, 4, 64])))
        for _ in range(data.draw(st.integers(1, 3))):
            with store.draft("a", base="latest") as draft:
                for _ in range(data.draw(st.integers(1, 4))):
                    edit = draw_edit(data.draw, model)
                    note(repr(edit))
                    edit.apply(draft, "t")
                    edit.change(model)
                    assert draft["t"].to_arrow().to_pylist() == model.rows
            check(store, model, store["a"]["t"])
        report = store.verify("a")
        assert report.problem_count == 0, report.problems
