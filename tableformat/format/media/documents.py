"""Documents and models: HTML, 3-D objects, molecules, Plotly figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tableformat.errors import MediaError, message
from tableformat.format.media.arrays import is_array, to_array
from tableformat.format.media.base import Media

__all__ = ["Html", "Molecule", "Object3D", "Plotly"]


class Html(Media):
    """An HTML document: text, bytes, a path or a URL, stored verbatim, in UTF-8 where it was text.

    Text that contains `<` is the document itself; other text is a path or a URL. A path with `<` in it needs
    `pathlib.Path`.
    """

    __slots__ = ()

    kind = "html"

    def _take(self, value: Any) -> None:
        if isinstance(value, str) and "<" in value:
            try:
                self._data = value.encode("utf-8")
            except UnicodeEncodeError as error:
                raise MediaError(message("making Html", expected="text", got="a lone surrogate")) from error
        elif (getattr(value, "read", None) is None) or not hasattr(value, "encoding"):
            super()._take(value)
        else:  # a file opened for text
            self._data = str(value.read()).encode("utf-8")

    def text(self) -> str:
        """The document as text. Reads its bytes; raises `MediaError` where they are not UTF-8 (or UTF-16 with a mark)."""
        data = self.bytes()
        try:
            return data.decode("utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig")
        except UnicodeDecodeError as error:
            raise MediaError(message("reading HTML", expected="UTF-8", got=str(error), todo="use bytes()")) from error


class Object3D(Media):
    """A 3-D object: the bytes or path of GLB, glTF, OBJ, STL, PLY, Babylon or `.pts.json`, stored verbatim; an array of
    points N×3 (x y z), N×4 (and a category) or N×6 (and red green blue, 0–255), stored as binary PLY in the array's
    precision; or a mapping with `points` (the old `lidar/beta` scenes), stored as JSON.
    """

    __slots__ = ()

    kind = "object3d"

    def _encode(self, value: Any) -> bytes:
        if isinstance(value, Mapping):
            if "points" not in value:
                raise MediaError(message("making an Object3D", expected="'points'", got=sorted(map(str, value))))
            return _json(value, "making an Object3D")
        if is_array(value):
            return _ply(to_array(value))
        return super()._encode(value)


class Molecule(Media):
    """A molecule: the bytes or path of PDB, PQR, CIF, mmCIF, SDF, MOL2, GRO or MMTF, stored verbatim. Bytes of PQR, GRO
    and MMTF, which have no mark of their own, need `format=`."""

    __slots__ = ()

    kind = "molecule"


class Plotly(Media):
    """A Plotly figure: the figure itself (whatever has `to_json`), a mapping with `data`, or the bytes or path of its
    JSON."""

    __slots__ = ()

    kind = "plotly"

    def _encode(self, value: Any) -> bytes:
        if isinstance(value, Mapping):
            return _json(value, "making a Plotly figure")
        if hasattr(value, "to_json"):
            return str(value.to_json()).encode("utf-8")
        return super()._encode(value)

    def to_dict(self) -> dict[str, Any]:
        """The figure as Plotly's JSON, decoded. Reads its bytes."""
        figure = json.loads(self.bytes())
        if not isinstance(figure, dict):
            raise MediaError(message("reading a Plotly figure", expected="a JSON object", got=type(figure).__name__))
        return figure


def _json(value: Mapping[str, Any], doing: str) -> bytes:
    def plain(item: Any) -> Any:
        if is_array(item):
            return to_array(item).tolist()
        raise TypeError(f"{type(item).__name__} has no form in JSON")

    try:
        return json.dumps(dict(value), default=plain, separators=(",", ":"), allow_nan=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise MediaError(message(doing, expected="values of JSON", got=str(error)[:200])) from error


def _ply(points: npt.NDArray[Any]) -> bytes:
    """Points as binary little-endian PLY: coordinates as float32 or float64, a category as int32, colours as bytes."""
    doing = "making an Object3D of points"
    if points.ndim != 2 or points.shape[1] not in {3, 4, 6} or not len(points):
        raise MediaError(message(doing, expected="shape N×3, N×4 or N×6", got=f"shape {points.shape}"))
    if points.dtype.kind not in "iuf":
        raise MediaError(message(doing, expected="numbers", got=str(points.dtype)))
    single = points.dtype in (np.float32, np.float16, np.uint8, np.int8, np.uint16, np.int16)
    wide = "float" if single else "double"
    extra = {3: [], 4: ["int category"], 6: ["uchar red", "uchar green", "uchar blue"]}[points.shape[1]]
    names = ["x", "y", "z", *(line.split()[1] for line in extra)]
    types = ["<f4" if single else "<f8"] * 3 + ["<i4" if "int" in line else "u1" for line in extra]
    rows = np.empty(len(points), dtype=np.dtype(list(zip(names, types, strict=True))))
    for column, (name, type_) in enumerate(zip(names, types, strict=True)):
        values = points[:, column]
        if column >= 3:
            bound = (0, 255) if type_ == "u1" else (-(2**31), 2**31 - 1)
            if (
                not np.isfinite(values).all()
                or (values != np.rint(values)).any()
                or values.min() < bound[0]
                or values.max() > bound[1]
            ):
                raise MediaError(
                    message(doing, expected=f"whole numbers from {bound[0]} to {bound[1]} as {name}", got="others")
                )
        rows[name] = values
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}"]
    header += (
        [f"property {wide} {axis}" for axis in "xyz"] + [f"property {line}" for line in extra] + ["end_header", ""]
    )
    return "\n".join(header).encode("ascii") + rows.tobytes()
