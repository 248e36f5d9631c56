"""The exceptions of the library, arranged by what the caller does next.

    TableformatError                      catch this for everything below
    ├── FormatError (ValueError)          bytes in the store are not what the spec says: do not trust them
    │   ├── CorruptError                  bytes differ from their digest, checksum or recorded length: repair or restore
    │   │   └── ReferenceChangedError     what a reference points at is another object by now: refer again, or restore it
    │   ├── NotAStoreError                there is no store here, or something else: check the URL
    │   └── UnsupportedError              a newer format or an unknown feature: upgrade the library
    ├── NotFoundError (KeyError)          no such store, artifact, version, alias, entry, column or blob: fix the name
    │   └── ErasedError                   it was erased from the store for good: nothing can be done, and nothing is damaged
    ├── ExistsError (FileExistsError)     the name is taken: choose another, or say replace
    ├── InvalidInputError (ValueError)    what the caller gave cannot be stored: fix the data; `problems` lists all
    │   ├── SchemaError (TypeError)       a value or column does not fit the schema
    │   ├── KeyValueError                 duplicate, null or NaN keys
    │   ├── IllegalNameError              a name that the grammar of names refuses
    │   └── MediaError                    an image, sound or other media that is unreadable or truncated
    ├── CommitError                       the version was not published, or it is not known whether it was
    │   ├── ConflictError                 another writer changed the same thing: draft again from the newest version
    │   └── CommitStateUnknownError       nobody can tell yet: look again later; nothing was deleted
    ├── BackendError (OSError)            the place where the bytes lie failed
    │   ├── StoreFullError                no space left: free some and try again
    │   ├── StorePermissionError (PermissionError)   not allowed there: check rights and credentials
    │   └── StoreUnavailableError         timeouts, connections, server errors: try again later
    ├── AccessRefusedError (PermissionError)  a reference leads where the caller did not allow
    ├── LimitError                        a bound on memory, nesting or size would be passed: raise the limit on purpose
    ├── UsageError (RuntimeError)         the call does not fit the state of the object, such as a closed writer
    └── MissingExtraError (ImportError)   an optional dependency is not installed: install the named extra

Each class has a stable `kind`; kinds are added, never changed. A message says what was being done, to which path and
byte range, what was expected and found, and what to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "AccessRefusedError",
    "BackendError",
    "CommitError",
    "CommitStateUnknownError",
    "ConflictError",
    "CorruptError",
    "ErasedError",
    "ExistsError",
    "FormatError",
    "IllegalNameError",
    "InvalidInputError",
    "KeyValueError",
    "LimitError",
    "MediaError",
    "MissingExtraError",
    "NotAStoreError",
    "NotFoundError",
    "Problem",
    "ReferenceChangedError",
    "SchemaError",
    "StoreFullError",
    "StorePermissionError",
    "StoreUnavailableError",
    "TableformatError",
    "UnsupportedError",
    "UsageError",
    "message",
]


_SECRETS = re.compile(
    r"(://)[^/\s@'\"#:]*:[^/\s@'\"#]*(?=@)"
    r"|([?&][\w.-]*(?:credential|key|passw|secret|sig|token)[\w.-]*=)[^&\s'\"]+",
    re.IGNORECASE,
)
"""The user-info of a URL with a password, and arguments of a query that are as good as one."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and where."""

    place: str
    """Where it is: a column, `row 12, column 'image'`, a JSON path such as `entries.train.parts[3]`."""
    text: str
    """What is wrong there, in one sentence."""
    kind: str = "invalid"
    """A stable word for the sort of problem."""

    def __str__(self) -> str:
        return f"{self.place}: {self.text}" if self.place else self.text


def message(
    doing: str,
    *,
    path: str | None = None,
    byte_range: tuple[int, int] | None = None,
    expected: object = None,
    got: object = None,
    todo: str | None = None,
) -> str:
    """Compose an error message: what was being done · to what · expected, got · what to do.

    Passwords and signatures in URLs are left out, whoever put them there.
    """
    pieces = [doing]
    if path is not None:
        pieces.append(path if byte_range is None else f"{path} bytes {byte_range[0]}–{byte_range[1]}")
    if expected is not None or got is not None:
        wanted = [f"expected {expected}"] if expected is not None else []
        found = [f"got {got}"] if got is not None else []
        pieces.append(", ".join(wanted + found))
    if todo is not None:
        pieces.append(todo)
    return _SECRETS.sub(r"\1\2…", " · ".join(pieces))


class TableformatError(Exception):
    """Base of every exception that this library raises on purpose."""

    kind: ClassVar[str] = "error"

    def __str__(self) -> str:
        # KeyError would show the repr of its argument; a message is prose and is shown as it is.
        return str(self.args[0]) if self.args else type(self).__name__


class FormatError(TableformatError, ValueError):
    """Bytes that do not follow the specification."""

    kind = "format"


class CorruptError(FormatError):
    """Bytes that differ from the digest, checksum or length recorded for them."""

    kind = "corrupt"


class ReferenceChangedError(CorruptError):
    """What a reference points at is not what it was when it was referred to."""

    kind = "reference-changed"


class NotAStoreError(FormatError):
    """The place holds no store, or something that is not one."""

    kind = "not-a-store"


class UnsupportedError(FormatError):
    """A format version or a feature that this library does not know."""

    kind = "unsupported"


class NotFoundError(TableformatError, KeyError):
    """A store, artifact, version, alias, entry, column or blob that does not exist."""

    kind = "not-found"


class ErasedError(NotFoundError):
    """Bytes that were erased from the store on purpose, such as personal data."""

    kind = "erased"


class ExistsError(TableformatError, FileExistsError):
    """A name that is taken already."""

    kind = "exists"


class InvalidInputError(TableformatError, ValueError):
    """Something that the caller gave cannot be stored as it is."""

    kind = "invalid"

    def __init__(self, text: str, problems: Iterable[Problem] = ()) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        """Everything found wrong, where there was more to say than `text`."""
        listed = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(text + listed)

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        # Pickled across processes with its list, which `args` does not hold.
        return type(self), (str(self).split("\n  ", 1)[0], self.problems)


class SchemaError(InvalidInputError, TypeError):
    """A value or a column that does not fit the schema."""

    kind = "schema"


class KeyValueError(InvalidInputError):
    """Keys that are duplicate, null or NaN."""

    kind = "key"


class IllegalNameError(InvalidInputError):
    """A name that the grammar of names refuses."""

    kind = "name"


class MediaError(InvalidInputError):
    """Media that is unreadable, truncated or not what it claims to be."""

    kind = "media"


class CommitError(TableformatError):
    """A version that was not published, or of which that is not known."""

    kind = "commit"


class ConflictError(CommitError):
    """Two writers changed the same thing."""

    kind = "conflict"


class CommitStateUnknownError(CommitError):
    """The store did not say whether the commit took place, and could not be asked."""

    kind = "commit-unknown"


class BackendError(TableformatError, OSError):
    """The file system or bucket under the store failed."""

    kind = "backend"


class StoreFullError(BackendError):
    """There is no space, or no quota, left where the store lies."""

    kind = "full"


class StorePermissionError(BackendError, PermissionError):
    """The file system or bucket does not allow the operation."""

    kind = "permission"


class StoreUnavailableError(BackendError):
    """Timeouts, broken connections and server errors: the same call may succeed later."""

    kind = "unavailable"


class AccessRefusedError(TableformatError, PermissionError):
    """A reference leads outside of what the caller allowed."""

    kind = "refused"


class LimitError(TableformatError):
    """A bound on memory, nesting, count or size would be passed."""

    kind = "limit"


class UsageError(TableformatError, RuntimeError):
    """A call that does not fit the state of the object."""

    kind = "usage"


class MissingExtraError(TableformatError, ImportError):
    """An optional dependency is not installed."""

    kind = "missing-extra"

    def __init__(self, doing: str, package: str, extra: str) -> None:
        self._parts = (doing, package, extra)
        super().__init__(
            message(doing, expected=f"the package {package!r}", got="it is not installed",
                    todo=f"pip install 'tableformat[{extra}]'")
        )  # fmt: skip

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), self._parts
