"""The values that pass between media and whoever moves bytes: where a cell points, what is ready to be placed.

Tuples rather than dataclasses: one is made for each cell, and a tuple of nine costs a quarter of a frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, BinaryIO, Final, NamedTuple, Protocol

from tableformat.digest import PREFIX, digest_of, is_hex
from tableformat.errors import CorruptError, FormatError, UsageError, message
from tableformat.format.media.kinds import COMMON_FIELDS, OUTER_FIELDS, check_kind

__all__ = ["CHECKSUM_PREFIX", "LARGE_BYTES", "Cell", "CellSource", "OpenUrl", "Prepared", "Reference"]

LARGE_BYTES: Final = 8 << 20
"""Above this many bytes a file is streamed into a blob of its own and never held in memory (spec/pack.md)."""

CHECKSUM_PREFIX: Final = "SHA-256:"
"""Stands before the hex digits in the `checksum` field of a cell."""

OpenUrl = Callable[[str], BinaryIO]
"""Opens a URL for reading. Given by who may do I/O; what it returns is closed by who called it."""


class Cell(NamedTuple):
    """One media cell as it is stored, and who can read what it points at."""

    kind: str
    """One of `MEDIA_KINDS`."""
    uri: str | None = None
    """Relative to the folder of the part's data, or an absolute URL; None where the bytes are inline."""
    offset: int | None = None
    """First byte inside `uri`; None for a whole file."""
    size: int | None = None
    """Stored bytes."""
    content_type: str | None = None
    """IANA type of the stored bytes."""
    checksum: str | None = None
    """`SHA-256:<hex>` of the stored bytes, or `ETAG:…` of a reference that was never read."""
    inline: bytes | None = None
    """The stored bytes themselves; wins over `uri`."""
    digest: str | None = None
    """`SHA-256:<hex>` of the media's bytes, where they differ from the stored bytes."""
    encoding: str | None = None
    """How the stored bytes were made from the media's: null (as they are) or `zstd`."""
    version_id: str | None = None
    """Version or generation of a referenced object."""
    fields: Mapping[str, Any] = MappingProxyType({})
    """What the kind adds: `width`, `height`, `format` …"""
    reader: CellSource | None = None
    """Reads what this cell points at; no part of the value."""

    @classmethod
    def from_fields(cls, kind: str, fields: Mapping[str, Any], reader: CellSource | None = None) -> Cell:
        """The cell of `kind` from the struct as Arrow gives it to Python. Raises `FormatError` where types are wrong."""
        file = fields.get("file") or {}
        if not isinstance(file, Mapping):
            raise FormatError(message("reading a media cell", expected="a struct 'file'", got=type(file).__name__))
        cell = cls(
            kind=check_kind(kind),
            fields={name: fields.get(name) for name in OUTER_FIELDS[kind]},
            reader=reader,
            **{name: file.get(name) for name in ("uri", "offset", "size", "content_type", "checksum", "inline")},
            **{name: fields.get(name) for name in COMMON_FIELDS},
        )
        cell.check()
        return cell

    def check(self) -> None:
        """Raise `FormatError` where the fields contradict the specification (MEDIA-2, MEDIA-3, MEDIA-6)."""
        doing = "reading a media cell"
        if self.inline is None and self.uri is None:
            raise FormatError(message(doing, expected="a uri or inline bytes", got="neither"))
        # Object stores take a path letter by letter, file systems do not: '..' would be two places.
        if self.uri is not None and "://" not in self.uri and not {"", ".", ".."}.isdisjoint(self.uri.split("/")):
            raise FormatError(
                message(
                    doing, path=self.uri[:200], expected="a plain relative path", got="a '.', '..' or empty segment"
                )
            )
        if self.offset is not None and self.size is None:
            raise FormatError(message(doing, path=self.uri, expected="a size beside the offset", got="null"))
        if (self.offset or 0) < 0 or (self.size or 0) < 0:
            raise FormatError(
                message(doing, path=self.uri, expected="offset and size from 0", got=(self.offset, self.size))
            )
        if self.encoding not in {None, "zstd"}:
            raise FormatError(
                message(doing, path=self.uri, expected="no encoding, or zstd", got=repr(self.encoding)[:40])
            )
        if self.inline is not None and self.size is not None and len(self.inline) != self.size:
            raise FormatError(message(doing, expected=f"{self.size} inline bytes", got=len(self.inline)))
        if self.encoding is not None and self.digest is None:
            raise FormatError(message(doing, path=self.uri, expected="a digest of the decoded bytes", got="null"))
        for name, text in (("checksum", self.checksum), ("digest", self.digest)):
            if text is not None and text.startswith(CHECKSUM_PREFIX) and not is_hex(text[len(CHECKSUM_PREFIX) :]):
                raise FormatError(message(doing, path=self.uri, expected=f"64 hex digits in {name}", got=text[:100]))

    @property
    def media_digest(self) -> str | None:
        """`sha256:<hex>` of the media's bytes; None for a reference that was never read."""
        text = self.digest if self.digest is not None else self.checksum
        if text is None or not text.startswith(CHECKSUM_PREFIX):
            return None
        return PREFIX + text[len(CHECKSUM_PREFIX) :]

    @property
    def media_size(self) -> int | None:
        """Bytes of the media; None where they are encoded, or were never read."""
        return None if self.encoding is not None else self.size

    @property
    def is_reference(self) -> bool:
        """Whether the bytes lie outside of the store."""
        return self.inline is None and self.uri is not None and "://" in self.uri

    def read(self) -> bytes:
        """The bytes of the media, compared with their digest. Raises `CorruptError` where they differ."""
        if self.inline is not None and self.encoding is None:
            if self.media_digest is not None and digest_of(self.inline) != self.media_digest:
                raise CorruptError(
                    message("reading an inline media cell", expected=self.media_digest, got=digest_of(self.inline),
                            todo="run `tableformat verify` on the store")
                )  # fmt: skip
            return self.inline
        return self._reader().read(self)

    def open(self) -> BinaryIO:
        """A seekable binary file over the media. Bytes move as it is read; close it."""
        if self.inline is not None and self.encoding is None:
            import io

            return io.BytesIO(self.read())
        return self._reader().open(self)

    def _reader(self) -> CellSource:
        if self.reader is None:
            raise UsageError(
                message("reading media", path=self.uri, expected="a cell of an opened table", got="a cell without one",
                        todo="read it through the table or artifact that holds it")
            )  # fmt: skip
        return self.reader


class CellSource(Protocol):
    """What a table hands to its cells so that they can be read."""

    def read(self, cell: Cell, /) -> bytes:
        """The decoded, verified bytes of the media that `cell` points at."""

    def open(self, cell: Cell, /) -> BinaryIO:
        """A seekable file over the decoded bytes."""


class Reference(NamedTuple):
    """Bytes that are not ours: what of the FILE struct is known."""

    uri: str
    """Absolute, checked by `check_url`."""
    offset: int | None = None
    """First byte, for a range of a container."""
    size: int | None = None
    """Bytes, where known."""
    checksum: str | None = None
    """`SHA-256:<hex>` where it was read, else `ETAG:…`, else None."""
    version_id: str | None = None
    """Version or generation, where the bucket has them."""


class Prepared(NamedTuple):
    """Media that was read and checked, ready to be placed.

    Where from: `source` for a cell of a table (with `refer` too, where that cell is a reference), else `refer`, else
    `path`, else `data`.
    """

    data: bytes | None
    """The bytes to own. Beside `source` where a cell was already read."""
    path: str | None
    """A local file of more than `LARGE_BYTES`, to be streamed."""
    size: int | None
    """Bytes of the media; None where unknown (references)."""
    content_type: str | None
    """IANA type."""
    ext: str
    """Extension in packs, without a dot."""
    fields: dict[str, Any]
    """What the kind's cell adds: `width`, `height`, `format` …; names that are missing are null."""
    refer: Reference | None = None
    """Where the media is referred to and not owned."""
    source: Cell | None = None
    """The cell of another table that this media was read from. `source.reader` tells the store; `source.read()` reads."""
    keep: object = None
    """Holds a temporary file behind `path` alive."""
