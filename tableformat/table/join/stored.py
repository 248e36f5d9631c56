"""The entry of a joined table in a manifest: what it names, and the joined table behind it (spec/joined.md, "Entry")."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tableformat.digest import check_digest, digest_of
from tableformat.document import JsonObject, encode_document
from tableformat.errors import FormatError, InvalidInputError, LimitError, message
from tableformat.format.documents import Fields, Requires, check_requires
from tableformat.format.schema import Schema
from tableformat.format.types.nearest import nearest
from tableformat.table.join.keys import key_pairs
from tableformat.table.join.pairs import KINDS, How

__all__ = ["FEATURE", "JoinDocument", "Target", "check_joins", "targets_of"]

FEATURE: Final = "joined-tables"
"""What a reader of the entry must know."""
MAX_DEPTH: Final = 16
"""Deepest nesting of joins inside joins."""
_FIELDS: Final = ("left", "right", "on", "how")


@dataclass(frozen=True, slots=True)
class Target:
    """One side of a joined table as it is stored."""

    path: str = ""
    """Name of an entry: of the same version, or of `artifact`."""
    artifact: str | None = None
    """Name of the artifact, in the same store; None for the same version."""
    digest: str | None = None
    """Digest of its version."""
    joined: JoinDocument | None = None
    """A join that stands here itself."""

    def to_json(self) -> JsonObject:
        """The form in a manifest."""
        if self.joined is not None:
            return {"joined": self.joined.to_json()}
        if self.artifact is None:
            return {"path": self.path}
        return {"artifact": self.artifact, "digest": self.digest, "path": self.path}

    def __str__(self) -> str:
        if self.joined is not None:
            return f"({self.joined.left} {self.joined.how} join {self.joined.right})"
        return self.path if self.artifact is None else f"{self.artifact}@{self.digest}/{self.path}"


@dataclass(frozen=True, slots=True)
class JoinDocument:
    """What a joined table is: its sides, its keys and its kind."""

    left: Target
    right: Target
    on: tuple[tuple[str, str], ...]
    how: How

    def to_json(self) -> JsonObject:
        """The form in a manifest."""
        return {
            "how": self.how,
            "left": self.left.to_json(),
            "on": [list(pair) for pair in self.on],
            "right": self.right.to_json(),
        }

    @property
    def content(self) -> str:
        """The content digest of the entry."""
        return digest_of(encode_document({"kind": "joined_table", **self.to_json()}))

    def fields(self) -> JsonObject:
        """The fields of the entry."""
        return {**self.to_json(), "requires": Requires((FEATURE,)).to_json()}

    @classmethod
    def from_json(cls, value: Any, path: str, depth: int = 0) -> JoinDocument:
        """Read the entry; raises `FormatError`, or `UnsupportedError` by name for features that are not known."""
        doing = "reading a joined table's entry"
        if depth > MAX_DEPTH:
            raise LimitError(message(doing, path=path, expected=f"at most {MAX_DEPTH} joins inside each other"))
        if not isinstance(value, dict):
            raise FormatError(message(doing, path=path, expected="an object", got=repr(value)[:100]))
        if depth == 0:
            requires = Fields({"format": 1, "requires": value.get("requires")}, path, None).requires()
            check_requires(requires, writing=False, path=path)
        if missing := [name for name in _FIELDS if name not in value]:
            raise FormatError(message(doing, path=path, expected=f"the field {missing[0]!r}", got="none"))
        on, how = value["on"], value["how"]
        if how not in KINDS:
            raise FormatError(message(doing, path=path, expected=f"how, one of {', '.join(KINDS)}", got=repr(how)[:60]))
        if not isinstance(on, list) or not on or not all(_is_pair(pair) for pair in on):
            raise FormatError(message(doing, path=path, expected="on, a list of pairs of columns", got=repr(on)[:100]))
        left, right = (_target(value[side], path, side, depth) for side in ("left", "right"))
        return cls(left, right, tuple((pair[0], pair[1]) for pair in on), how)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(name, str) for name in value)


def _target(value: Any, path: str, side: str, depth: int) -> Target:
    doing = f"reading the {side} side of a joined table's entry"
    if isinstance(value, dict) and value.keys() == {"joined"}:
        return Target(joined=JoinDocument.from_json(value["joined"], path, depth + 1))
    if not isinstance(value, dict) or not isinstance(value.get("path"), str) or not value["path"]:
        raise FormatError(
            message(doing, path=path, expected="a path, with artifact and digest or alone, or a join", got=repr(value)[:100])
        )  # fmt: skip
    if value.keys() == {"path"}:
        return Target(value["path"])
    if value.keys() != {"artifact", "digest", "path"} or not isinstance(value["artifact"], str):
        raise FormatError(message(doing, path=path, expected="artifact, digest and path", got=sorted(value)))
    return Target(value["path"], value["artifact"], check_digest(value["digest"], doing))


def targets_of(document: JoinDocument) -> Iterator[Target]:
    """The entries that a joined table reads, those of joins inside it included."""
    for side in (document.left, document.right):
        if side.joined is not None:
            yield from targets_of(side.joined)
        else:
            yield side


def check_joins(items: Mapping[str, JsonObject], doing: str) -> None:
    """See that each joined table among the entries of a version finds its sides there, and that none reads itself.

    Raises `InvalidInputError` naming the joined table and the side. Sides in other versions are not looked at: those do not
    change.
    """
    joins = {
        name: JoinDocument.from_json(item, name) for name, item in items.items() if item.get("kind") == "joined_table"
    }
    sound: set[str] = set()
    for name, document in joins.items():
        for target in targets_of(document):
            if target.artifact is None and (found := items.get(target.path, {}).get("kind")) not in (
                "table",
                "joined_table",
            ):
                raise InvalidInputError(
                    message(f"{doing} with joined table {name!r}", expected=f"a table {target.path!r} in the same version",
                            got="none" if found is None else f"an entry of kind {found}",
                            todo=f"keep it, or remove({name!r}) · {nearest(target.path, [one for one in items if one != name])}")
                )  # fmt: skip
        _check_cycle(name, joins, (), doing, sound)
        _check_keys(name, document, items, doing)


def _check_cycle(
    name: str, joins: Mapping[str, JoinDocument], within: tuple[str, ...], doing: str, sound: set[str]
) -> None:
    """`sound` are joins that were looked at, each once: chains that double at each step are as long as they have names."""
    if name in sound:
        return
    if name in within:
        raise InvalidInputError(
            message(
                f"{doing} with joined table {name!r}",
                expected="a join of other tables",
                got=" → ".join([*within, name]),
            )
        )
    if len(within) >= MAX_DEPTH:
        raise LimitError(
            message(f"{doing} with joined table {name!r}", expected=f"at most {MAX_DEPTH} joins that read each other")
        )
    for target in targets_of(joins[name]):
        if target.artifact is None and target.path in joins:
            _check_cycle(target.path, joins, (*within, name), doing, sound)
    sound.add(name)


def _check_keys(name: str, document: JoinDocument, items: Mapping[str, JsonObject], doing: str) -> None:
    schemas = []
    for target in (document.left, document.right):
        item = items.get(target.path) if target.artifact is None and target.joined is None else None
        if item is None or item["kind"] != "table":
            return
        schemas.append(Schema.from_json(item["schema"]))
    key_pairs([tuple(pair) for pair in document.on], schemas[0], schemas[1], f"{doing} with joined table {name!r}")
