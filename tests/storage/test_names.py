"""Names of artifacts, aliases and entries, and addresses."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.errors import IllegalNameError
from tableformat.storage.interface import check_path
from tableformat.storage.names import (
    LATEST,
    Address,
    Selector,
    check_entry_name,
    check_name,
    decode_name,
    encode_name,
    entry_name,
    folded,
    parse_address,
    parse_selection,
)

DIGEST = "sha256:" + "ab" * 32
GOOD = ["a", "A", "animals", "Animals", "run-7", "a.b_c-d", "0", "9lives", "v", "v1x", "vv1", "latest2", "Latest", "x" * 128, "A" * 127, "con-fig", "comet", "V1", "a..b", "console.log"]  # fmt: skip
HOSTILE = [
    "", " ", ".", "..", "...", "/", "//", "a/b", "a/../b", "../a", "/etc/passwd", "a/", "\\", "a\\b", "..\\..\\a", "C:", "C:\\x",
    "a:b", "\\\\host\\share", "file:///etc/passwd", "s3://b/k", "~", "~root", "-", "-rf", "_a", ".a", ".hidden", "a.", "a..",
    "latest", "v0", "v1", "v007", "v99999999999999999999", "con", "CON", "Con.txt", "nul", "NUL.tar.gz", "aux", "prn", "com1", "LPT9", "com0.a",
    "a b", " a", "a ", "a\t", "a\n", "\na", "a\r\n", "a\0", "\0", "a\x1b[31m", "a\x7f", "ä", "a\u0301", "é", "ﬁ", "\u202eabc", "a\u200b", "\ufeffa",
    "日本", "😀", "\ud800", "%2e%2e", "a%2fb", "a%00", "!a", "a!b", "a*", "a?", "a|b", "a<b", "a>b", 'a"b', "a'b", "a#b", "a@b", "a&b",
    "a;b", "$(x)", "`x`", "${HOME}", "x" * 129, "A" * 128, "a,b", "a=b", "a+b", "(a)", "[a]", "{a}",
]  # fmt: skip
BAD_ENTRIES = ["", "/", "/a", "a/", "a//b", ".", "..", "a/.", "a/../b", "./a", "a\\b", "..\\a", "a\0b", "a\nb", "a\x1b[0m", "\x7f", "a\u0085b", "\ud800", "x" * 1025, "e\u0301", "a/../../etc/passwd"]  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_good_names(name):
    """Names of the grammar are taken as they are, and come back from their place on disk."""
    assert check_name(name) == name
    segment = encode_name(name)
    assert segment == segment.lower()
    assert len(segment) <= 255
    assert check_path(segment) == segment
    assert decode_name(segment) == name


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("kind", ["artifact", "alias"])
def test_hostile_names(name, kind):
    """Everything else is refused, by every function that takes a name, and the message holds nothing but plain text."""
    for take in (lambda: check_name(name, kind), lambda: encode_name(name, kind)):
        with pytest.raises(IllegalNameError) as caught:
            take()
        assert str(caught.value).replace("·", "").isascii()
        assert str(caught.value).isprintable()


def test_the_table_of_hostile_names_is_long():
    """At least 60 hostile names are tried."""
    assert len(set(HOSTILE)) >= 60


@pytest.mark.parametrize(
    "segment", ["Animals", "!", "a!", "!1", "!!a", "!A", "v1", "latest", "con", "..", "", "a/b", "!c!o!n", "a."]
)
def test_segments_that_no_name_has(segment):
    """A folder that no name is encoded as is not read as one."""
    with pytest.raises(IllegalNameError):
        decode_name(segment)


@given(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
)
def test_different_names_never_meet(one, other):
    """Two names that differ lie in folders that differ even where the file system folds case."""
    encoded = []
    for name in (one, other):
        try:
            encoded.append(encode_name(name))
        except IllegalNameError:
            return
        assert decode_name(encoded[-1]) == name
    assert (one == other) == (encoded[0].casefold() == encoded[1].casefold())


@pytest.mark.parametrize("name", BAD_ENTRIES)
def test_bad_entry_names(name):
    """Entries have no names that lead out of a folder or cannot be shown."""
    with pytest.raises(IllegalNameError):
        check_entry_name(name)


@given(st.text(max_size=30))
def test_entry_names_are_brought_to_one_form(text):
    """`entry_name` gives a name that `check_entry_name` takes, or refuses; it changes nothing but the Unicode form."""
    try:
        name = entry_name(text)
    except IllegalNameError:
        return
    assert check_entry_name(name) == name == unicodedata.normalize("NFC", text)


def test_folding():
    """Names that some file system takes for one fold to the same text."""
    assert folded("É") == folded("e\u0301")
    assert folded("STRASSE") == folded("straße")
    assert folded("a") != folded("b")


ADDRESSES = [
    ("s3://bucket/root#animals", Address("s3://bucket/root", "animals")),
    ("s3://bucket/root#animals:latest", Address("s3://bucket/root", "animals")),
    ("/data#Animals:v12/train", Address("/data", "Animals", Selector(slot=12), "train")),
    ("a#b#animals:best/images/cat%20%231.png", Address("a#b", "animals", Selector(alias="best"), "images/cat #1.png")),
    (f"x#a@{DIGEST}/t", Address("x", "a", Selector(digest=DIGEST), "t")),
    ("x%20y#a%3Av3", Address("x%20y", "a", Selector(slot=3))),
    ("x#a/%C3%A9%25", Address("x", "a", LATEST, "é%")),
]


@pytest.mark.parametrize(("text", "address"), ADDRESSES)
def test_addresses(text, address):
    """Addresses are read by one grammar: the last # splits, and what follows is decoded once."""
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    ["", "animals", "#animals", "x#", "x#/train", "x#a:", "x#a@", "x#a@sha256:ab", "x#a:v01", "x#a:v1.", "x#a:best:v1", f"x#a@{DIGEST}:v1", "x#a/", "x#a//b",
     "x#a/..", "x#a/%2e%2e/b", "x#a/b%2fc", "x#a/b%2Fc", "x#a/%zz", "x#a/%", "x#a/%ff", "x#a%2fb", "x#a/e\u0301", "x#a/%00", "x#a/\x1b", "x#v1", "x#latest", "x#a:v1:v2", "x#a b", "x#a/%5c"],
)  # fmt: skip
def test_bad_addresses(text):
    """Anything but the grammar is refused."""
    with pytest.raises(IllegalNameError):
        parse_address(text)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused(text):
    """Any text at all gives an address that is written and read again alike, or the one error."""
    try:
        address = parse_address("root#a/" + text)
    except IllegalNameError:
        return
    assert parse_address(str(address)) == address


def test_selections():
    """Within a store the same grammar holds without a root and without escapes."""
    assert parse_selection("Animals") == ("Animals", LATEST)
    assert parse_selection("animals:v0") == ("animals", Selector(slot=0))
    assert parse_selection("animals:best") == ("animals", Selector(alias="best"))
    assert parse_selection(f"animals@{DIGEST}") == ("animals", Selector(digest=DIGEST))
    for bad in ("animals%3Av0", "animals:v00", "animals@best", ":v0", "animals/train"):
        with pytest.raises(IllegalNameError):
            parse_selection(bad)
