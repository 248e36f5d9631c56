"""The kinds of media and the Arrow types of their cells: what a schema has to know, and nothing that decodes.

A cell points at bytes; its first child is Parquet's own FILE struct of six fields, the others are ours (spec/media.md).
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from tableformat.errors import SchemaError, message

__all__ = [
    "BOX_TYPE",
    "COMMON_FIELDS",
    "FILE_TYPE",
    "MEDIA_KINDS",
    "OUTER_FIELDS",
    "SIBLING_ROLES",
    "cell_type",
    "check_kind",
    "sibling_type",
]

MEDIA_KINDS: Final = ("image", "audio", "video", "html", "object3d", "molecule", "plotly", "file")
"""Every kind of media, in the order of the specification. Kinds are added, never renamed."""

SIBLING_ROLES: Final = ("boxes", "masks", "caption", "classes")
"""What may stand beside a media column `c`, in columns named `c_boxes`, `c_masks`, `c_caption` and `c_classes`."""

FILE_TYPE: Final[pa.StructType] = pa.struct(
    [
        pa.field("uri", pa.string()),
        pa.field("offset", pa.int64()),
        pa.field("size", pa.int64()),
        pa.field("content_type", pa.string()),
        pa.field("checksum", pa.string()),
        pa.field("inline", pa.binary()),
    ]
)
"""Where the bytes lie: the six fields of Parquet's FILE type, in its order."""

COMMON_FIELDS: Final = ("digest", "encoding", "version_id")
"""The fields that stand beside `file` in the cell of every kind of media."""

_OWN_FIELDS: Final[dict[str, tuple[tuple[str, pa.DataType], ...]]] = {
    "image": (("width", pa.int32()), ("height", pa.int32()), ("format", pa.string())),
    "audio": (("sample_rate", pa.int32()), ("frames", pa.int64()), ("channels", pa.int32()), ("format", pa.string())),
    "video": (("width", pa.int32()), ("height", pa.int32()), ("duration_us", pa.int64()), ("format", pa.string())),
    "html": (("format", pa.string()),),
    "object3d": (("format", pa.string()),),
    "molecule": (("format", pa.string()),),
    "plotly": (("format", pa.string()),),
    "file": (("format", pa.string()), ("name", pa.string())),
}

OUTER_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    kind: tuple(name for name, _ in fields) for kind, fields in _OWN_FIELDS.items()
}
"""By kind, the names of the fields that describe the media itself, in their order."""

_CELL_TYPES: Final[dict[str, pa.StructType]] = {
    kind: pa.struct(
        [
            pa.field("file", FILE_TYPE),
            *(pa.field(name, pa.string()) for name in COMMON_FIELDS),
            *(pa.field(name, data_type) for name, data_type in fields),
        ]
    )
    for kind, fields in _OWN_FIELDS.items()
}

BOX_TYPE: Final[pa.StructType] = pa.struct(
    [
        pa.field("xmin", pa.float64()),
        pa.field("ymin", pa.float64()),
        pa.field("xmax", pa.float64()),
        pa.field("ymax", pa.float64()),
        pa.field("class_id", pa.int64()),
        pa.field("unit", pa.string()),
        pa.field("form", pa.string()),
        pa.field("caption", pa.string()),
        pa.field("scores", pa.map_(pa.string(), pa.float64())),
        pa.field("extra", pa.string()),
    ]
)
"""One bounding box."""

_SIBLING_TYPES: Final[dict[str, pa.DataType]] = {
    "boxes": pa.map_(pa.string(), pa.list_(BOX_TYPE)),
    "masks": pa.map_(pa.string(), _CELL_TYPES["image"]),
    "caption": pa.string(),
    "classes": pa.string(),
}


def check_kind(kind: object) -> str:
    """`kind` itself, where it is one of `MEDIA_KINDS`; raises `SchemaError` where it is not."""
    if isinstance(kind, str) and kind in _CELL_TYPES:
        return kind
    raise SchemaError(message("naming a kind of media", expected=" | ".join(MEDIA_KINDS), got=repr(kind)[:100]))


def cell_type(kind: str) -> pa.StructType:
    """The Arrow struct of one cell of `kind`: `file`, the three common fields, then the kind's own. All nullable."""
    return _CELL_TYPES[check_kind(kind)]


def sibling_type(role: str) -> pa.DataType:
    """The Arrow type of a column that annotates a media column in `role`, one of `SIBLING_ROLES`."""
    if role in _SIBLING_TYPES:
        return _SIBLING_TYPES[role]
    raise SchemaError(message("naming an annotation", expected=" | ".join(SIBLING_ROLES), got=repr(role)[:100]))
