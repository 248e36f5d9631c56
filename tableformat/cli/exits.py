"""Exit codes: one for each thing that a script does next. They are added to, never changed."""

from __future__ import annotations

from typing import Final

from tableformat import errors

__all__ = ["EXIT_CODES", "Exit", "exit_code_of", "exit_table"]


class Exit:
    """The codes by name."""

    OK: Final = 0
    UNEXPECTED: Final = 1
    USAGE: Final = 2
    NOT_FOUND: Final = 3
    INVALID: Final = 4
    DAMAGED: Final = 5
    CONFLICT: Final = 6
    BACKEND: Final = 7
    REFUSED: Final = 8
    MISSING_EXTRA: Final = 9
    PARTIAL: Final = 10
    INTERRUPTED: Final = 130
    BROKEN_PIPE: Final = 141


EXIT_CODES: Final[tuple[tuple[int, str, tuple[type[errors.TableformatError], ...]], ...]] = (
    (Exit.OK, "done; verify: nothing is wrong", ()),
    (Exit.UNEXPECTED, "an error that nobody foresaw; --debug shows where", (errors.TableformatError,)),
    (Exit.USAGE, "wrong arguments, or a command that does not fit what it was used on", (errors.UsageError,)),
    (Exit.NOT_FOUND, "no such store, artifact, version, alias, entry, column or file", (errors.NotFoundError,)),
    (
        Exit.INVALID,
        "something given cannot be stored or taken: data, keys, media, names, a target that exists",
        (errors.InvalidInputError, errors.ExistsError),
    ),
    (Exit.DAMAGED, "the store is damaged, of a newer format, or none", (errors.FormatError,)),
    (
        Exit.CONFLICT,
        "another writer changed the same, or it is not known whether the version was committed",
        (errors.CommitError,),
    ),
    (Exit.BACKEND, "the place of the bytes failed: disk full, no permission, no answer", (errors.BackendError,)),
    (
        Exit.REFUSED,
        "a reference leads where it was not allowed, or a bound would be passed",
        (errors.AccessRefusedError, errors.LimitError),
    ),
    (Exit.MISSING_EXTRA, "an optional package is not installed", (errors.MissingExtraError,)),
    (Exit.PARTIAL, "some of many could not be done, and were told; the others were", ()),
    (Exit.INTERRUPTED, "interrupted from the keyboard", ()),
    (Exit.BROKEN_PIPE, "the reader of the output went away", ()),
)
"""Each code, what it means, and the errors it stands for; the first row after `TableformatError` itself that fits decides."""


def exit_code_of(error: BaseException) -> int:
    """The exit code of an error."""
    for code, _, kinds in reversed(EXIT_CODES):
        if isinstance(error, kinds):
            return code
    return Exit.UNEXPECTED


def exit_table() -> str:
    """The table for people."""
    return "\n".join(f"  {code:>3}  {text}" for code, text, _ in EXIT_CODES)
