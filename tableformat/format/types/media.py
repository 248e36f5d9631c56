"""Types that speak of media and classes: what a cell shows, and which class set names its ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from tableformat.digest import is_digest
from tableformat.document import Json, JsonObject
from tableformat.errors import SchemaError, message
from tableformat.format.media.kinds import SIBLING_ROLES, cell_type, check_kind, sibling_type
from tableformat.format.types.base import ColumnType, Field
from tableformat.format.types.nested import ListType, MapType, StructType
from tableformat.format.types.scalar import SIMPLE, ScalarType

__all__ = [
    "AudioType",
    "ClassType",
    "FileType",
    "HtmlType",
    "ImageType",
    "MediaType",
    "MoleculeType",
    "Object3DType",
    "PlotlyType",
    "VideoType",
    "sibling_column_type",
    "sibling_name",
]

CLASS_STORAGE: Final = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
"""The types in which class ids may be stored."""


@dataclass(frozen=True, slots=True, init=False)
class ClassType(ColumnType):
    """Class ids, whose names stand in a class set that the schema names by digest.

    `classes` is a `Classes` object, which the writer stores, or the digest of one that the store has. An id outside of the
    set is an error at write unless `strict` is false.
    """

    classes: str
    """The digest of the class set."""
    id_type: str
    """The integer type of the ids, one of `CLASS_STORAGE`."""
    strict: bool
    source: Any = field(compare=False, repr=False)
    """The `Classes` object given, if one was: not part of the value."""

    def __init__(self, classes: Any, storage: Any = "int64", strict: bool = True) -> None:
        digest, source = _class_set(classes)
        if digest is None:
            raise SchemaError(
                message("declaring a column of classes", expected="a Classes object or its digest", got=classes)
            )
        name = str(storage)
        if name not in CLASS_STORAGE:
            raise SchemaError(message("declaring a column of classes", expected=" | ".join(CLASS_STORAGE), got=storage))
        object.__setattr__(self, "classes", digest)
        object.__setattr__(self, "id_type", name)
        object.__setattr__(self, "strict", bool(strict))
        object.__setattr__(self, "source", source)

    def storage(self) -> pa.DataType:
        return SIMPLE[self.id_type]

    @property
    def is_plain(self) -> bool:
        return False

    def to_json(self) -> Json:
        value: JsonObject = {"classes": self.classes, "storage": self.id_type}
        if not self.strict:
            value["strict"] = False
        return {"class": value}


@dataclass(frozen=True, slots=True, init=False)
class MediaType(ColumnType):
    """Media of one kind: the frozen struct of spec/media.md in Parquet.

    `classes` names the ids of boxes and masks: one class set for all layers, or a mapping of layer to class set, in which
    the empty string stands for every other layer. Sets are `Classes` objects or digests.
    """

    media: str
    """One of `MEDIA_KINDS`."""
    classes: str | None
    """The digest of the class set of all layers that `layers` does not name."""
    layers: tuple[tuple[str, str], ...]
    """Pairs of a layer and the digest of its class set, sorted."""
    strict: bool
    """Whether an id outside of the class set is an error at write."""
    sources: tuple[Any, ...] = field(compare=False, repr=False)
    """The `Classes` objects given, if any were: not part of the value."""

    def __init__(self, media: str, classes: Any = None, strict: bool = True) -> None:
        sets: dict[str, Any] = {}
        # A mapping of ids to names is no declaration of layers: keys must be text.
        if isinstance(classes, Mapping) and not hasattr(classes, "digest"):
            if not all(isinstance(layer, str) for layer in classes):
                raise SchemaError(
                    message(
                        "declaring media",
                        expected="layer names as keys",
                        got=repr(classes)[:80],
                        todo="wrap ids and names in Classes(…)",
                    )
                )
            sets = {layer: _class_set(value) for layer, value in classes.items()}
        elif classes is not None:
            sets = {"": _class_set(classes)}
        if any(digest is None for digest, _ in sets.values()):
            raise SchemaError(
                message("declaring media", expected="Classes, a digest, or a mapping of layer to one", got=classes)
            )
        object.__setattr__(self, "media", check_kind(media))
        object.__setattr__(self, "classes", sets[""][0] if "" in sets else None)
        object.__setattr__(
            self, "layers", tuple(sorted((layer, digest) for layer, (digest, _) in sets.items() if layer))
        )
        object.__setattr__(self, "strict", bool(strict))
        object.__setattr__(self, "sources", tuple(source for _, source in sets.values() if source is not None))

    def storage(self) -> pa.DataType:
        return cell_type(self.media)

    @property
    def is_plain(self) -> bool:
        return False

    def class_set(self, layer: str) -> str | None:
        """The digest of the class set that names the ids of `layer`."""
        return dict(self.layers).get(layer, self.classes)

    def to_json(self) -> Json:
        value: JsonObject = {"media": self.media}
        if self.classes is not None:
            value["classes"] = self.classes
        if self.layers:
            # A list and no object: layers are any text, and the keys of canonical documents are ASCII.
            value["layers"] = [{"layer": layer, "classes": digest} for layer, digest in self.layers]
        if not self.strict:
            value["strict"] = False
        return value


def _class_set(classes: Any) -> tuple[str | None, Any]:
    """The digest of a class set, and the object where one was given."""
    if isinstance(classes, str):
        return (classes, None) if is_digest(classes) else (None, None)
    digest = getattr(classes, "digest", None)
    return (digest, classes) if is_digest(digest) else (None, None)


def ImageType(classes: Any = None, *, strict: bool = True) -> MediaType:  # noqa: N802 - reads as a type where it is used
    """The type of a column of images; `classes` names the ids of their boxes and masks."""
    return MediaType("image", classes, strict)


def AudioType() -> MediaType:  # noqa: N802
    """The type of a column of sounds."""
    return MediaType("audio")


def VideoType(classes: Any = None, *, strict: bool = True) -> MediaType:  # noqa: N802
    """The type of a column of videos."""
    return MediaType("video", classes, strict)


def HtmlType() -> MediaType:  # noqa: N802
    """The type of a column of HTML pages."""
    return MediaType("html")


def Object3DType() -> MediaType:  # noqa: N802
    """The type of a column of 3-D objects."""
    return MediaType("object3d")


def MoleculeType() -> MediaType:  # noqa: N802
    """The type of a column of molecules."""
    return MediaType("molecule")


def PlotlyType() -> MediaType:  # noqa: N802
    """The type of a column of Plotly figures."""
    return MediaType("plotly")


def FileType() -> MediaType:  # noqa: N802
    """The type of a column of files of any kind."""
    return MediaType("file")


def sibling_name(column: str, role: str) -> str:
    """The name of the column that annotates the media column `column` in `role`."""
    return f"{column}_{role}"


def sibling_column_type(role: str) -> ColumnType:
    """The type of a column in `role`: masks are maps of images, the others are plain."""
    if role == "masks":
        return MapType(Field("key", ScalarType(pa.string()), nullable=False), Field("value", MediaType("image")))
    return _SIBLINGS[role]


def _box_layers() -> MapType:
    storage = sibling_type("boxes")
    fields = []
    for box_field in storage.item_type.value_type:
        if pa.types.is_map(box_field.type):
            key = Field("key", ScalarType(box_field.type.key_type), nullable=False)
            fields.append(Field(box_field.name, MapType(key, Field("value", ScalarType(box_field.type.item_type)))))
        else:
            fields.append(Field(box_field.name, ScalarType(box_field.type)))
    boxes = ListType(Field("element", StructType(tuple(fields))))
    return MapType(Field("key", ScalarType(pa.string()), nullable=False), Field("value", boxes))


_SIBLINGS: Final[dict[str, ColumnType]] = {
    role: _box_layers() if role == "boxes" else ScalarType(sibling_type(role))
    for role in SIBLING_ROLES
    if role != "masks"
}
