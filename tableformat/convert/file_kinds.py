"""What the name of a file says about it: rows, media of some kind, or just a file."""

from __future__ import annotations

from typing import Final, Literal

import tableformat

__all__ = ["MEDIA_CLASSES", "RowFormat", "is_hidden", "media_kind_of", "row_format_of", "stem_of"]

RowFormat = Literal["csv", "tsv", "jsonl", "parquet"]
"""Files of rows that become tables."""

MEDIA_CLASSES: Final[dict[str, type[tableformat.Media]]] = {
    kind.kind: kind
    for kind in (
        tableformat.Image, tableformat.Audio, tableformat.Video, tableformat.Html, tableformat.Object3D, tableformat.Molecule,
        tableformat.Plotly, tableformat.File,
    )
}  # fmt: skip
"""The class of media of each kind."""

_ROWS: Final[dict[str, RowFormat]] = {
    "csv": "csv", "tsv": "tsv", "tab": "tsv", "jsonl": "jsonl", "ndjson": "jsonl", "json": "jsonl", "parquet": "parquet", "pq": "parquet",
}  # fmt: skip
_COMPRESSED: Final = ("gz", "bz2", "zst", "lz4")
# JSON is left out: it is rows more often than a Plotly figure.
_MEDIA: Final = {
    "image": "png jpg jpeg jpe jfif gif webp bmp dib tif tiff svg avif heic heif",
    "audio": "wav wave flac mp3 mpga ogg oga opus m4a aiff aif aifc",
    "video": "mp4 m4v mov qt webm mkv avi ogv",
    "html": "html htm xhtml",
    "object3d": "glb gltf obj stl ply babylon",
    "molecule": "pdb ent pqr cif mcif mmcif sdf sd mol mol2 gro mmtf",
}
_KIND_BY_SUFFIX: Final = {suffix: kind for kind, suffixes in _MEDIA.items() for suffix in suffixes.split()}
_JUNK: Final = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


def media_kind_of(name: str) -> str | None:
    """The kind of media that the extension of `name` speaks of, or None."""
    return _KIND_BY_SUFFIX.get(_suffix(name))


def row_format_of(name: str) -> RowFormat | None:
    """The format of rows that the extension of `name` speaks of, or None; `.csv.gz` and the like are CSV."""
    stem, dot, last = name.lower().rpartition(".")
    if dot and last in _COMPRESSED:
        found = _ROWS.get(_suffix(stem))
        return found if found != "parquet" else None
    return _ROWS.get(last) if dot else None


def stem_of(name: str) -> str:
    """`name` without the extensions that say how its rows are written: `train` of `train.csv.gz`."""
    stem, _, last = name.rpartition(".")
    if last.lower() in _COMPRESSED:
        stem = stem.rpartition(".")[0]
    return stem if stem and row_format_of(name) is not None else name


def is_hidden(name: str) -> bool:
    """Whether a file or folder is the system's rather than the user's: `.DS_Store`, `Thumbs.db`, `_SUCCESS`."""
    return name.startswith((".", "_")) or name.lower() in _JUNK


def _suffix(name: str) -> str:
    return name.rpartition(".")[2].lower() if "." in name else ""
