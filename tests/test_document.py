"""Canonical JSON, and the reader of documents that trusts nothing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat import document
from tableformat.document import MAX_DEPTH, decode_document, encode_document, encode_with
from tableformat.errors import FormatError, LimitError, TableformatError

KEYS = st.text(st.characters(max_codepoint=127), max_size=8)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=5)


@given(DOCUMENTS)
def test_what_is_written_is_read(value):
    """A document comes back equal from its canonical bytes, which are what it is written to again."""
    data = encode_document(value)
    assert decode_document(data, "x", canonical=True) == value
    assert data.isascii()
    assert encode_document(json.loads(data)) == data


@given(st.binary(max_size=60) | TEXTS.map(str.encode))
def test_any_bytes_give_a_document_or_an_error_of_ours(data):
    """Whatever the bytes, nothing but a document or a `TableformatError` comes out."""
    try:
        document = decode_document(data, "x")
    except TableformatError:
        document = {}
    assert isinstance(document, dict)


def test_the_form_is_canonical():
    """Keys are sorted, other characters escaped, and there is no white space."""
    assert encode_document({"b": [1, "é"], "a": None}) == b'{"a":null,"b":[1,"\\u00e9"]}'


@pytest.mark.parametrize(
    "text",
    ['{"a":1,"a":2}', '{"a":1.0}', '{"a":NaN}', '{"a":Infinity}', '{"a":9007199254740992}', '{"a":1e3}', "[1]", "1", "", "{", '{"a":"\\ud800"}', '{"é":1}'],
)  # fmt: skip
def test_other_json_is_refused(text):
    """Duplicate keys, numbers that are no small integers, lone surrogates, and what is no object are refused."""
    with pytest.raises(FormatError):
        decode_document(text.encode("utf-8", "surrogatepass"), "x")


def test_another_spelling_is_refused_where_the_form_counts():
    """With `canonical`, a document that says the same in other bytes is refused."""
    assert decode_document(b'{ "a": 1 }', "x") == {"a": 1}
    with pytest.raises(FormatError, match="canonical"):
        decode_document(b'{ "a": 1 }', "x", canonical=True)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 100_000, 1_000_000])
def test_deep_nesting_is_refused_before_it_is_built(depth):
    """Nesting past the limit is a `LimitError`, and no `RecursionError`; brackets inside of text do not count."""
    with pytest.raises(LimitError):
        decode_document(b'{"a":' + b"[" * depth + b"]" * depth + b"}", "x")
    text = "[" * depth + '"{'
    assert decode_document(encode_document({"a": text}), "x") == {"a": text}


@given(
    st.lists(st.sampled_from("[]{}a\n") | st.text('[]{}"\\a\n', max_size=12).map(json.dumps)),
    st.sampled_from(["", '"[', '"\\"[', '"[\\']),
)
def test_brackets_are_told_from_text(pieces, end):
    """The quick look at short documents sees the brackets that the walk through long ones sees: those outside of strings."""
    data = "".join([*pieces, end]).encode()
    assert list(document._brackets(data)) == list(document._walked(data))


@given(st.text('[]{}"\\a', max_size=8).map(str.encode))
def test_behind_a_backslash_outside_of_text_nothing_is_parsed(start):
    """A backslash outside of strings is no JSON, so that brackets behind it cannot nest: the parser gives up there, with an error of ours."""
    with pytest.raises((FormatError, LimitError)):
        decode_document(b"\\" + start + b"[" * 100_000, "x")
    with pytest.raises((FormatError, LimitError)):
        decode_document(b'{"a":["b"\\' + start + b"[" * 100_000, "x")


@given(DOCUMENTS, KEYS, VALUES)
def test_a_field_that_was_encoded_before_is_put_in(value, name, known):
    """A document of which one field is known in canonical bytes is encoded to the bytes of the whole, wherever the field stands."""
    whole = {**value, name: known}
    assert encode_with(whole, name, encode_document(known)) == encode_document(whole)
    assert encode_with(value, name, encode_document(known)) == encode_document(whole)


@pytest.mark.parametrize("value", [1.5, float("nan"), 2**53, b"bytes", {1: 2}, {"é": 1}, {"a": {1, 2}}, "\ud800"])
def test_what_is_no_document_is_not_written(value):
    """Floats, large integers, other objects and keys that are not ASCII text raise, naming the place."""
    with pytest.raises(FormatError, match=r"\$\.a"):
        encode_document({"a": value})
