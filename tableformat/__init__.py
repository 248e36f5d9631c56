"""`tableformat`: datasets and predictions on a bare folder or bucket.

Rows are plain Parquet, media are stored once by content, a version is one atomic commit. Start with `open_store`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tableformat import errors
from tableformat._version import __version__

if TYPE_CHECKING:
    from tableformat.artifact import Artifact
    from tableformat.changes import diff
    from tableformat.copies import cp
    from tableformat.draft import Draft
    from tableformat.format.expr import col
    from tableformat.format.limits import Limits
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
    from tableformat.table.diff.diff import Diff
    from tableformat.table.joined import JoinedTable
    from tableformat.table.local_table import Table
    from tableformat.table.rows import Row
    from tableformat.table.writer import TableWriter

__all__ = [
    "Artifact",
    "Audio",
    "AudioType",
    "Box",
    "ClassType",
    "Classes",
    "Diff",
    "Draft",
    "File",
    "FileType",
    "Html",
    "HtmlType",
    "Image",
    "ImageType",
    "JoinedTable",
    "JsonType",
    "Limits",
    "Mask",
    "Media",
    "Molecule",
    "MoleculeType",
    "Object3D",
    "Object3DType",
    "Plotly",
    "PlotlyType",
    "Row",
    "Schema",
    "Store",
    "Table",
    "TableWriter",
    "TensorType",
    "Video",
    "VideoType",
    "__version__",
    "col",
    "cp",
    "diff",
    "errors",
    "open_store",
    "read_table",
]

# Names are looked up when they are first used: a program that wants one class waits for one module, and `--help` for none.
_HOMES = {
    "Artifact": "tableformat.artifact",
    "Audio": "tableformat.format.media",
    "AudioType": "tableformat.format.types",
    "Box": "tableformat.format.media",
    "ClassType": "tableformat.format.types",
    "Classes": "tableformat.format.media",
    "Diff": "tableformat.table.diff.diff",
    "Draft": "tableformat.draft",
    "File": "tableformat.format.media",
    "FileType": "tableformat.format.types",
    "Html": "tableformat.format.media",
    "HtmlType": "tableformat.format.types",
    "Image": "tableformat.format.media",
    "ImageType": "tableformat.format.types",
    "JoinedTable": "tableformat.table.joined",
    "JsonType": "tableformat.format.types",
    "Limits": "tableformat.format.limits",
    "Mask": "tableformat.format.media",
    "Media": "tableformat.format.media",
    "Molecule": "tableformat.format.media",
    "MoleculeType": "tableformat.format.types",
    "Object3D": "tableformat.format.media",
    "Object3DType": "tableformat.format.types",
    "Plotly": "tableformat.format.media",
    "PlotlyType": "tableformat.format.types",
    "Row": "tableformat.table.rows",
    "Schema": "tableformat.format.schema",
    "Store": "tableformat.store",
    "Table": "tableformat.table.local_table",
    "TableWriter": "tableformat.table.writer",
    "TensorType": "tableformat.format.types",
    "Video": "tableformat.format.media",
    "VideoType": "tableformat.format.types",
    "col": "tableformat.format.expr",
    "cp": "tableformat.copies",
    "diff": "tableformat.changes",
    "open_store": "tableformat.store",
    "read_table": "tableformat.store",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
