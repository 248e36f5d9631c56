"""The exceptions: their tree, their kinds, their messages."""

import pickle
import re

import pytest

from tableformat import errors
from tableformat.errors import (
    InvalidInputError,
    MissingExtraError,
    NotFoundError,
    Problem,
    SchemaError,
    TableformatError,
    message,
)

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, TableformatError)]


def test_kinds_differ():
    """Each exception has a kind of its own."""
    kinds = [error.kind for error in CLASSES]
    assert len(set(kinds)) == len(kinds)


def test_the_drawn_tree_is_the_real_one():
    """Every class stands in the tree at the top of the module, below its parent."""
    lines = [line for line in (errors.__doc__ or "").splitlines() if re.search(r"\w+Error", line)]
    names = [
        (re.search(r"\w+Error", line).start(), re.search(r"\w+Error", line)[0])
        for line in lines
        if "──" in line or "catch this" in line
    ]
    above: list[tuple[int, str]] = []
    for depth, name in names:
        above = [entry for entry in above if entry[0] < depth]
        assert not above or issubclass(getattr(errors, name), getattr(errors, above[-1][1]))
        above.append((depth, name))
    assert {name for _, name in names} == {error.__name__ for error in CLASSES}


@pytest.mark.parametrize(
    ("error", "builtin"),
    [("NotFoundError", KeyError), ("ExistsError", FileExistsError), ("FormatError", ValueError), ("InvalidInputError", ValueError),
     ("SchemaError", TypeError), ("BackendError", OSError), ("StorePermissionError", PermissionError),
     ("AccessRefusedError", PermissionError), ("UsageError", RuntimeError), ("MissingExtraError", ImportError)],
)  # fmt: skip
def test_builtins_catch_them(error, builtin):
    """Who expects a builtin exception catches ours by it."""
    assert issubclass(getattr(errors, error), builtin)


def test_messages_say_what_where_and_what_to_do():
    """A message is composed of what was being done, to what, expected and got, and what to do."""
    text = message(
        "reading a part", path="data/x", byte_range=(3, 9), expected="6 bytes", got="4", todo="verify the store"
    )
    assert text == "reading a part · data/x bytes 3–9 · expected 6 bytes, got 4 · verify the store"
    assert message("reading") == "reading"
    assert str(NotFoundError("looking · up")) == "looking · up"


def test_all_problems_are_told():
    """An exception that carries problems shows each with its place, and keeps them through a pickle."""
    problems = [Problem("row 1", "the key is null"), Problem("", "something else")]
    error = SchemaError("writing rows", problems)
    assert str(error) == "writing rows\n  row 1: the key is null\n  something else"
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.problems) == (SchemaError, str(error), tuple(problems))


def test_a_missing_extra_says_what_to_install():
    """The error names the package and the command, also after a pickle."""
    error = pickle.loads(pickle.dumps(MissingExtraError("decoding an image", "Pillow", "image")))
    assert str(error).endswith("pip install 'tableformat[image]'")
    assert not isinstance(error, InvalidInputError)
