"""Checks that the readers of small documents share: each field is looked at, and an error names file and field.

Fields that a reader does not know are kept and written again, so that a newer writer's additions survive an older one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from tableformat.digest import digest_of, is_digest
from tableformat.document import JsonObject, encode_document, encode_known, encode_with
from tableformat.errors import CorruptError, FormatError, UnsupportedError, message

__all__ = [
    "FEATURES",
    "NOTHING",
    "Fields",
    "Requires",
    "check_counts",
    "check_requires",
    "encode_sealed",
    "unsealed",
    "utc_text",
]

FEATURES: Final[frozenset[str]] = frozenset(
    {"column-files", "deletions", "field-ids", "joined-tables", "reference-leaves"}
)
"""The required features that this library knows; those that are reserved stand in spec/README.md."""
_ID = re.compile(r"[0-9a-f]{32}")
_TIME = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\.[0-9]{6}Z")
_FEATURE = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
_MAX_INTEGER: Final = 2**53 - 1


def utc_text(moment: datetime) -> str:
    """`moment`, which knows its time zone, as documents write it: `2026-11-22T09:00:00.000000Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True, slots=True)
class Requires:
    """Features that a reader or a writer has to know, by name."""

    read: tuple[str, ...] = ()
    """Without these nothing of it may be read."""
    write: tuple[str, ...] = ()
    """Without these nothing may be built upon it."""

    def to_json(self) -> JsonObject:
        """The field `requires`."""
        return {"read": sorted(self.read), "write": sorted(self.write)}


NOTHING: Final = Requires()
"""No required features."""


def check_requires(requires: Requires, known: Collection[str] = FEATURES, *, writing: bool, path: str) -> None:
    """Raise `UnsupportedError`, naming them, if there are features not in `known`: of `read`, and if `writing` of `write`."""
    needed = set(requires.read) | (set(requires.write) if writing else set())
    unknown = sorted(needed - set(known))
    if unknown:
        raise UnsupportedError(
            message("writing after" if writing else "reading", path=path, expected="features that this library knows",
                    got=", ".join(unknown), todo="use a newer version of tableformat")
        )  # fmt: skip


def encode_sealed(document: JsonObject, known: tuple[str, bytes] | None = None) -> bytes:
    """The canonical bytes of a document that no other file names by digest, with its own digest in `check`. `known` names one of its
    fields, of which the canonical bytes are known."""
    if known is None:
        return encode_known({**document, "check": digest_of(encode_document(document))})
    return encode_with({**document, "check": digest_of(encode_with(document, *known))}, *known)


def unsealed(
    document: JsonObject, path: str, *, format_field: str = "format", known: tuple[str, bytes] | None = None
) -> JsonObject:
    """The document without `check`. Raises `CorruptError` where that is there and is not its digest; of a newer format it
    may mean something else, which is for the reader to refuse. `known` as in `encode_sealed`."""
    if "check" not in document or document.get(format_field) != 1:
        return document
    rest = {name: value for name, value in document.items() if name != "check"}
    if (found := digest_of(encode_with(rest, *known) if known else encode_known(rest))) != document["check"]:
        raise CorruptError(
            message("reading a document", path=path, expected=f"a document with the digest {ascii(document['check'])[:80]}",
                    got=found, todo="restore the file from a copy of the store")
        )  # fmt: skip
    return rest


class Fields:
    """The fields of one document, taken out one by one; what is left in the end is `rest()`."""

    def __init__(self, document: JsonObject, path: str, kind: str | None, *, format_field: str = "format") -> None:
        """Checks `kind` (None: the caller does) and that the format is 1: `UnsupportedError` above, `FormatError` else."""
        self._left = dict(document)
        self._path = path
        if kind is not None:
            found = self._left.pop("kind", None)
            if found != kind:
                raise self.bad("kind", f"{kind!r}", found)
        number = self.integer(format_field)
        if number > 1:
            raise UnsupportedError(
                message("reading a document", path=path, expected="format 1", got=f"format {number}",
                        todo="use a newer version of tableformat")
            )  # fmt: skip
        if number != 1:
            raise self.bad(format_field, "1", number)

    def bad(self, field: str, expected: str, got: object) -> FormatError:
        """The error for `field`."""
        return FormatError(
            message("reading a document", path=self._path, expected=f"{field}: {expected}", got=ascii(got)[:120])
        )

    def take(self, field: str) -> Any:
        """The value of `field`, which has to be there."""
        if field not in self._left:
            raise self.bad(field, "this field", "no such field")
        return self._left.pop(field)

    def text(self, field: str, *, longest: int | None = None) -> str:
        """A string."""
        value = self.take(field)
        if not isinstance(value, str) or (longest is not None and len(value) > longest):
            raise self.bad(field, "text" if longest is None else f"text of at most {longest} characters", value)
        return value

    def integer(self, field: str) -> int:
        """An integer from 0 to 2^53 - 1."""
        value = self.take(field)
        if not _is_count(value):
            raise self.bad(field, "an integer from 0 to 2^53 - 1", value)
        return int(value)

    def integer_or_none(self, field: str) -> int | None:
        """`integer`, or null."""
        return None if self._is_null(field) else self.integer(field)

    def digest(self, field: str) -> str:
        """`sha256:` and 64 lower-case hex digits."""
        value = self.take(field)
        if not isinstance(value, str) or not is_digest(value):
            raise self.bad(field, "sha256: and 64 lower-case hex digits", value)
        return value

    def digest_or_none(self, field: str) -> str | None:
        """`digest`, or null."""
        return None if self._is_null(field) else self.digest(field)

    def id(self, field: str) -> str:
        """32 lower-case hex digits."""
        return self.match(field, _ID, "32 lower-case hex digits")

    def time(self, field: str) -> str:
        """A time as `utc_text` writes it."""
        return self.match(field, _TIME, "a time such as 2026-11-22T09:00:00.000000Z")

    def match(self, field: str, pattern: re.Pattern[str], expected: str) -> str:
        """A string that `pattern` matches whole."""
        value = self.take(field)
        if not isinstance(value, str) or pattern.fullmatch(value) is None:
            raise self.bad(field, expected, value)
        return value

    def text_or_none(self, field: str, pattern: re.Pattern[str], expected: str) -> str | None:
        """`match`, or null."""
        return None if self._is_null(field) else self.match(field, pattern, expected)

    def object(self, field: str) -> JsonObject:
        """An object."""
        value = self.take(field)
        if not isinstance(value, dict):
            raise self.bad(field, "an object", value)
        return value

    def objects(self, field: str) -> list[JsonObject]:
        """A list of objects."""
        value = self.take(field)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.bad(field, "a list of objects", value)
        return value

    def requires(self, field: str = "requires") -> Requires:
        """The features that a reader and a writer have to know."""
        value = self.object(field)
        return Requires(self._features(field, value, "read"), self._features(field, value, "write"))

    def rest(self) -> JsonObject:
        """The fields that were not taken."""
        return self._left

    def _features(self, field: str, value: JsonObject, side: str) -> tuple[str, ...]:
        names: object = value.get(side)
        if not isinstance(names, list) or not all(isinstance(name, str) and _FEATURE.fullmatch(name) for name in names):
            raise self.bad(f"{field}.{side}", "a list of names of features", names)
        return tuple(names)

    def _is_null(self, field: str) -> bool:
        """Whether `field` is there and null; then it is taken."""
        is_null = field in self._left and self._left[field] is None
        if is_null:
            del self._left[field]
        return is_null


def check_counts(fields: Fields, field: str, value: JsonObject, names: Iterable[str]) -> None:
    """Those of `names` that stand in `value`, itself the value of `field`, have to be integers from 0 to 2^53 - 1."""
    for name in names:
        if name in value and not _is_count(value[name]):
            raise fields.bad(f"{field}.{name}", "an integer from 0 to 2^53 - 1", value[name])


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_INTEGER
