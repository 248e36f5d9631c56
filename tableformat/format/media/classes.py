"""Class sets: what the numbers in labels, boxes and masks mean. A document of its own, named by its digest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tableformat.digest import Bytes, digest_of
from tableformat.document import JsonObject, decode_document, encode_document
from tableformat.errors import FormatError, InvalidInputError, NotFoundError, UnsupportedError, message

__all__ = ["Classes"]

_FORMAT: Final = 1
_MAX_ID: Final = 2**53 - 1
"""Ids are integers of a JSON document; labels of 64 bits that pass it name no class."""


class Classes:
    """A set of classes, each with a whole number and a name, and whatever else was given with it.

    Made from a mapping of id → name, a list of names (numbered from 0), or a list of `{"id": …, "name": …, …}`. Equal
    sets have equal documents and one digest, in whatever order they were given. Iterates over the ids, ascending.
    Raises `InvalidInputError` for an id given twice, or that is no integer.
    """

    __slots__ = ("_digest", "_document", "_extra", "_ids", "_names")

    def __init__(self, classes: Mapping[int, str] | Iterable[str] | Iterable[Mapping[str, Any]]) -> None:
        names: dict[int, str] = {}
        extras: dict[int, dict[str, Any]] = {}
        for id_, name, extra in _pairs(classes):
            if id_ in names:
                raise InvalidInputError(
                    message("making Classes", expected="each id once", got=f"{id_} for {names[id_]!r} and {name!r}")
                )
            names[id_] = name
            if extra:
                extras[id_] = extra
        self._names = {id_: names[id_] for id_ in sorted(names)}
        self._extra = extras
        self._ids: npt.NDArray[np.int64] | None = None
        self._document: bytes | None = None
        self._digest: str | None = None

    @classmethod
    def decode(cls, data: Bytes, path: str = "classes") -> Classes:
        """The classes of a document on disk; raises `FormatError` for any other bytes."""
        return cls.from_json(decode_document(data, path), path)

    @classmethod
    def from_json(cls, document: JsonObject, path: str = "classes") -> Classes:
        """The classes of a decoded document. Raises `FormatError`, or `UnsupportedError` for a later format."""
        doing = "reading a class set"
        if document.get("kind") != "classes":
            raise FormatError(message(doing, path=path, expected="kind 'classes'", got=repr(document.get("kind"))[:40]))
        if document.get("format") != _FORMAT or isinstance(document.get("format"), bool):
            raise UnsupportedError(
                message(doing, path=path, expected=f"format {_FORMAT}", got=repr(document.get("format"))[:40],
                        todo="open it with a later version of tableformat")
            )  # fmt: skip
        listed = document.get("classes")
        if not isinstance(listed, list):
            raise FormatError(message(doing, path=path, expected="a list of classes", got=type(listed).__name__))
        entries: list[dict[str, Any]] = []
        last: int | None = None
        for index, item in enumerate(listed):
            place = f"{path} classes[{index}]"
            if not isinstance(item, dict) or not isinstance(item.get("name"), str):
                raise FormatError(
                    message(doing, path=place, expected="an object with id and name", got=repr(item)[:60])
                )
            id_ = item.get("id")
            if not isinstance(id_, int) or isinstance(id_, bool) or (last is not None and id_ <= last):
                raise FormatError(message(doing, path=place, expected="integer ids, ascending", got=repr(id_)[:40]))
            last = id_
            entries.append({"id": id_, "name": item["name"], **_extra_of(item.get("extra"), place)})
        return cls(entries)

    def to_json(self) -> JsonObject:
        """The document: ids ascending; what was given beside id and name stands as JSON text in `extra`."""
        listed: list[dict[str, Any]] = []
        for id_, name in self._names.items():
            item: dict[str, Any] = {"id": id_, "name": name}
            if id_ in self._extra:
                item["extra"] = json.dumps(self._extra[id_], sort_keys=True, separators=(",", ":"), allow_nan=False)
            listed.append(item)
        return {"kind": "classes", "format": _FORMAT, "classes": listed}

    def encode(self) -> bytes:
        """The canonical bytes of the document."""
        if self._document is None:
            self._document = encode_document(self.to_json())
        return self._document

    @property
    def digest(self) -> str:
        """`sha256:<hex>` of the document: what cells and columns hold."""
        if self._digest is None:
            self._digest = digest_of(self.encode())
        return self._digest

    @property
    def names(self) -> Mapping[int, str]:
        """id → name, ids ascending."""
        return MappingProxyType(self._names)

    def name_of(self, class_id: int) -> str:
        """The name of an id; `NotFoundError` where the set has none."""
        try:
            return self._names[class_id]
        except KeyError:
            raise NotFoundError(message("naming a class", expected=f"an id of {self!r}", got=class_id)) from None

    def id_of(self, name: str) -> int:
        """The id of a name; `NotFoundError` where no class has it, `InvalidInputError` where several have."""
        found = [id_ for id_, other in self._names.items() if other == name]
        if len(found) > 1:
            raise InvalidInputError(message("finding a class", got=f"{name!r} is the name of the ids {found[:10]}"))
        if not found:
            import difflib

            near = difflib.get_close_matches(name, self._names.values(), 3)
            raise NotFoundError(
                message("finding a class", got=repr(name), todo=f"did you mean {', '.join(near)}?" if near else None)
            )
        return found[0]

    def extra_of(self, class_id: int) -> Mapping[str, Any]:
        """What was given beside id and name (a colour, say)."""
        self.name_of(class_id)
        return MappingProxyType(self._extra.get(class_id, {}))

    def missing(self, ids: Iterable[int] | npt.NDArray[Any]) -> list[int]:
        """Those of `ids` that are no class of this set, each once, ascending. Whole numpy arrays are one operation."""
        if isinstance(ids, np.ndarray):
            if self._ids is None:
                self._ids = np.fromiter(self._names, np.int64, len(self._names))
            distinct = np.unique(ids)
            return [int(value) for value in distinct[~np.isin(distinct, self._ids)]]
        return sorted({int(value) for value in ids if value not in self._names})

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[int]:
        return iter(self._names)

    def __contains__(self, class_id: object) -> bool:
        return class_id in self._names

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Classes):
            return NotImplemented
        return self._names == other._names and self._extra == other._extra

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        shown = ", ".join(f"{id_}: {name!r}" for id_, name in list(self._names.items())[:3])
        return f"Classes({{{shown}{', …' if len(self) > 3 else ''}}})"


def _pairs(classes: Any) -> Iterator[tuple[int, str, dict[str, Any]]]:
    doing = "making Classes"
    if isinstance(classes, Classes):
        classes = [{"id": id_, "name": name, **classes.extra_of(id_)} for id_, name in classes.names.items()]
    if isinstance(classes, Mapping):
        for id_, name in classes.items():
            yield _id(id_), _name(name, doing), {}
        return
    if isinstance(classes, str | bytes) or not isinstance(classes, Iterable):
        raise InvalidInputError(message(doing, expected="a mapping or a list", got=type(classes).__name__))
    for index, item in enumerate(classes):
        if isinstance(item, Mapping):
            if "id" not in item or "name" not in item:
                raise InvalidInputError(message(doing, expected="'id' and 'name' in each class", got=repr(item)[:100]))
            extra = {str(key): value for key, value in item.items() if key not in {"id", "name"}}
            yield _id(item["id"]), _name(item["name"], doing), _checked(extra, doing)
        else:
            yield index, _name(item, doing), {}


def _id(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit():
        value = int(value)  # JSON objects have no other keys
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or abs(int(value)) > _MAX_ID:
        raise InvalidInputError(
            message("making Classes", expected="whole numbers below 2^53 as ids", got=repr(value)[:60],
                    todo="number the classes and keep the old id as another key")
        )  # fmt: skip
    return int(value)


def _name(value: object, doing: str) -> str:
    if not isinstance(value, str):
        raise InvalidInputError(message(doing, expected="text as a name", got=repr(value)[:60]))
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidInputError(message(doing, expected="text as a name", got="a lone surrogate")) from error
    return str(value)


def _checked(extra: dict[str, Any], doing: str) -> dict[str, Any]:
    try:
        again: dict[str, Any] = json.loads(json.dumps(extra, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(message(doing, expected="further keys as JSON", got=str(error)[:100])) from error
    return again


def _extra_of(text: object, place: str) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or "id" in value or "name" in value:
        raise FormatError(
            message("reading a class set", path=place, expected="an object as JSON text in extra", got=repr(text)[:60])
        )
    return value
