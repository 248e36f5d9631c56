"""Plain files in cells: any bytes, with a name."""

from __future__ import annotations

import os
from typing import Any

from tableformat.errors import InvalidInputError, message
from tableformat.format.media.base import Media
from tableformat.format.media.formats import extension_of, format_of_name
from tableformat.format.media.headers import Header
from tableformat.format.media.prepared import Prepared

__all__ = ["File"]


class File(Media):
    """Any file: bytes, a path or a URL, stored verbatim, with its `name` (by default the last part of the path)."""

    __slots__ = ("_name",)

    kind = "file"

    _name: str | None

    def __init__(
        self,
        data: Any,
        name: str | None = None,
        *,
        caption: str | None = None,
        format: str | None = None,  # noqa: A002
        copy: bool = False,
    ) -> None:
        if name is not None and (not name or "/" in name or "\0" in name):
            raise InvalidInputError(message("making a File", expected="a name without '/'", got=repr(name)[:60]))
        if name is not None and not _is_text(name):
            raise InvalidInputError(
                message("making a File", expected="a name that UTF-8 can hold", got=ascii(name)[:60])
            )
        self._name = name
        super().__init__(data, caption=caption, format=format, copy=copy)
        if name is None and isinstance(data, File):
            self._name = data._name

    @property
    def name(self) -> str | None:
        """The name of the file, without folders; a label, never a path to write to."""
        if self._name is not None:
            return self._name
        path = self.path or (self.reference.uri if self.reference is not None else None)
        told = self.cell.fields.get("name") if self.cell is not None else None
        if told is not None:
            return str(told)
        if path is None:
            return None
        last = path.split("?", 1)[0].rstrip("/").rsplit("/", 1)[-1]
        return (last.rsplit(os.sep, 1)[-1] if "://" not in path else last) or None

    def prepare(self, *args: Any, **kwargs: Any) -> Prepared:
        """As `Media.prepare`, with the name among the fields."""
        prepared = super().prepare(*args, **kwargs)
        if self.name is not None:
            prepared.fields["name"] = self.name
        return prepared

    def _named(self, header: Header, path: str | None) -> Header:  # noqa: ARG002 - the signature is shared
        name = self.name or ""
        word = self._hint or extension_of(name) or None
        _, content, ext = format_of_name("file", name if extension_of(name) else f"x.{word or ''}")
        return Header(word, content, ext, {"format": word})


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
