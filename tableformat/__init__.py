"""`tableformat`: datasets and predictions on a bare folder or bucket.

Rows are plain Parquet, media are stored once by content, a version is one atomic commit. Start with `open_store`.
"""

from tableformat import errors
from tableformat._version import __version__
from tableformat.artifact import Artifact
from tableformat.draft import Draft
from tableformat.format.expr import col
from tableformat.format.media import (
    Audio,
    Box,
    Classes,
    File,
    Html,
    Image,
    Mask,
    Media,
    Molecule,
    Object3D,
    Plotly,
    Video,
)
from tableformat.format.schema import Schema
from tableformat.format.types import (
    AudioType,
    ClassType,
    FileType,
    HtmlType,
    ImageType,
    JsonType,
    MoleculeType,
    Object3DType,
    PlotlyType,
    TensorType,
    VideoType,
)
from tableformat.store import Store, open_store, read_table
from tableformat.table.joined import JoinedTable
from tableformat.table.local_table import LocalTable
from tableformat.table.table import Table
from tableformat.table.writer import TableWriter

__all__ = [
    "Artifact",
    "Audio",
    "AudioType",
    "Box",
    "ClassType",
    "Classes",
    "Draft",
    "File",
    "FileType",
    "Html",
    "HtmlType",
    "Image",
    "ImageType",
    "JoinedTable",
    "JsonType",
    "LocalTable",
    "Mask",
    "Media",
    "Molecule",
    "MoleculeType",
    "Object3D",
    "Object3DType",
    "Plotly",
    "PlotlyType",
    "Schema",
    "Store",
    "Table",
    "TableWriter",
    "TensorType",
    "Video",
    "VideoType",
    "__version__",
    "col",
    "errors",
    "open_store",
    "read_table",
]
