"""The table of formats: word in the cell, IANA media type, extension in packs; and what a file name suggests."""

from __future__ import annotations

from typing import Final

__all__ = ["CONTENT_TYPES", "EXTENSIONS", "KIND_FORMATS", "UNKNOWN_TYPE", "extension_of", "format_of_name"]

UNKNOWN_TYPE: Final = "application/octet-stream"
"""The media type of bytes of which nothing is known."""

_TABLE: Final[tuple[tuple[str, str, str, str, tuple[str, ...]], ...]] = (
    # kind, format, content type, extension in packs, other extensions people use
    ("image", "png", "image/png", "png", ()),
    ("image", "jpeg", "image/jpeg", "jpg", ("jpeg", "jpe", "jfif")),
    ("image", "gif", "image/gif", "gif", ()),
    ("image", "webp", "image/webp", "webp", ()),
    ("image", "bmp", "image/bmp", "bmp", ("dib",)),
    ("image", "tiff", "image/tiff", "tif", ("tiff",)),
    ("image", "svg", "image/svg+xml", "svg", ()),
    ("image", "avif", "image/avif", "avif", ()),
    ("image", "heic", "image/heic", "heic", ("heif",)),
    ("audio", "wav", "audio/wav", "wav", ("wave",)),
    ("audio", "flac", "audio/flac", "flac", ()),
    ("audio", "mp3", "audio/mpeg", "mp3", ("mpga",)),
    ("audio", "ogg", "audio/ogg", "ogg", ("oga",)),
    ("audio", "opus", "audio/ogg", "opus", ()),
    ("audio", "m4a", "audio/mp4", "m4a", ()),
    ("audio", "aiff", "audio/aiff", "aiff", ("aif", "aifc")),
    ("video", "mp4", "video/mp4", "mp4", ("m4v",)),
    ("video", "mov", "video/quicktime", "mov", ("qt",)),
    ("video", "webm", "video/webm", "webm", ()),
    ("video", "mkv", "video/x-matroska", "mkv", ()),
    ("video", "avi", "video/x-msvideo", "avi", ()),
    ("video", "ogv", "video/ogg", "ogv", ()),
    ("html", "html", "text/html", "html", ("htm", "xhtml")),
    ("object3d", "glb", "model/gltf-binary", "glb", ()),
    ("object3d", "gltf", "model/gltf+json", "gltf", ()),
    ("object3d", "obj", "model/obj", "obj", ()),
    ("object3d", "stl", "model/stl", "stl", ()),
    ("object3d", "ply", "application/x-ply", "ply", ()),
    ("object3d", "babylon", "application/x-babylon+json", "babylon", ()),
    ("object3d", "pts.json", "application/json", "pts.json", ()),
    ("molecule", "pdb", "chemical/x-pdb", "pdb", ("ent",)),
    ("molecule", "pqr", "chemical/x-pqr", "pqr", ()),
    ("molecule", "cif", "chemical/x-cif", "cif", ("mcif",)),
    ("molecule", "mmcif", "chemical/x-mmcif", "mmcif", ()),
    ("molecule", "sdf", "chemical/x-mdl-sdfile", "sdf", ("sd", "mol")),
    ("molecule", "mol2", "chemical/x-mol2", "mol2", ()),
    ("molecule", "gro", "chemical/x-gromacs-gro", "gro", ()),
    ("molecule", "mmtf", "application/vnd.rcsb.mmtf", "mmtf", ()),
    ("plotly", "plotly", "application/vnd.plotly.v1+json", "json", ("plotly.json",)),
)

CONTENT_TYPES: Final[dict[str, str]] = {format_: content for _, format_, content, _, _ in _TABLE}
"""The IANA media type of each format."""

EXTENSIONS: Final[dict[str, str]] = {format_: ext for _, format_, _, ext, _ in _TABLE}
"""The extension that a blob of each format gets in a pack."""

KIND_FORMATS: Final[dict[str, tuple[str, ...]]] = {
    kind: tuple(format_ for k, format_, _, _, _ in _TABLE if k == kind)
    for kind in dict.fromkeys(row[0] for row in _TABLE)
}
"""By kind of media, the formats it may have. A GIF may be a video too; a `file` may be anything."""

_BY_SUFFIX: Final[dict[str, str]] = {
    suffix: format_ for _, format_, _, ext, more in _TABLE for suffix in (ext, format_, *more) if suffix != "json"
}

_OTHER_TYPES: Final[dict[str, str]] = {
    # Formats of plain files that are common beside media; the standard library's table differs between machines.
    "csv": "text/csv",
    "gz": "application/gzip",
    "json": "application/json",
    "jsonl": "application/jsonl",
    "md": "text/markdown",
    "npy": "application/x-npy",
    "npz": "application/zip",
    "parquet": "application/vnd.apache.parquet",
    "pdf": "application/pdf",
    "tar": "application/x-tar",
    "tsv": "text/tab-separated-values",
    "txt": "text/plain",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "zip": "application/zip",
    "zst": "application/zstd",
}


def extension_of(name: str) -> str:
    """The extension of a file name or URL path, lower-case and without its dot; "" where there is none worth keeping."""
    last = name.rsplit("/", 1)[-1]
    if "." not in last:
        return ""
    ext = last.rsplit(".", 1)[-1].lower()
    return ext if 0 < len(ext) <= 16 and ext.isascii() and ext.isalnum() else ""


def format_of_name(kind: str, name: str) -> tuple[str | None, str, str]:
    """What `name` suggests for media of `kind`: (format or None, content type, extension)."""
    last = name.rsplit("/", 1)[-1].lower()
    ext = extension_of(last)
    known = _BY_SUFFIX.get(".".join(last.rsplit(".", 2)[-2:])) if last.count(".") > 1 else None
    known = known or _BY_SUFFIX.get(ext)
    if kind == "plotly" and ext == "json":
        known = "plotly"
    if kind == "file":
        content = CONTENT_TYPES[known] if known else _OTHER_TYPES.get(ext, UNKNOWN_TYPE)
        return ext or None, content, ext or "bin"
    if known is None or (known not in KIND_FORMATS[kind] and not (kind == "video" and known == "gif")):
        return None, UNKNOWN_TYPE, "bin"
    return known, CONTENT_TYPES[known], EXTENSIONS[known]
