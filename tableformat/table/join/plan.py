"""Which way a join is read: chosen from what its sides are, without reading their rows. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from tableformat.table.join.pairs import How
from tableformat.table.join.sides import SideFacts

__all__ = ["STRATEGIES", "Plan", "Strategy", "budget_of", "can_align", "can_merge", "choose"]

Strategy = Literal["aligned", "merge", "lookup", "pages", "spill"]
STRATEGIES: Final[tuple[Strategy, ...]] = ("aligned", "merge", "lookup", "pages", "spill")

_FRACTION: Final = (
    0.5  # of the budget that is held for good; the rest is for batches on their way, and for estimates that fail
)
_MAX_HELD_BYTES: Final = 1 << 30  # text columns of one batch end at 2 GiB
_PAGE_ROWS: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Plan:
    """One way to read a join."""

    strategy: Strategy
    reason: str
    """Why, in words."""


def choose(how: How, left: SideFacts, right: SideFacts, memory: int, *, comparable: bool) -> Plan:
    """The plan for two sides and a budget of memory in bytes; `comparable` says whether keys have one order on both sides."""
    if can_align(left, right):
        return Plan("aligned", "both have the same sequence of unique keys: rows meet by position")
    if can_merge(left, right, comparable=comparable):
        return Plan("merge", "both are sorted by the key: one pass over each, side by side")
    held = held_bytes(right)
    if held <= budget_of(memory):
        return Plan(
            "lookup",
            f"the right side takes about {_mib(held)} of the {_mib(memory)} that may be used: it is held, the left streams past",
        )
    if left.rows is not None and left.rows <= _PAGE_ROWS and how not in ("right", "outer"):
        return Plan(
            "pages",
            f"the left side has {left.rows:,} rows: they are held, and the rows that they meet are looked for on the right",
        )
    told = "an unknown number of rows" if right.rows is None else f"about {_mib(held)}"
    return Plan(
        "spill", f"the right side takes {told}, more than fits in {_mib(memory)}: DuckDB joins and spills to disk"
    )


def can_align(left: SideFacts, right: SideFacts) -> bool:
    """Whether row n of one meets row n of the other, and no other."""
    return left.key_digest is not None and left.key_digest == right.key_digest and left.rows == right.rows


def can_merge(left: SideFacts, right: SideFacts, *, comparable: bool) -> bool:
    """Whether both come in ascending order of keys that are unique."""
    return comparable and all(side.is_sorted and side.is_unique for side in (left, right))


def held_bytes(side: SideFacts) -> float:
    """What a side takes when it is held with an index of its keys."""
    return side.bytes + (side.rows or 0) * side.index_row_bytes


def budget_of(memory: int) -> float:
    """How much of the memory a side may take that is held."""
    return min(memory * _FRACTION, _MAX_HELD_BYTES)


def _mib(size: float) -> str:
    return f"{size / (1 << 20):,.0f} MiB" if size >= 1 << 20 else f"{max(size, 0) / 1024:,.0f} KiB"
