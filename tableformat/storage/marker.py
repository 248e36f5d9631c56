"""The marker `tableformat.json`: that a store lies here, which one, and what has to be known to use it.

Created once and never changed. Without it nothing below a root is read as a store.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from tableformat.digest import Bytes
from tableformat.document import JsonObject, decode_document
from tableformat.errors import FormatError, LimitError, NotAStoreError, UnsupportedError, message
from tableformat.format.documents import NOTHING, Fields, Requires, encode_sealed, unsealed
from tableformat.storage.interface import Backend
from tableformat.storage.series import new_commit_id

__all__ = ["MARKER_PATH", "Marker", "create_marker", "read_marker"]

MARKER_PATH: Final = "tableformat.json"
"""Path of the marker in a store."""
_MAX_BYTES: Final = 64 << 10
_FORMAT = re.compile("tableformat")
_STORE = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Marker:
    """What the marker of a store says."""

    store: str
    """Id of the store: 32 hex digits, drawn when it was made; kept when it is copied or moved."""
    requires: Requires = NOTHING
    """Features without which the store as a whole is not to be read, or not written."""
    extra: JsonObject = field(default_factory=dict)
    """Fields that this library does not know."""

    def to_json(self) -> JsonObject:
        """The document."""
        return {
            **self.extra,
            "format": "tableformat",
            "version": 1,
            "store": self.store,
            "requires": self.requires.to_json(),
        }

    @classmethod
    def from_bytes(cls, data: Bytes, path: str = MARKER_PATH) -> Marker:
        """The marker in `data`. Raises `NotAStoreError` for anything else, `UnsupportedError` for a newer format."""
        try:
            document = unsealed(decode_document(data, path), path, format_field="version")
            fields = Fields(document, path, None, format_field="version")
            fields.match("format", _FORMAT, "'tableformat'")
            return cls(fields.match("store", _STORE, "32 lower-case hex digits"), fields.requires(), fields.rest())
        except UnsupportedError:
            raise
        except (FormatError, LimitError) as error:
            raise NotAStoreError(
                message(
                    "opening a store", path=path, expected="the marker of a store", got=str(error), todo="check the URL"
                )
            ) from error


def read_marker(backend: Backend) -> Marker | None:
    """The marker under the root of `backend`; None if there is none. One request."""
    path = f"{backend.root}/{MARKER_PATH}"
    try:
        data = backend.read_or_none(MARKER_PATH, limit=_MAX_BYTES)
    except LimitError as error:
        raise NotAStoreError(
            message(
                "opening a store", path=path, expected="the marker of a store", got=str(error), todo="check the URL"
            )
        ) from error
    return None if data is None else Marker.from_bytes(data, path)


def create_marker(backend: Backend) -> Marker:
    """The marker, made if there was none; two writers that race end with the same. Proves first that they can race."""
    found = read_marker(backend)
    if found is not None:
        return found
    backend.probe()
    marker = Marker(new_commit_id())
    if backend.create(MARKER_PATH, encode_sealed(marker.to_json())):
        return marker
    found = read_marker(backend)
    if found is None:
        raise NotAStoreError(
            message("creating a store", path=f"{backend.root}/{MARKER_PATH}", expected="the marker that another writer made",
                    got="nothing", todo="try again")
        )  # fmt: skip
    return found
