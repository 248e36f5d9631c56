"""Column types: what a column holds, how it stands in Parquet, and its form in a manifest (spec/schema.md)."""

from tableformat.format.types.base import FIELD_ID, MAX_NESTING, ColumnType, Field, NullType, walk
from tableformat.format.types.codec import field_from_json, fields_from_json, type_from_json
from tableformat.format.types.declare import field_from_arrow, field_from_user, type_from_arrow, type_from_user
from tableformat.format.types.media import (
    AudioType,
    ClassType,
    FileType,
    HtmlType,
    ImageType,
    MediaType,
    MoleculeType,
    Object3DType,
    PlotlyType,
    VideoType,
    sibling_column_type,
    sibling_name,
)
from tableformat.format.types.nested import FixedListType, ListType, MapType, StructType
from tableformat.format.types.scalar import IntervalType, JsonType, ScalarType, UuidType
from tableformat.format.types.tensor import TensorType
from tableformat.format.types.where import Where

__all__ = [
    "FIELD_ID",
    "MAX_NESTING",
    "AudioType",
    "ClassType",
    "ColumnType",
    "Field",
    "FileType",
    "FixedListType",
    "HtmlType",
    "ImageType",
    "IntervalType",
    "JsonType",
    "ListType",
    "MapType",
    "MediaType",
    "MoleculeType",
    "NullType",
    "Object3DType",
    "PlotlyType",
    "ScalarType",
    "StructType",
    "TensorType",
    "UuidType",
    "VideoType",
    "Where",
    "field_from_arrow",
    "field_from_json",
    "field_from_user",
    "fields_from_json",
    "sibling_column_type",
    "sibling_name",
    "type_from_arrow",
    "type_from_json",
    "type_from_user",
    "walk",
]
