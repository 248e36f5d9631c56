"""All that is wrong with rows that do not fit, column by column: an error names every column at fault at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tableformat.errors import InvalidInputError, Problem, SchemaError, message

__all__ = ["with_all_faults"]


def with_all_faults(
    error: InvalidInputError, names: Iterable[str], fault_of: Callable[[str], InvalidInputError | None], table: str
) -> InvalidInputError:
    """`error`, or one that lists the faults of all columns `names`, where more than one has any. `fault_of` tries one."""
    problems = []
    for name in names:
        fault = fault_of(name)
        if fault is not None:
            problems.append(Problem(name, str(fault.args[0]), fault.kind))
    if len(problems) < 2:
        return error
    return SchemaError(
        message(f"writing table {table!r}", expected="columns that fit it", got=f"{len(problems)} columns that do not"),
        problems,
    )
