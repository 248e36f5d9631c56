"""A table as the files of an artifact of old: `<name>.table.json` and the media it names, which its own library reads."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pyarrow as pa

import tableformat
from tableformat.errors import ExistsError, IllegalNameError, message
from tableformat.progress import Meter, Progress

__all__ = ["ExportedWandb", "export_wandb"]

_DIRS: Final = {
    "image": ("media/images", "image-file"), "audio": ("media/audio", "audio-file"), "video": ("media/videos", "video-file"),
    "html": ("media/html", "html-file"), "object3d": ("media/object3D", "object3D-file"), "molecule": ("media/molecule", "molecule-file"),
    "plotly": ("media/plotly", "plotly-file"),
}  # fmt: skip
_EXTENSIONS: Final = {"jpeg": "jpg", "plotly": "plotly.json", "tiff": "tif"}
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MILLISECOND: Final = datetime.timedelta(milliseconds=1)
_KEPT: Final = 1000


@dataclass(slots=True)
class ExportedWandb:
    """What was written."""

    path: str
    """The `*.table.json`."""
    rows: int = 0
    """How many."""
    media: int = 0
    """Files of media beside it."""
    notes: list[str] = field(default_factory=list)
    """What the old format does not hold as it was, the first thousand."""

    def note(self, text: str) -> None:
        """Say what changed."""
        if len(self.notes) < _KEPT and text not in self.notes:
            self.notes.append(text)


def export_wandb(
    table: tableformat.Table, folder: str | os.PathLike[str], *, name: str = "table", progress: Progress = True
) -> ExportedWandb:
    """Write `table` into the local `folder`, new or empty, so that its files are an artifact of old (add them with `add_dir`).

    Texts, numbers, bools, times, tensors of one shape and media keep their types; lists, dicts and JSON become `any`. Times keep
    microseconds, as fractions of milliseconds. What cannot be kept is told in the result: zones, bytes that are no text,
    references, captions of media that had none there. Holds a batch of rows.

    Raises `ExistsError` for a folder that is not empty, `IllegalNameError` for a name with `/`.
    """
    root = os.fspath(folder)
    if not name or "/" in name or "\\" in name or "\0" in name:
        raise IllegalNameError(message("exporting a table", expected="a name without '/'", got=repr(name)[:60]))
    if os.path.isdir(root) and os.listdir(root):
        raise ExistsError(
            message("exporting a table", path=root, expected="a new or empty folder", got="one that holds something")
        )
    os.makedirs(root, exist_ok=True)
    told = ExportedWandb(os.path.join(root, f"{name}.table.json"))
    columns = [
        _column(column, index, root, told, len(table))
        for index, column in enumerate(table.schema.columns)
        if column.annotates is None
    ]
    try:
        with Meter("exporting", len(table), "rows", progress) as meter, open(told.path, "x", encoding="ascii") as file:
            _write(file, table, columns, told, meter)
    finally:
        for column in columns:
            column.close()
    return told


def _write(file: Any, table: tableformat.Table, columns: list[_Column], told: ExportedWandb, meter: Meter) -> None:
    # Keys are sorted, as they always were; what stands behind the rows is known when they have been written.
    types = {column.name: column.type() for column in columns}
    head = {
        "_type": "table",
        "column_types": {"params": {"type_map": types}, "wb_type": "typedDict"},
        "columns": [c.name for c in columns],
    }
    file.write(json.dumps(head, sort_keys=True)[:-1] + ', "data": [')
    for row in table.rows():
        cells = [column.cell(row[column.name], told.rows) for column in columns]
        file.write((", " if told.rows else "") + json.dumps(cells, sort_keys=True))
        told.rows += 1
        meter.step()
    tail = {"log_mode": "IMMUTABLE", "ncols": len(columns), "nrows": told.rows}
    file.write("], " + json.dumps(tail, sort_keys=True)[1:])


class _Column:
    """How one column is written."""

    wb_type: str = "any"

    def __init__(self, name: str, told: ExportedWandb) -> None:
        self.name, self.told = name, told

    def type(self) -> dict[str, Any]:
        """The declared type: always optional."""
        return {"params": {"allowed_types": [{"wb_type": "none"}, self.node()]}, "wb_type": "union"}

    def node(self) -> dict[str, Any]:
        """The type of what is not null."""
        return {"wb_type": self.wb_type}

    def cell(self, value: Any, row: int) -> Any:  # noqa: ARG002 - one signature
        """The cell as JSON."""
        return _plain(value, self)

    def close(self) -> None:
        """After the last row."""


class _Scalar(_Column):
    def __init__(self, name: str, told: ExportedWandb, wb_type: str) -> None:
        super().__init__(name, told)
        self.wb_type = wb_type


class _Tensor(_Column):
    """A column of arrays of one shape, streamed into an array file of its own."""

    def __init__(
        self, name: str, told: ExportedWandb, path: str, root: str, dtype: str, shape: tuple[int, ...], rows: int
    ) -> None:
        super().__init__(name, told)
        self._path, self._shape, self._dtype = path, shape, np.dtype(dtype)
        full = os.path.join(root, *path.split("/"))
        os.makedirs(os.path.dirname(full), exist_ok=True)
        self._archive = zipfile.ZipFile(full, "x", zipfile.ZIP_DEFLATED)
        self._stream: Any = self._archive.open(f"{name}.npy", "w", force_zip64=True)
        header = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": (rows, *shape)}
        np.lib.format.write_array_header_1_0(self._stream, header)

    def node(self) -> dict[str, Any]:
        return {
            "params": {"serialization_path": {"key": self.name, "path": self._path}, "shape": list(self._shape)},
            "wb_type": "ndarray",
        }

    def cell(self, value: Any, row: int) -> Any:
        if value is None:
            self.told.note(
                f"row {row}, column {self.name!r}: null became {'NaN' if self._dtype.kind == 'f' else 'zeros'}"
            )
            value = np.full(self._shape, np.nan if self._dtype.kind == "f" else 0, self._dtype)
        self._stream.write(np.ascontiguousarray(value, self._dtype).tobytes())

    def close(self) -> None:
        self._stream.close()
        self._archive.close()


class _Media(_Column):
    """A column of media, each a file named for its bytes."""

    def __init__(self, name: str, told: ExportedWandb, root: str, kind: str) -> None:
        super().__init__(name, told)
        self._root, self._folder, self._kind = root, *_DIRS[kind]
        self.wb_type = "any" if kind in ("molecule", "plotly") else self._kind  # those two never had a type
        self._classes: dict[str, dict[str, Any]] = {}

    def cell(self, value: Any, row: int) -> Any:
        if value is None:
            return None
        place = f"row {row}, column {self.name!r}"
        if value.reference is not None:
            self.told.note(f"{place}: a reference, which is left out: {value.reference.uri}")
            return None
        data = value.bytes()
        path, digest = self._file(data, self._folder, _EXTENSIONS.get(value.format or "", value.format or "bin"))
        cell: dict[str, Any] = {"_type": self._kind, "path": path, "sha256": digest}
        if value.caption is not None or self._kind == "audio-file":
            cell["caption"] = value.caption  # without one, its reader fails on audio
        if self._kind == "image-file":
            cell |= {"format": path.rpartition(".")[2], "width": value.width, "height": value.height}
            self._annotate(cell, value, place)
        return cell

    def _annotate(self, cell: dict[str, Any], image: Any, place: str) -> None:
        if image.boxes:
            cell["boxes"] = {layer: [_box(box) for box in boxes] for layer, boxes in image.boxes.items()}
        if image.masks:
            cell["masks"] = {}
            for layer, mask in image.masks.items():
                path, digest = self._file(mask.bytes(), "media/images/mask", "mask.png")
                cell["masks"][layer] = {"_type": "mask", "path": path, "sha256": digest}
        classes = image.classes
        if isinstance(classes, tableformat.Classes):
            if classes.digest not in self._classes:
                listed = [{"id": id_, "name": name, **classes.extra_of(id_)} for id_, name in classes.names.items()]
                data = json.dumps({"_type": "classes", "class_set": listed}, sort_keys=True).encode()
                path, _ = self._file(data, "media/classes", "classes.json", name=f"{classes.digest[7:39]}_cls")
                md5 = hashlib.md5(data, usedforsecurity=False).digest()
                self._classes[classes.digest] = {
                    "type": "classes-file",
                    "path": path,
                    "digest": base64.b64encode(md5).decode(),
                }
            cell["classes"] = self._classes[classes.digest]
        elif image.boxes or image.masks:
            self.told.note(f"{place}: boxes or masks without a class set")

    def _file(self, data: bytes, folder: str, extension: str, name: str | None = None) -> tuple[str, str]:
        digest = hashlib.sha256(data).hexdigest()
        path = f"{folder}/{name or digest[:20]}.{extension}"
        full = os.path.join(self._root, *path.split("/"))
        if not os.path.exists(full):
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "xb") as file:
                file.write(data)
            self.told.media += 1
        return path, digest


def _box(box: tableformat.Box) -> dict[str, Any]:
    """The old dictionary of a box."""
    if box.form == "xyxy":
        position: dict[str, Any] = dict(zip(("minX", "minY", "maxX", "maxY"), box.xyxy, strict=True))
    else:
        x, y, width, height = box.cxcywh
        position = {"middle": [x, y], "width": width, "height": height}
    told: dict[str, Any] = {"position": position, **{key: value for key, value in box.extra.items() if key != "given"}}
    if box.unit == "pixel":
        told["domain"] = "pixel"
    rest = {"class_id": box.class_id, "box_caption": box.caption, "scores": dict(box.scores) or None}
    told |= {key: value for key, value in rest.items() if value is not None}
    return told


def _column(column: Any, index: int, root: str, told: ExportedWandb, rows: int) -> _Column:
    name, type_ = column.name, column.type
    kind = getattr(type_, "media", None)
    if kind in _DIRS:
        return _Media(name, told, root, kind)
    if isinstance(type_, tableformat.TensorType) and type_.shape is not None:
        return _Tensor(name, told, f"media/serialized_data/{index}.npz", root, type_.dtype, type_.shape, rows)
    storage = type_.storage()
    t = pa.types
    if isinstance(type_, tableformat.JsonType | tableformat.TensorType) or kind is not None:
        return _Column(name, told)
    if t.is_boolean(storage):
        return _Scalar(name, told, "boolean")
    if t.is_integer(storage) or t.is_floating(storage) or t.is_decimal(storage):
        return _Scalar(name, told, "number")
    if t.is_string(storage) or t.is_binary(storage):
        return _Scalar(name, told, "string")
    if t.is_timestamp(storage) or t.is_date(storage):
        if t.is_timestamp(storage) and storage.tz is None:
            told.note(f"column {name!r}: times without a zone are taken for UTC")
        return _Scalar(name, told, "timestamp")
    return _Column(name, told)


def _plain(value: Any, column: _Column) -> Any:
    """A value of a row as JSON."""
    if value is None or isinstance(value, bool | int | str | float):
        return value
    if isinstance(value, Decimal):
        if value != value.to_integral_value():
            column.told.note(f"column {column.name!r}: decimals became floats")
            return float(value)
        return int(value)
    if isinstance(value, np.datetime64):
        return int(value.astype("M8[ns]").astype(np.int64)) / 1e6
    if isinstance(value, datetime.datetime):
        aware = value if value.tzinfo is not None else value.replace(tzinfo=datetime.UTC)
        whole, rest = divmod(aware - _EPOCH, _MILLISECOND)
        return whole if not rest else whole + rest.microseconds / 1000
    if isinstance(value, datetime.date):
        return (value - _EPOCH.date()).days * 86_400_000
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            column.told.note(f"column {column.name!r}: bytes that are no text became base64")
            return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {str(key): _plain(one, column) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, column) for one in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tableformat.Media):
        column.told.note(
            f"column {column.name!r}: media inside of lists, dicts or of kinds that were not known are left out"
        )
        return None
    column.told.note(f"column {column.name!r}: {type(value).__name__} became text")
    return str(value)
