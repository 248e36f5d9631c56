"""Verification of the small documents of an artifact: the marker, a version file, the moves of its aliases, the hint.

Nothing outside of these documents holds their digest, so each holds its own, in `check`. Compared are that, their canonical
form, every field's form, and what two of them say of the same thing.
"""

from __future__ import annotations

from tableformat.digest import is_digest
from tableformat.document import JsonObject, decode_document
from tableformat.errors import CorruptError, FormatError, NotFoundError
from tableformat.format.documents import check_requires
from tableformat.storage.aliases import AliasMove
from tableformat.storage.interface import Backend
from tableformat.storage.marker import MARKER_PATH, Marker
from tableformat.storage.names import encode_name
from tableformat.storage.series import slot_name
from tableformat.storage.verify_report import Findings
from tableformat.storage.versionfile import MAX_VERSION_BYTES, Tombstone, VersionFile, decode_slot

__all__ = ["DocumentVerifier"]

_MAX_SMALL = 64 << 10
_MAX_MOVES = 1_000_000


class DocumentVerifier:
    """Verifies the documents of the artifact `name`. Holds one document at a time."""

    def __init__(self, backend: Backend, findings: Findings, name: str) -> None:
        self._backend = backend
        self._findings = findings
        self._folder = f"artifacts/{encode_name(name)}"

    def check_marker(self) -> None:
        """The marker of the store."""
        with self._findings.guard(MARKER_PATH):
            data = self._read(MARKER_PATH, _MAX_SMALL)
            marker = Marker.from_bytes(data, MARKER_PATH)
            check_requires(marker.requires, writing=False, path=MARKER_PATH)
            _check_seal(decode_document(data, MARKER_PATH, canonical=True))

    def check_version(self, slot: int) -> VersionFile | str | None:
        """The version file in `slot`, or where its fields are damaged the root that it still names; None: nothing to go on."""
        path = self._version_path(slot)
        root: str | None = None
        version: VersionFile | None = None
        with self._findings.guard(path):
            data = self._read(path, MAX_VERSION_BYTES)
            document = decode_document(data, path)
            root = document.get("root") if is_digest(document.get("root")) else None
            _check_seal(decode_document(data, path, canonical=True))
            found = decode_slot(data, path, slot)
            if isinstance(found, Tombstone):
                raise NotFoundError(f"the version was deleted on {found.time}")
            check_requires(found.requires, writing=False, path=path)
            version = found
        if version is not None and slot:
            self._check_predecessor(version, path)
        return version if version is not None else root

    def check_aliases(self) -> None:
        """Every move of every alias: its form, and that it names a version by its own digest."""
        for segment in self._backend.list_folders(f"{self._folder}/aliases"):
            for number in range(_MAX_MOVES):
                path = f"{self._folder}/aliases/{segment}/{slot_name(number)}"
                with self._findings.guard(path):
                    data = self._backend.read_or_none(path, limit=_MAX_SMALL)
                    if data is None:
                        break
                    self._findings.read(path, len(data), files=1)
                    _check_seal(decode_document(data, path, canonical=True))
                    move = AliasMove.from_bytes(data, path)
                    if move.slot is not None and self._root_of(move.slot) != move.root:
                        raise CorruptError(f"v{move.slot} does not have the digest {move.root}")

    def check_hint(self) -> None:
        """The hint, if there is one: damage there costs requests and is repaired by the next commit."""
        path = f"{self._folder}/hint.json"
        with self._findings.guard(path):
            data = self._backend.read_or_none(path, limit=_MAX_SMALL)
            if data is not None:
                self._findings.read(path, len(data), files=1)
                slot = decode_document(data, path, canonical=True).get("slot")
                if not isinstance(slot, int) or self._backend.size(self._version_path(slot)) is None:
                    raise FormatError(f"it names the slot {slot!r}, where nothing is; the next commit writes it again")

    def _check_predecessor(self, version: VersionFile, path: str) -> None:
        with self._findings.guard(path):
            before = self._root_of(version.slot - 1)
            if before != version.predecessor:
                raise CorruptError(f"its predecessor is {version.predecessor}, and v{version.slot - 1} is {before}")

    def _root_of(self, slot: int) -> str | None:
        """The version digest that the document in a slot names, whatever else is wrong with it; None where none is."""
        path = self._version_path(slot)
        data = self._backend.read_or_none(path, limit=MAX_VERSION_BYTES)
        if data is None:
            raise CorruptError(f"slot {slot} is not taken, and it is named")
        document: JsonObject = decode_document(data, path)
        root = document.get("root")
        return root if isinstance(root, str) else None

    def _read(self, path: str, limit: int) -> bytes:
        data = self._backend.read_or_none(path, limit=limit)
        if data is None:
            raise NotFoundError("no such file; restore it from a copy of the store")
        self._findings.read(path, len(data), files=1)
        return data

    def _version_path(self, slot: int) -> str:
        return f"{self._folder}/versions/{slot_name(slot)}"


def _check_seal(document: JsonObject) -> None:
    """Readers do without `check`, so that documents of other writers can be read; a verification has nothing else to go by."""
    if "check" not in document:
        raise CorruptError("it does not hold its own digest, `check`")
