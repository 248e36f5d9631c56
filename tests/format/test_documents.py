"""What the readers of small documents share."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tableformat.errors import FormatError, UnsupportedError
from tableformat.format.documents import NOTHING, Fields, Requires, check_requires, utc_text


def test_times():
    """Times are written in UTC with microseconds, whatever zone they came in."""
    assert utc_text(datetime(2026, 11, 22, 9, tzinfo=UTC)) == "2026-11-22T09:00:00.000000Z"
    assert utc_text(datetime(2026, 11, 22, 9, 0, 0, 7, timezone(timedelta(hours=2)))) == "2026-11-22T07:00:00.000007Z"


def test_fields_are_taken_once_and_the_rest_is_kept():
    """What no reader asked for is left over."""
    fields = Fields({"kind": "x", "format": 1, "n": None, "later": [1]}, "p", "x")
    assert fields.integer_or_none("n") is None
    assert fields.rest() == {"later": [1]}
    with pytest.raises(FormatError, match="n: this field"):
        fields.integer_or_none("n")


@pytest.mark.parametrize(
    "document",
    [{}, {"kind": "y", "format": 1}, {"kind": "x"}, {"kind": "x", "format": "1"}, {"kind": "x", "format": 0}],
)
def test_kind_and_format(document):
    """Another kind, or a format that is no number from 1, is refused."""
    with pytest.raises(FormatError):
        Fields(document, "p", "x")


def test_features():
    """Unknown features are named; those for writers do not keep readers out."""
    requires = Requires(("b", "a"), ("c",))
    assert requires.to_json() == {"read": ["a", "b"], "write": ["c"]}
    check_requires(requires, {"a", "b"}, writing=False, path="p")
    with pytest.raises(UnsupportedError, match="a, c"):
        check_requires(requires, {"b"}, writing=True, path="p")
    assert check_requires(NOTHING, (), writing=True, path="p") is None
