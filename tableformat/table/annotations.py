"""What is said about media, as columns beside them: boxes, masks, captions and class sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

from tableformat.errors import SchemaError, message
from tableformat.format.media.kinds import SIBLING_ROLES
from tableformat.format.types import Field, MediaType, Where, sibling_column_type, sibling_name
from tableformat.format.types.names import fold

__all__ = ["annotation_fields", "annotation_values", "box_rows", "check_class_ids"]


def annotation_fields(media: Field, values: Sequence[Any], beside: Sequence[Field]) -> list[Field]:
    """The fields that `values`, those of `media`, ask for among the fields `beside` it, and that are not there yet.

    None where `media` is no media field. Raises `SchemaError` where another field stands in the way.
    """
    if not isinstance(media.type, MediaType):
        return []
    there = {field.annotates[1] for field in beside if field.annotates is not None and field.annotates[0] == media.name}
    taken = {fold(field.name) for field in beside}
    found = []
    present = [value for value in values if value is not None]
    for role in SIBLING_ROLES:
        if role not in there and not _is_silent(role, present) and any(map(_has(role), present)):
            name = sibling_name(media.name, role)
            if fold(name) in taken:
                raise SchemaError(
                    message(f"storing column {media.name!r}", expected=f"{name!r} to be free for the {role} of its media",
                            got="another column of that name", todo="rename one of them")
                )  # fmt: skip
            found.append(Field(name, sibling_column_type(role), annotates=(media.name, role)))
    return found


def _is_silent(role: str, present: Sequence[Any]) -> bool:
    """Whether media surely say nothing in `role`: looked up without a Python call for each, since most never do."""
    try:
        return list(map(_SLOTS[role], present)).count(None) == len(present)
    except AttributeError:  # other values, or media of a kind that cannot say it
        return False


_SLOTS: Final = {role: attrgetter(f"_{role}") for role in SIBLING_ROLES}


def _has(role: str) -> Callable[[Any], bool]:
    name = "classes_digest" if role == "classes" else role  # the set itself may have to be fetched

    def test(value: Any) -> bool:
        said = getattr(value, name, None)
        # Images without boxes say so by an empty mapping.
        return said is not None and (role not in _LAYERED or len(said) > 0)

    return test


_LAYERED: Final = ("boxes", "masks")


def annotation_values(role: str, values: Sequence[Any]) -> list[Any]:
    """What each of `values`, media or None, says in `role`; None where it says nothing."""
    said = [getattr(value, role, None) for value in values]
    if role not in _LAYERED:
        return said
    return [
        None if one is None or not (len(one) or getattr(value, f"has_{role}", False)) else one
        for one, value in zip(said, values, strict=True)
    ]


def box_rows(layers: Mapping[str, Sequence[Any]] | None) -> dict[str, list[Any]] | None:
    """Layers of boxes, or of the dicts of their storage struct, as such dicts."""
    if layers is None:
        return None
    return {
        layer: [box if box is None or isinstance(box, Mapping) else box.to_fields() for box in boxes]
        for layer, boxes in layers.items()
    }


def check_class_ids(type_: MediaType, values: Sequence[Any], where: Where, known_ids: Callable[[str], Any]) -> None:
    """Raise `SchemaError` for a box whose class is not in the set of its layer, or in the one its image names."""
    if not type_.strict:
        return
    for index, value in enumerate(values):
        if value is None:
            continue
        for layer, boxes in (getattr(value, "boxes", None) or {}).items():
            own = getattr(value, "classes", None)
            digest = type_.class_set(layer)
            known = own if own is not None and not isinstance(own, str) else known_ids(digest) if digest else None
            if known is None:
                continue
            for box in boxes:
                class_id = getattr(box, "class_id", None)
                if class_id is not None and class_id not in known:
                    where.fail(
                        index, expected="an id of the class set", got=f"{class_id} in layer {layer!r}",
                        todo="add it to the set, or declare strict=False",
                    )  # fmt: skip
