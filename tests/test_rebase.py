"""Three-way merges of entries: one side's change is taken, the same change is one, anything else is a conflict."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tableformat
from tableformat.errors import ConflictError
from tableformat.rebase import merge_entries, merge_value

STATES = st.sampled_from([None, 1, 2, 3])


def items(**values):
    return {name: {"name": name, "content": str(value)} for name, value in values.items() if value is not None}


@given(st.lists(st.tuples(STATES, STATES, STATES), max_size=6))
def test_merges_agree_with_the_rule(entries):
    """For every entry: base, ours, theirs decide by what changed; conflicts name every entry and both sides."""
    sides = [items(**{f"e{n}": entry[side] for n, entry in enumerate(entries)}) for side in range(3)]
    conflicts, merged = [], {}
    for n, (base, ours, theirs) in enumerate(entries):
        if ours not in (base, theirs) and theirs != base:
            conflicts.append(f"e{n}")
        else:
            merged[f"e{n}"] = theirs if ours == base else ours
    if not conflicts:
        assert merge_entries(*sides, "testing") == items(**merged)
    else:
        with pytest.raises(ConflictError) as caught:
            merge_entries(*sides, "testing")
        assert [
            name for name in (f"e{n}" for n in range(len(entries))) if f"'{name}'" in str(caught.value)
        ] == conflicts


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "said"),
    [
        (1, None, 2, "this draft removed it, the newest version changed it"),
        (1, 2, None, "this draft changed it, the newest version removed it"),
        (None, 1, 2, "this draft added it, the newest version added it"),
    ],
)
def test_conflicts_say_what_each_side_did(base, ours, theirs, said):
    """The error tells what was done to the entry here and there."""
    with pytest.raises(ConflictError, match=said):
        merge_entries(items(e=base), items(e=ours), items(e=theirs), "testing")


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "merged"),
    [("a", "a", "b", "b"), ("a", "b", "a", "b"), ("a", "b", "b", "b"), ("a", "b", "c", None)],
)
def test_values_merge_as_entries_do(base, ours, theirs, merged):
    """Type and metadata are taken from the side that changed them; two changes conflict."""
    if merged is None:
        with pytest.raises(ConflictError, match="metadata"):
            merge_value(base, ours, theirs, "metadata", "testing")
    else:
        assert merge_value(base, ours, theirs, "metadata", "testing") == merged


def test_a_tombstone_hides_no_change(tmp_path):
    """Where the newest slot holds a tombstone, a draft is merged with the newest version below it, and nothing that was committed
    meanwhile is lost."""
    store = tableformat.open_store(tmp_path / "store")

    def add(draft, name):
        draft.add(tableformat.Classes({0: name}), name)
        return draft

    add(store.draft("a"), "first").commit()
    late = add(store.draft("a", base="latest"), "late")
    for name in ("kept", "gone"):
        add(store.draft("a", base="latest"), name).commit()
    store.context.versions("a").expire(2)
    late.commit()
    assert sorted(store["a"]) == ["first", "kept", "late"]
