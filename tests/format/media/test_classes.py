"""Class sets: three ways to give one, one document, one digest."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.errors import FormatError, InvalidInputError, NotFoundError, UnsupportedError
from tableformat.format.media import Classes


def test_mapping_list_and_dictionaries_give_one_set() -> None:
    """However it is given, in whatever order, a set has one digest."""
    sets = [
        Classes({1: "dog", 0: "cat"}),
        Classes(["cat", "dog"]),
        Classes([{"id": 1, "name": "dog"}, {"id": 0, "name": "cat"}]),
        Classes({"0": "cat", "1": "dog"}),
    ]
    assert len({one.digest for one in sets}) == 1
    assert all(one == sets[0] for one in sets)
    assert sets[0].encode() == b'{"classes":[{"id":0,"name":"cat"},{"id":1,"name":"dog"}],"format":1,"kind":"classes"}'


@given(
    st.dictionaries(st.integers(-(2**53) + 1, 2**53 - 1), st.text(st.characters(exclude_categories=["Cs"])), max_size=8)
)
def test_documents_come_back(names: dict[int, str]) -> None:
    """The document of a set gives the set."""
    classes = Classes(names)
    again = Classes.decode(classes.encode())
    assert again == classes
    assert again.encode() == classes.encode()
    assert list(again) == sorted(names)
    assert dict(again.names) == names


def test_further_keys_are_kept() -> None:
    """What stands beside id and name comes back, floats too. [MEDIA-23]"""
    classes = Classes([{"id": 0, "name": "cat", "color": [0.5, 1, None], "wört": "x"}])
    again = Classes(Classes.decode(classes.encode()))
    assert dict(again.extra_of(0)) == {"color": [0.5, 1, None], "wört": "x"}
    assert again == classes != Classes(["cat"])
    assert pickle.loads(pickle.dumps(classes)) == classes


def test_names_and_ids_are_found() -> None:
    """Names by id and ids by name; what is missing or ambiguous is said, with near names."""
    classes = Classes({0: "cat", 3: "dog", 4: "dog"})
    assert (classes.name_of(0), classes.id_of("cat"), len(classes), 3 in classes) == ("cat", 0, 3, True)
    with pytest.raises(NotFoundError, match="7"):
        classes.name_of(7)
    with pytest.raises(NotFoundError, match="did you mean cat"):
        classes.id_of("cart")
    with pytest.raises(InvalidInputError, match=r"\[3, 4\]"):
        classes.id_of("dog")


def test_ids_outside_are_found() -> None:
    """Each foreign id is told once, of lists and of arrays."""
    classes = Classes(["cat", "dog"])
    assert classes.missing([0, 5, 5, -1]) == classes.missing(np.array([[0, 5], [5, -1]])) == [-1, 5]
    assert classes.missing([]) == []


@pytest.mark.parametrize(
    "value",
    [
        "cat",
        3,
        [{"id": 0}],
        {"a": "cat"},
        {0.5: "cat"},
        {True: "cat"},
        {0: 1},
        [{"id": 0, "name": "a"}, {"id": 0, "name": "b"}],
        {2**53: "a"},
        ["\ud800"],
        [{"id": 0, "name": "a", "x": float("nan")}],
    ],
)
def test_what_is_no_class_set_is_refused(value: object) -> None:
    """Ids that are no whole numbers, names that are no text, and ids given twice raise."""
    with pytest.raises(InvalidInputError):
        Classes(value)


@pytest.mark.parametrize(
    ("document", "error"),
    [
        (b"{}", FormatError), (b"[]", FormatError), (b'{"kind":"classes","format":2,"classes":[]}', UnsupportedError),
        (b'{"kind":"classes","format":1,"classes":{}}', FormatError), (b'{"kind":"classes","format":1,"classes":[{"id":1,"name":"a"},{"id":0,"name":"b"}]}', FormatError),
        (b'{"kind":"classes","format":1,"classes":[{"id":0,"name":"a","extra":"[]"}]}', FormatError), (b'{"kind":"classes","format":1,"classes":[3]}', FormatError),
    ],
)  # fmt: skip
def test_bad_documents_are_refused(document: bytes, error: type[FormatError]) -> None:
    """Documents against the specification raise FormatError, later formats UnsupportedError. [MEDIA-22]"""
    with pytest.raises(error):
        Classes.decode(document)


def test_repr_shows_the_first_names() -> None:
    """Three classes are shown, then dots."""
    assert repr(Classes(["a", "b"])) == "Classes({0: 'a', 1: 'b'})"
    assert repr(Classes(list("abcd"))).endswith(", …})")
