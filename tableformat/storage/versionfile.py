"""The documents in the slots of an artifact: `VersionFile`, and the `Tombstone` that replaces one.

A version file is the commit: it names the root by digest, says after what and from what it was made, and holds the
root itself when that is small, so that opening a version costs one request (spec/versions.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from tableformat.digest import Bytes, digest_of
from tableformat.document import JsonObject, check_limits, decode_document, encode_document, encode_known
from tableformat.errors import CorruptError, FormatError, message
from tableformat.format.documents import NOTHING, Fields, Requires, check_counts, encode_sealed, unsealed

__all__ = ["MAX_INLINE_BYTES", "MAX_VERSION_BYTES", "Input", "Slot", "Tombstone", "VersionFile", "decode_slot"]

MAX_INLINE_BYTES: Final = 65_536
"""Longest root, in canonical bytes, that stands in its version file."""
MAX_VERSION_BYTES: Final = 4 << 20
"""Longest version file: the inline root, the producer and the message; far below what one request can carry."""
_SESSION = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,128}")
_COUNTS: Final = ("rows", "bytes_new", "bytes_shared", "blobs_new", "blobs_shared")


@dataclass(frozen=True, slots=True)
class Input:
    """A version that was used to make this one."""

    artifact: str
    """Name of the artifact, or an address `<root>#<name>` in another store."""
    digest: str
    """Version digest of what was used."""
    slot: int | None = None
    """Its slot, where known."""
    alias: str | None = None
    """The alias by which it was asked for, `latest` included; None if by slot or digest."""
    extra: JsonObject = field(default_factory=dict)
    """Fields that this library does not know."""

    def to_json(self) -> JsonObject:
        """One item of `inputs`."""
        return {**self.extra, "artifact": self.artifact, "digest": self.digest, "slot": self.slot, "alias": self.alias}


@dataclass(frozen=True, slots=True)
class VersionFile:
    """One committed version. A body that is yet to be committed leaves `slot`, `commit` and `predecessor` as they are."""

    root: str
    """The version digest: SHA-256 of the canonical root document."""
    root_size: int
    """Length of the canonical root document in bytes."""
    time: str
    """When the writer committed, by its own clock; shown to people, decides nothing."""
    slot: int = 0
    """Its number: the `3` of `v3`."""
    commit: str = "0" * 32
    """Fresh nonce of the commit, 32 hex digits: by it a writer knows its own version again."""
    predecessor: str | None = None
    """Version digest in slot n-1 (a tombstone keeps it); None in slot 0."""
    base: str | None = None
    """Version digest that the draft was made from; None for a draft from nothing."""
    message: str = ""
    """What its author says about it."""
    producer: str = "{}"
    """What made it, as the text of a JSON object."""
    inputs: tuple[Input, ...] = ()
    """What it was made from."""
    requires: Requires = NOTHING
    """Features that readers and writers have to know."""
    inline: JsonObject | None = field(default=None, repr=False)
    """The root document, if it is no longer than 65,536 bytes."""
    report: JsonObject = field(default_factory=dict)
    """Counts: `rows`, `bytes_new`, `bytes_shared` …"""
    session: str | None = None
    """Id of the session that wrote it."""
    extra: JsonObject = field(default_factory=dict)
    """Fields that this library does not know."""
    root_bytes: bytes | None = field(default=None, repr=False, compare=False)
    """The canonical bytes of `inline`, where its writer still has them."""

    def to_json(self) -> JsonObject:
        """The document."""
        document: dict[str, Any] = {
            **self.extra,
            "kind": "version",
            "format": 1,
            "slot": self.slot,
            "commit": self.commit,
            "predecessor": self.predecessor,
            "base": self.base,
            "time": self.time,
            "message": self.message,
            "producer": self.producer,
            "inputs": [item.to_json() for item in self.inputs],
            "requires": self.requires.to_json(),
            "root": self.root,
            "root_size": self.root_size,
            "report": self.report,
            "session": self.session,
        }
        if self.inline is not None:
            document["inline"] = self.inline
        return document

    def encode(self, path: str) -> bytes:
        """The bytes of its file, to be written at `path`. Raises what reading them would: what readers refuse is not published."""
        document, root_bytes = self.to_json(), self.root_bytes
        if self.inline is not None and root_bytes is None:
            root_bytes = encode_document(self.inline)
        data = encode_sealed(document, None if self.inline is None or root_bytes is None else ("inline", root_bytes))
        check_limits(data, path)
        VersionFile.from_json(document, path, root_bytes)
        return data

    @classmethod
    def from_json(cls, document: JsonObject, path: str, root_bytes: bytes | None = None) -> VersionFile:
        """The version in `document`, read from `path`. Raises `FormatError`; `CorruptError` for an inline root that
        is not the one named, whose canonical bytes are `root_bytes` where they are known."""
        fields = Fields(document, path, "version")
        slot = fields.integer("slot")
        report = fields.object("report")
        check_counts(fields, "report", report, _COUNTS)
        version = cls(
            slot=slot,
            commit=fields.id("commit"),
            root=fields.digest("root"),
            root_size=fields.integer("root_size"),
            time=fields.time("time"),
            predecessor=fields.digest_or_none("predecessor"),
            base=fields.digest_or_none("base"),
            message=fields.text("message"),
            producer=fields.text("producer"),
            inputs=tuple(_input(item, path) for item in fields.objects("inputs")),
            requires=fields.requires(),
            report=report,
            session=fields.text_or_none("session", _SESSION, "an id of a session"),
            inline=fields.object("inline") if "inline" in document else None,
            extra=fields.rest(),
        )
        if (version.predecessor is None) != (slot == 0):
            raise fields.bad("predecessor", "null in slot 0 and nowhere else", version.predecessor)
        if version.inline is not None:
            _check_inline(root_bytes or encode_known(version.inline), version, path)
        return version


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What stays of a version that was deleted or expired: the slot is never used again."""

    slot: int
    """Its number."""
    commit: str
    """The commit id of the version it replaces."""
    root: str
    """The version digest of the version it replaces."""
    time: str
    """When it was deleted, by the clock of whoever did."""
    extra: JsonObject = field(default_factory=dict)
    """Fields that this library does not know."""

    def to_json(self) -> JsonObject:
        """The document."""
        return {
            **self.extra, "kind": "tombstone", "format": 1, "slot": self.slot,
            "commit": self.commit, "root": self.root, "time": self.time,
        }  # fmt: skip

    @classmethod
    def from_json(cls, document: JsonObject, path: str) -> Tombstone:
        """The tombstone in `document`, read from `path`. Raises `FormatError`."""
        fields = Fields(document, path, "tombstone")
        return cls(
            fields.integer("slot"), fields.id("commit"), fields.digest("root"), fields.time("time"), fields.rest()
        )


Slot = VersionFile | Tombstone
"""What a slot holds."""


def decode_slot(data: Bytes, path: str, slot: int | None = None) -> Slot:
    """The version or tombstone in `data`. With `slot`, a document that says another number raises `FormatError`:
    a file that was copied or renamed is not what it seems."""
    document = decode_document(data, path)
    root_bytes = encode_known(document["inline"]) if "inline" in document else None
    document = unsealed(document, path, known=None if root_bytes is None else ("inline", root_bytes))
    found: Slot
    if document.get("kind") == "tombstone":
        found = Tombstone.from_json(document, path)
    else:
        found = VersionFile.from_json(document, path, root_bytes)
    if slot is not None and found.slot != slot:
        raise FormatError(message("reading a version", path=path, expected=f"slot {slot}", got=f"slot {found.slot}"))
    return found


def _input(item: JsonObject, path: str) -> Input:
    fields = Fields({**item, "format": 1}, path, None)
    return Input(
        fields.text("artifact", longest=2048),
        fields.digest("digest"),
        fields.integer_or_none("slot"),
        fields.text_or_none("alias", _NAME, "the name of an alias"),
        fields.rest(),
    )


def _check_inline(data: bytes, version: VersionFile, path: str) -> None:
    if version.root_size > MAX_INLINE_BYTES:
        raise FormatError(
            message(
                "reading a version",
                path=path,
                expected=f"inline: only roots of up to {MAX_INLINE_BYTES} bytes",
                got=version.root_size,
            )
        )
    if len(data) != version.root_size or digest_of(data) != version.root:
        raise CorruptError(
            message("reading a version", path=path, expected=f"inline: the root {version.root}, {version.root_size} bytes",
                    got=f"{digest_of(data)}, {len(data)} bytes", todo="read the root from manifests/ instead")
        )  # fmt: skip
