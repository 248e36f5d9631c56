"""Media of a table that is read where it lies: cells point at their files, which are opened when somebody asks for them.

A cell holds the URL of its file, with the size and the SHA-256 that were told. Only this reader's own opener understands
these URLs: it leads to the files of the artifacts that were at hand, by the same checked way as every other file of theirs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, BinaryIO, ClassVar, Final
from urllib.parse import quote, unquote

import tableformat
from tableformat.convert.legacy.folder import Folder
from tableformat.convert.legacy.media_files import MEDIA_CLASSES, Grant, MediaReader
from tableformat.convert.legacy.report import ArtifactReport
from tableformat.convert.legacy.source import Library, Located, SourceArtifact
from tableformat.errors import InvalidInputError, NotFoundError, message

__all__ = ["LazyMediaReader", "Places"]

_SAFE: Final = "/:~!$&'()*+,;=@"
_OWN: Final = "wandb-artifact-file:///"
_ADDRESSABLE: Final = re.compile(
    r"(?:file|s3|s3a|gs|gcs|az|abfs|abfss|https?|hdfs|memory)://(?:[A-Za-z0-9._~!$&'()*+,;=/%-]|:(?!:))*"
)
_HEX: Final = re.compile(r"[0-9a-f]{64}")


class Places:
    """The folders of artifacts, by the URL below which their files are named in cells."""

    def __init__(self) -> None:
        self._folders: dict[str, Folder] = {}

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The URLs that `open` understands."""
        return tuple(self._folders)

    def url_of(self, folder: Folder, path: str) -> str:
        """The URL of a file. Where the folder itself has no plain URL (it lies in an archive), one that only `open` knows."""
        base = folder.root.rstrip("/")
        base = f"file://{quote(base, safe=_SAFE)}" if base.startswith("/") else base
        if not _ADDRESSABLE.fullmatch(base):
            base = f"{_OWN}{len(self._folders)}" if folder not in self._folders.values() else self._known(folder)
        self._folders.setdefault(f"{base}/", folder)
        return f"{base}/{quote(path, safe=_SAFE)}"

    def _known(self, folder: Folder) -> str:
        return next(base.rstrip("/") for base, one in self._folders.items() if one is folder)

    def open(self, url: str) -> BinaryIO:
        """The file at a URL that `url_of` gave. Raises `NotFoundError`."""
        for base, folder in self._folders.items():
            if url.startswith(base):
                return folder.open(unquote(url.removeprefix(base)))
        raise NotFoundError(message("opening media of a legacy table", path=url, expected=str(self.prefixes)))


class LazyMediaReader(MediaReader):
    """A `MediaReader` that reads no media but their descriptions."""

    reads_many: ClassVar[bool] = False

    def __init__(
        self, artifact: SourceArtifact, library: Library, report: ArtifactReport, grant: Grant, *, places: Places
    ) -> None:
        super().__init__(artifact, library, report, grant)
        self._places = places

    def _own(
        self, kind: str, found: Located, cell: Mapping[str, Any], caption: str | None, place: object
    ) -> tuple[Any, Mapping[str, Any], bool]:
        fields = _sides(cell) if kind in ("image", "video") else {}
        try:
            media = self._pointing(kind, found, cell, caption=caption, **fields)
        except InvalidInputError as error:
            self._report.warn(place, f"no URL can stand for the file {found.path!r}: {error}", "media")
            return None, {}, False
        return media, fields, True

    def _mask(self, value: Any, table_ref: str | None, where: object) -> tuple[Any, dict[str, Any]]:
        path = value["path"]
        found = self._locate(path, table_ref, where)
        if found is None or found.artifact is None:
            raise NotFoundError(f"the mask {path!r} is missing")
        said = {key: one for key, one in value.items() if key not in ("_type", "sha256", "digest")}
        return tableformat.Mask.of_media(self._pointing("image", found, value)), said

    def _pointing(self, kind: str, found: Located, cell: Mapping[str, Any], **fields: Any) -> Any:
        assert found.artifact is not None
        told = cell.get("sha256")
        is_own = found.entry is None or found.entry.ref is None
        checksum = f"SHA-256:{told}" if is_own and isinstance(told, str) and _HEX.fullmatch(told) else None
        url = self._places.url_of(found.artifact.folder, found.path)
        size = found.entry.size if found.entry is not None and is_own else None
        return MEDIA_CLASSES[kind].refer(url, size=size, checksum=checksum, **fields)


def _sides(cell: Mapping[str, Any]) -> dict[str, int]:
    return {name: cell[name] for name in ("width", "height") if type(cell.get(name)) is int and 0 <= cell[name] < 2**31}
