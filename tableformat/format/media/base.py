"""Media: bytes that a person sees or hears, wherever they lie: in memory, in a file, at a URL, or in a table's cell.

A media object is cheap to make and reads nothing until asked; arrays and the like, which may change later, are encoded
at once. `prepare` reads and checks, inside the call that appends it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
from collections.abc import Mapping
from typing import Any, BinaryIO, ClassVar, Literal, NamedTuple, Self

from tableformat.digest import PREFIX, digest_of
from tableformat.errors import InvalidInputError, MediaError, UsageError, message
from tableformat.format.malformed import Telling
from tableformat.format.media.formats import CONTENT_TYPES, EXTENSIONS, UNKNOWN_TYPE, format_of_name
from tableformat.format.media.headers import FileView, Header, HeaderFault, describe, media_error
from tableformat.format.media.kinds import OUTER_FIELDS, check_kind
from tableformat.format.media.links import check_url, is_url
from tableformat.format.media.prepared import (
    CHECKSUM_PREFIX,
    LARGE_BYTES,
    Cell,
    CellSource,
    OpenUrl,
    Prepared,
    Reference,
)

__all__ = ["Check", "Deferred", "Media"]

Check = Literal["header", "decode", "none"]
"""How far media are checked when taken: magic, dimensions and end; by decoding; or not at all."""
CHECKS = ("header", "decode", "none")

_Raw = bytes  # the method of that name hides it in annotations below it


class _Path(str):
    """A local path to own."""

    __slots__ = ()


class _Url(str):
    """A URL to own."""

    __slots__ = ()


class _Referred(NamedTuple):
    """A reference, and what its writer says of it."""

    reference: Reference
    content_type: str
    ext: str
    fields: dict[str, Any]


class Deferred:
    """A value of a column that is decoded, as a whole column, when the first of its values is asked for."""

    __slots__ = ("_column", "_index")

    def __init__(self, column: Any, index: int) -> None:
        self._column = column
        self._index = index

    def get(self) -> Any:
        """The value. `column` is any object with `value(index)`. Raises `FormatError` where the column holds what no writer makes."""
        with Telling("reading media", f"row {self._index} of a batch"):
            return self._column.value(self._index)


class Media:
    """Base of all kinds of media. Two are equal when their bytes and their caption are.

    `data` may be bytes, a path (text or `os.PathLike`), a URL, an open binary file, or other media of the same kind,
    whose bytes are then shared. All are owned: stored in the store. To point at bytes elsewhere, use `refer`. Media of a
    table of the same store are never stored again. Of media of another store, `Image(row["image"])` is a reference to it, and
    `Image(row["image"], copy=True)` a copy; rows and tables of another store that are given as they are get copied (`uris` of
    `Draft.table` says otherwise).
    """

    __slots__ = ("_caption", "_data", "_hint", "_origin", "_shares", "ready")

    kind: ClassVar[str] = ""
    """The kind of media, one of `MEDIA_KINDS`."""
    _classes_by_kind: ClassVar[dict[str, type[Media]]] = {}
    _slots: ClassVar[tuple[str, ...]] = ()

    _data: bytes | None
    _origin: _Path | _Url | _Referred | Cell | Deferred | None
    _caption: str | None
    _hint: str | None
    _shares: bool | None  # made of media of a table, whose bytes stay where they are; None of those media themselves
    ready: Prepared | None
    """What `prepare` gave, kept here by the writer that took this object until its bytes are placed; no part of the value."""

    def __init_subclass__(cls, *, register: bool = True) -> None:
        cls._slots = tuple(
            name for base in cls.__mro__ for name in base.__dict__.get("__slots__", ()) if name != "ready"
        )
        if register:
            Media._classes_by_kind[cls.kind] = cls

    def __init__(
        self,
        data: Any,
        *,
        caption: str | None = None,
        format: str | None = None,  # noqa: A002
        copy: bool = False,
    ) -> None:
        self._origin = None
        self._shares = not copy and isinstance(data, Media)
        self._caption = caption
        self._hint = format
        self.ready = None
        if type(data) is bytes:
            self._data = data
        else:
            self._data = None
            self._take(data)

    # -- making one ----------------------------------------------------------------------------------------------

    def _take(self, value: Any) -> None:
        """Keep what is not plain bytes."""
        if isinstance(value, str):
            self._origin = _address(value)
        elif isinstance(value, os.PathLike):
            self._origin = _Path(os.fsdecode(os.fspath(value)))
        elif isinstance(value, bytes | bytearray | memoryview):
            self._data = bytes(value)
        elif isinstance(value, Media):
            if value.kind != self.kind:
                raise InvalidInputError(message(self._doing(), expected=f"media of kind {self.kind}", got=value.kind))
            self._data, self._origin = value._data, value._origin
            self._hint = self._hint or value._hint
            self._caption = value._caption if self._caption is None else self._caption
        elif hasattr(value, "read") and not isinstance(value, type):
            data = value.read()
            if not isinstance(data, bytes | bytearray | memoryview):
                raise MediaError(message(self._doing(), expected="a file opened for bytes", got=type(data).__name__))
            self._data = bytes(data)
        else:
            self._data = self._encode(value)

    def _encode(self, value: Any) -> bytes:
        """The bytes of a value of another library; kinds that take some override this."""
        raise MediaError(
            message(self._doing(), expected="bytes, a path, a URL or an open file", got=type(value).__name__)
        )

    def _doing(self) -> str:
        return f"making {type(self).__name__} media"

    @classmethod
    def refer(
        cls,
        url: str | os.PathLike[str],
        *,
        offset: int | None = None,
        size: int | None = None,
        checksum: str | None = None,
        version_id: str | None = None,
        content_type: str | None = None,
        caption: str | None = None,
        **fields: Any,
    ) -> Self:
        """Media that stay where they are: nothing is read, now or when appended.

        `offset` and `size` name a byte range of a larger file; `checksum` is `SHA-256:<hex>` or `ETAG:<etag>`, by which
        a later change is noticed; `fields` are what the cell tells (`width`, `height`, `format` …). Raises
        `InvalidInputError` for a relative path, a URL that carries a secret (user-info, signature, token), an offset
        without a size, or an unknown field.
        """
        doing = f"referring to {cls.kind} media"
        text = check_url(url, doing)
        if (offset is not None and size is None) or (offset or 0) < 0 or (size or 0) < 0:
            raise InvalidInputError(
                message(doing, path=text, expected="an offset and a size from 0, together", got=(offset, size))
            )
        if checksum is not None and not checksum.startswith((CHECKSUM_PREFIX, "ETAG:")):
            raise InvalidInputError(message(doing, path=text, expected="SHA-256:… or ETAG:…", got=checksum[:40]))
        unknown = [name for name in fields if name not in OUTER_FIELDS[cls.kind]]
        if unknown:
            raise InvalidInputError(
                message(doing, path=text, expected=" | ".join(OUTER_FIELDS[cls.kind]), got=", ".join(unknown))
            )
        word, guessed, ext = format_of_name(cls.kind, text.split("?", 1)[0].split("#", 1)[0])
        told = {"format": fields.get("format", word), **fields}
        media = cls._bare()
        media._caption = caption
        media._origin = _Referred(
            Reference(text, offset, size, checksum, version_id), content_type or guessed, ext, told
        )
        return media

    @staticmethod
    def from_cell(kind: str, fields: Mapping[str, Any], source: CellSource | None = None) -> Media:
        """The media of a stored cell, given as Arrow gives it to Python; reads nothing.

        `source` reads its bytes when asked. Raises `FormatError` for a cell against the specification.
        """
        return Media._of_origin(kind, Cell.from_fields(kind, fields, source))

    @staticmethod
    def _of_origin(kind: str, origin: Cell | Deferred, caption: str | None = None) -> Media:
        media = Media._classes_by_kind[check_kind(kind)]._bare()
        media._origin = origin
        media._caption = caption
        return media

    @classmethod
    def _bare(cls) -> Self:
        """One with every slot empty."""
        media = cls.__new__(cls)
        media.ready = None
        for name in cls._slots:
            setattr(media, name, None)
        return media

    def hold(self, data: _Raw | None) -> None:
        """Keep bytes that a reader of tables fetched, and verified, for many cells at once."""
        self._data = data

    def bare(self) -> Media:
        """The media of the stored cell that it was read from, without what other columns say about it; itself where there is no cell."""
        cell = self.cell
        return self if cell is None else Media._of_origin(self.kind, cell)

    def leave(self) -> None:
        """If it is media of a table, and not made with `copy=True`: let its bytes stay in their store when it is stored in another."""
        if self._shares is None:
            self._shares = True

    # -- what it is ----------------------------------------------------------------------------------------------

    @property
    def caption(self) -> str | None:
        """A line of text shown beside it; stored in a column of its own."""
        return self._caption

    @property
    def cell(self) -> Cell | None:
        """The stored cell that it was read from."""
        origin = self._origin
        if isinstance(origin, Deferred):
            origin = self._origin = origin.get()
        return origin if isinstance(origin, Cell) else None

    @property
    def reference(self) -> Reference | None:
        """Where it points, when its bytes are not ours."""
        if isinstance(self._origin, _Referred):
            return self._origin.reference
        cell = self.cell
        if cell is None or not cell.is_reference or cell.uri is None:
            return None
        return Reference(cell.uri, cell.offset, cell.size, cell.checksum, cell.version_id)

    @property
    def path(self) -> str | None:
        """The local path or URL that it was made from, and that will be owned."""
        return str(self._origin) if isinstance(self._origin, _Path | _Url) else None

    @property
    def digest(self) -> str | None:
        """`sha256:<hex>` of its bytes; hashes bytes and local files when asked. None where only a read would tell."""
        if self._data is not None:
            return digest_of(self._data)
        if isinstance(self._origin, _Path):
            with self.open() as file:
                state = hashlib.sha256()
                while chunk := file.read(1 << 20):
                    state.update(chunk)
                return PREFIX + state.hexdigest()
        cell = self.cell
        if cell is not None:
            return cell.media_digest
        reference = self.reference
        if reference is None or reference.checksum is None or not reference.checksum.startswith(CHECKSUM_PREFIX):
            return None
        return PREFIX + reference.checksum[len(CHECKSUM_PREFIX) :]

    @property
    def size(self) -> int | None:
        """Its bytes, where known without reading them."""
        if self._data is not None:
            return len(self._data)
        if isinstance(self._origin, _Path):
            return _stat(self._origin, self._doing()).st_size
        cell = self.cell
        if cell is not None:
            return cell.media_size
        reference = self.reference
        return reference.size if reference is not None else None

    @property
    def fields(self) -> Mapping[str, Any]:
        """What its cell tells beside where the bytes lie. Reads the header of bytes and local files, nothing else."""
        cell = self.cell
        if cell is not None:
            return cell.fields
        if isinstance(self._origin, _Referred):
            return self._origin.fields
        if self._data is None and isinstance(self._origin, _Url):
            return {}
        return self.prepare().fields

    @property
    def format(self) -> str | None:
        """The word of its format, such as `png`."""
        return self.fields.get("format")

    @property
    def content_type(self) -> str | None:
        """Its IANA media type."""
        if self._data is None and isinstance(self._origin, _Url):
            return format_of_name(self.kind, self._origin.split("?", 1)[0])[1]
        return self.prepare().content_type

    # -- its bytes -----------------------------------------------------------------------------------------------

    def bytes(self, open_url: OpenUrl | None = None) -> bytes:
        """All its bytes: held in memory, read from its file, or fetched through the table it came from.

        A URL is opened with `open_url`; without one, `UsageError`. Raises `CorruptError` where a cell's bytes differ
        from their digest.
        """
        if self._data is not None:
            return self._data
        cell = self.cell
        if cell is not None:
            return cell.read()
        with self.open(open_url) as file:
            return file.read()

    def open(self, open_url: OpenUrl | None = None) -> BinaryIO:
        """A binary file over its bytes; close it. A URL needs `open_url`, as in `bytes`."""
        if self._data is not None:
            return io.BytesIO(self._data)
        if isinstance(self._origin, _Path):
            _stat(self._origin, self._doing())
            return open(self._origin, "rb")
        cell = self.cell
        if cell is not None:
            return cell.open()
        reference = self.reference
        url = str(self._origin) if reference is None else reference.uri
        if open_url is None:
            raise UsageError(
                message("reading media", path=url, expected="who opens URLs", got="no opener",
                        todo="give open_url=, or read it from the table after the commit")
            )  # fmt: skip
        return _range_of(open_url(url), reference)

    # -- being stored --------------------------------------------------------------------------------------------

    def prepare(self, open_url: OpenUrl | None = None, check: Check = "header") -> Prepared:
        """Read and check it, so that it can be placed in a table.

        Files up to 8 MiB are read whole; larger ones are checked by parts and left to be streamed (`Prepared.path`). A
        URL to own is fetched through `open_url`. A reference and a cell of another table are taken as they are, and
        nothing is read. Raises `MediaError` for what is unreadable, truncated or of another kind.
        """
        if check not in CHECKS:
            raise InvalidInputError(message(self._doing(), expected="check " + " | ".join(CHECKS), got=repr(check)))
        origin = self._origin
        cell = self.cell
        if cell is not None:
            return _of_cell(cell, self._data, self._elsewhere(cell) if self._shares else self.reference)
        if isinstance(origin, _Referred):
            reference, content_type, ext, fields = origin
            return Prepared(None, None, reference.size, content_type, ext, dict(fields), reference)
        if self._data is not None:
            return self._of_bytes(self._data, check, None)
        if isinstance(origin, _Url):
            return self._of_url(origin, open_url, check)
        return self._of_path(str(origin), check)

    def _elsewhere(self, cell: Cell) -> Reference | None:
        """Where the bytes of a cell lie for a reader of another store."""
        reader: Any = cell.reader
        if cell.is_reference or cell.inline is not None or not hasattr(reader, "url_of"):
            return self.reference
        return Reference(reader.url_of(cell), cell.offset or 0, cell.size, cell.checksum, cell.version_id)

    def _of_bytes(self, data: _Raw, check: Check, path: str | None) -> Prepared:
        header = self._header(data, check, path)
        if check == "decode":
            self._decode(data, path)
        return Prepared(data, None, len(data), header.content_type, header.ext, header.fields)

    def _of_path(self, path: str, check: Check) -> Prepared:
        size = _stat(path, self._doing()).st_size
        if size <= LARGE_BYTES:
            try:
                with open(path, "rb") as file:
                    return self._of_bytes(file.read(), check, path)
            except OSError as error:
                raise MediaError(message(self._doing(), path=path, got=str(error))) from error
        view = FileView(path)
        try:
            header = self._header(view, check, path)
        finally:
            view.close()
        if check == "decode":
            with open(path, "rb") as file:
                self._decode(file.read(), path)
        return Prepared(None, path, size, header.content_type, header.ext, header.fields)

    def _of_url(self, url: str, open_url: OpenUrl | None, check: Check) -> Prepared:
        import tempfile  # rarely needed, and slow to import

        with self.open(open_url) as file:
            data = file.read(LARGE_BYTES + 1)
            if len(data) <= LARGE_BYTES:
                return self._of_bytes(data, check, url)
            # Too large to hold: a temporary file, which goes away with the prepared value.
            spool = tempfile.NamedTemporaryFile(prefix="tableformat-")  # noqa: SIM115
            while data:
                spool.write(data)
                data = file.read(1 << 20)
        spool.flush()
        return self._of_path(spool.name, check)._replace(keep=spool)

    def _header(self, data: Any, check: Check, path: str | None) -> Header:
        """The header of `data`; with `check="none"` whatever can be told of it."""
        word, content_type, ext = format_of_name(self.kind, path.split("?", 1)[0] if path else "")
        hint = self._hint or word
        try:
            return self._named(describe(self.kind, data, hint), path)
        except HeaderFault as fault:
            if check == "none":
                content = CONTENT_TYPES.get(hint or "", content_type)
                return self._named(Header(hint, content, EXTENSIONS.get(hint or "", ext), {"format": hint}), path)
            raise media_error(self.kind, fault, path) from None

    def _named(self, header: Header, path: str | None) -> Header:  # noqa: ARG002 - for kinds that keep a name
        return header

    def _decode(self, data: _Raw, path: str | None) -> None:
        """Decode it as a check; kinds that have a decoder override this."""

    # -- as a value ----------------------------------------------------------------------------------------------

    def _identity(self) -> tuple[Any, ...]:
        """What equality and hash speak of."""
        digest = self.digest
        if digest is None:
            return (self.kind, self.reference or self.path)
        return (self.kind, digest)

    def _notes(self) -> tuple[Any, ...]:
        """The annotations, for equality."""
        return (self._caption,)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Media):
            return NotImplemented
        if self is other:
            return True
        return self.kind == other.kind and self._notes() == other._notes() and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __getstate__(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in self._slots}
        return {name: value.get() if isinstance(value, Deferred) else value for name, value in values.items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.ready = None
        for name in self._slots:
            setattr(self, name, state.get(name))

    def __repr__(self) -> str:
        name = type(self).__name__
        reference = self.reference
        if reference is not None:
            return f"{name}.refer({reference.uri!r})"
        if self.path is not None:
            return f"{name}({self.path!r})"
        with contextlib.suppress(MediaError):
            fields = self.fields
            told = [str(fields["format"] or UNKNOWN_TYPE)] if "format" in fields else []
            if fields.get("width") and fields.get("height"):
                told.append(f"{fields['width']}×{fields['height']}")
            if fields.get("sample_rate"):
                told.append(f"{fields['sample_rate']} Hz")
            if self.size is not None:
                told.append(f"{self.size:,} bytes")
            return f"<{name} {', '.join(told)}>"
        return f"<{name} of {self.size:,} bytes, unreadable>"


def _address(text: str) -> _Path | _Url:
    if "\0" in text:
        raise MediaError(message("making media", expected="a path or a URL", got="text with a zero byte"))
    if text.startswith("file://"):
        from urllib.request import url2pathname

        return _Path(url2pathname(text.removeprefix("file://").removeprefix("localhost")))
    return _Url(text) if is_url(text) else _Path(text)


def _stat(path: str, doing: str) -> os.stat_result:
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise MediaError(message(doing, path=path, expected="a file", got=reason)) from error
    if not stat.S_ISREG(found.st_mode):
        raise MediaError(message(doing, path=path, expected="a file", got="a folder, a pipe or a device"))
    return found


def _range_of(file: BinaryIO, reference: Reference | None) -> BinaryIO:
    if reference is None or reference.offset is None or reference.size is None:
        return file
    with file:
        file.seek(reference.offset)
        return io.BytesIO(file.read(reference.size))


def _of_cell(cell: Cell, data: bytes | None, refer: Reference | None) -> Prepared:
    word = cell.fields.get("format")
    content = CONTENT_TYPES.get(word or "") if cell.encoding is not None else cell.content_type
    ext = EXTENSIONS.get(word or "", "bin") if cell.kind != "file" else (word or "bin")
    fields = {name: value for name, value in cell.fields.items() if value is not None}
    return Prepared(data, None, cell.media_size, content, ext, fields, refer, cell)
