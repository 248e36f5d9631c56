"""The declared types of a table's columns (`column_types`), in the words of every era, brought to one form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

__all__ = ["MEDIA_KINDS", "TIME_CLASSES", "Declared", "declared_columns", "read_declared"]

_LEGACY: Final = {
    "dictionary": "typedDict",
    "object": "pythonObject",
    "wandb.Image": "image-file",
    "wandb.Audio": "audio-file",
    "wandb.Video": "video-file",
    "wandb.Html": "html-file",
    "wandb.Object3D": "object3D-file",
    "wandb.Bokeh": "bokeh-file",
    "wandb.Classes_id": "classesId",
    "wandb.Table": "table",
    "wandb.JoinedTable": "joined-table",
    "wandb.PartitionedTable": "partitioned-table",
    "wandb.TablePrimaryKey": "primaryKey",
    "wandb.TableForeignKey": "foreignKey",
    "wandb.TableForeignIndex": "foreignIndex",
}
MEDIA_KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "image-file": "image",
        "audio-file": "audio",
        "video-file": "video",
        "html-file": "html",
        "object3D-file": "object3d",
        "molecule-file": "molecule",
        "plotly-file": "plotly",
        "bokeh-file": "file",
    }
)
"""The kinds of media of old, and ours."""
TIME_CLASSES: Final = frozenset({"datetime", "date", "datetime64", "Timestamp"})
"""Python classes that were written as times before there was a type for them, and some after."""
_MAX_DEPTH: Final = 64
_NONE: Final = "none"


@dataclass(frozen=True, slots=True)
class Declared:
    """One declared type. What no rule here knows has the name `unknown`."""

    name: str = "unknown"
    """The `wb_type` in its latest spelling; `union` only where two types beside none remain."""
    is_optional: bool = True
    """Whether null is allowed."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Its parameters, as they stand."""
    item: Declared | None = None
    """Of a list: the type of its elements."""
    fields: Mapping[str, Declared] = field(default_factory=dict)
    """Of a dict: the types by key."""

    @property
    def class_name(self) -> str:
        """Of a Python object: the name of its class."""
        return str(self.params.get("class_name", ""))

    @property
    def is_time(self) -> bool:
        """Whether values are times."""
        return self.name == "timestamp" or (self.name == "pythonObject" and self.class_name in TIME_CLASSES)


UNKNOWN: Final = Declared()


def declared_columns(value: Any) -> dict[str, Declared]:
    """The types by column, of the `column_types` of a table; empty for what is none."""
    return dict(read_declared(value).fields)


def read_declared(value: Any, depth: int = 0) -> Declared:
    """The type that a node of the JSON form says."""
    if not isinstance(value, Mapping) or depth > _MAX_DEPTH:
        return UNKNOWN
    name = value.get("wb_type")
    if not isinstance(name, str):
        return UNKNOWN
    name = _LEGACY.get(name, name)
    params = value.get("params")
    params = params if isinstance(params, Mapping) else {}
    if name == "union":
        return _union(params, depth)
    if name == "typedDict":
        types = params.get("type_map")
        fields = (
            {str(key): read_declared(node, depth + 1) for key, node in types.items()}
            if isinstance(types, Mapping)
            else {}
        )
        return Declared(name, False, params, fields=fields)
    if name == "list":
        return Declared(name, False, params, item=read_declared(params.get("element_type"), depth + 1))
    return Declared(name, name in (_NONE, "any", "unknown"), params)


def _union(params: Mapping[str, Any], depth: int) -> Declared:
    allowed = params.get("allowed_types")
    members = [read_declared(node, depth + 1) for node in allowed] if isinstance(allowed, list) else []
    others = [member for member in members if member.name != _NONE]
    is_optional = len(others) < len(members) or any(member.is_optional for member in others)
    if len(others) == 1:
        one = others[0]
        return Declared(one.name, is_optional, one.params, one.item, one.fields)
    return Declared("union" if others else _NONE, is_optional, params)
