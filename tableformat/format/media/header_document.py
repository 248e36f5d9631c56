"""Documents and models: HTML, 3-D objects, molecules, plots. The word of their format, and whether they are whole."""

from __future__ import annotations

import codecs
import json
import re
from struct import unpack
from typing import Any

from tableformat.format.media.header_image import HeaderFault

__all__ = ["html_header", "molecule_header", "object3d_header", "plotly_header"]

_LARGEST_JSON = 64 << 20
"""Documents above this are checked by their first and last bytes alone."""


def html_header(data: Any) -> str:
    """`html`, where `data` is text. Raises `HeaderFault` where it is not UTF-8 (or UTF-16 with its mark)."""
    head = bytes(data[: 1 << 16])
    if head[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return "html"
    if b"\0" in head:
        raise HeaderFault("HTML text", "zero bytes")
    if not head.strip():
        raise HeaderFault("HTML text", "nothing")
    if b"charset" in head[:1024].lower():  # says its own encoding
        return "html"
    try:
        # The window may end inside a character.
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(data) <= len(head))
    except UnicodeDecodeError as error:
        raise HeaderFault("HTML in UTF-8", f"byte 0x{head[error.start]:02x} at {error.start}") from None
    return "html"


def _json(data: Any, what: str) -> Any:
    if len(data) > _LARGEST_JSON:
        return None
    try:
        return json.loads(bytes(data[: len(data)]))
    except (ValueError, RecursionError) as error:
        raise HeaderFault(f"{what} as JSON", str(error)[:120]) from None


def plotly_header(data: Any) -> str:
    """`plotly`, where `data` is a JSON object with a list `data`, as `Figure.to_json()` gives it."""
    document = _json(data, "a Plotly figure")
    if document is not None and not (isinstance(document, dict) and isinstance(document.get("data"), list)):
        raise HeaderFault("a JSON object with a list 'data'", f"JSON {type(document).__name__}")
    return "plotly"


def object3d_header(data: Any, hint: str | None) -> str:
    """The format of a 3-D object. `hint`, from a file name, decides among texts that look alike."""
    head = bytes(data[:512])
    if head[:4] == b"glTF":
        declared = unpack("<I", head[8:12])[0] if len(head) >= 12 else 12
        if declared > len(data):
            raise HeaderFault(f"a glTF of {declared} bytes", f"{len(data)} bytes: truncated")
        return "glb"
    if head[:4] in {b"ply\n", b"ply\r"}:
        if data.find(b"end_header", 0, min(len(data), 1 << 16)) < 0:
            raise HeaderFault("a PLY with a whole header", f"{len(data)} bytes: truncated")
        return "ply"
    if head.lstrip()[:1] in {b"{", b"["}:
        document = _json(data, "a 3-D object")
        if isinstance(document, dict) and isinstance(document.get("asset"), dict):
            return "gltf"
        if isinstance(document, list) or (isinstance(document, dict) and "points" in document):
            return "pts.json"
        if hint in {"gltf", "babylon", "pts.json"}:
            return hint
        if isinstance(document, dict) and "meshes" in document:
            return "babylon"
        raise HeaderFault("a 3-D object (glTF, Babylon, points)", "other JSON")
    if len(data) >= 84:
        (triangles,) = unpack("<I", data[80:84])
        if len(data) == 84 + 50 * triangles:
            return "stl"
    if head[:6] == b"solid ":
        if b"endsolid" not in bytes(data[-1024:]):
            raise HeaderFault("an STL that ends with endsolid", f"{len(data)} bytes without it: truncated")
        return "stl"
    if hint == "stl":
        raise HeaderFault("an STL whose length fits its count", f"{len(data)} bytes: truncated or none")
    if re.search(rb"(?m)^(?:v|f|o|g|mtllib) ", bytes(data[: 1 << 16])):
        return "obj"
    raise HeaderFault("a 3-D object (GLB, glTF, OBJ, STL, PLY, Babylon, points)", f"{len(data)} bytes of another kind")


_PDB = re.compile(rb"(?m)^(?:HEADER|ATOM  |HETATM|REMARK|MODEL |CRYST1|COMPND|TITLE )")


def molecule_header(data: Any, hint: str | None) -> str:
    """The format of a molecule. `hint`, from a file name or `format=`, decides among texts that look alike."""
    head = bytes(data[: 1 << 16])
    if not head.strip():
        raise HeaderFault("a molecule", "nothing")
    if hint in {"mmtf", "gro"}:  # no mark of their own
        return hint
    if _PDB.search(head) is not None:
        return hint if hint == "pqr" else "pdb"
    if head.lstrip()[:5].lower() == b"data_" or re.search(rb"(?m)^data_", head):
        return hint if hint in {"cif", "mmcif"} else ("mmcif" if b"_atom_site." in head else "cif")
    if b"@<TRIPOS>" in head:
        return "mol2"
    if b"V2000" in head or b"V3000" in head:
        if b"M  END" not in head and data.find(b"M  END") < 0:
            raise HeaderFault("a molecule that ends with 'M  END'", f"{len(data)} bytes without it: truncated")
        return "sdf"
    raise HeaderFault("a molecule (PDB, PQR, CIF, mmCIF, SDF, MOL2, GRO, MMTF)", "text of another kind")
