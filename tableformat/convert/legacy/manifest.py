"""`wandb_manifest.json`: what an artifact of old holds, entry by entry: digests, sizes, references."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import xxhash

from tableformat.convert.legacy.text import decode_object
from tableformat.errors import FormatError, InvalidInputError, Problem, message

__all__ = ["ArtifactRef", "Manifest", "ManifestEntry", "parse_ref", "plain_text", "read_manifest"]

_REF: Final = re.compile(r"wandb-(?:client-)?artifact://([^/]+)/(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ArtifactRef:
    """A reference to a file of another artifact."""

    artifact: str
    """The id of the artifact: hex, or that of a client."""
    path: str
    """The path in it."""


def parse_ref(ref: str | None) -> ArtifactRef | None:
    """What `wandb-artifact://<hex id>/<path>` points at; None for any other URL."""
    found = _REF.fullmatch(ref) if ref is not None else None
    return None if found is None else ArtifactRef(found[1], found[2])


class ManifestEntry(NamedTuple):
    """One line of a manifest."""  # a tuple: there is one for each file

    path: str
    """Path in the artifact; not yet checked."""
    digest: str
    """As it stands: base64 of the md5 for files, whatever the server said for references."""
    size: int | None
    """Bytes; None where it is not told."""
    ref: str | None = None
    """What it points at; None for a file."""
    extra: Mapping[str, Any] = MappingProxyType({})
    """What else is known: `etag`, `versionID`, `alg`."""
    birth: str | None = None
    """The id of the artifact that first held the file."""

    @property
    def digest_kind(self) -> str:
        """What the digest is: `md5`, `xxh128`, `etag`, `url`, or `unknown`."""
        if self.extra.get("alg") == "XXH128":
            return "xxh128"
        if self.ref is None or parse_ref(self.ref) is not None:
            return "md5" if _raw(self.digest, 16) is not None else "unknown"
        if self.digest == self.ref:
            return "url"
        if self.ref.startswith("file://"):
            # Without a checksum it is that of the path; nothing in the manifest tells the two apart.
            return "md5" if _raw(self.digest, 16) is not None else "unknown"
        if self.ref.startswith("gs://") and "etag" in self.extra:
            return "md5"
        return "etag"

    @property
    def version_id(self) -> str | None:
        """The version of the object that a reference means."""
        version = self.extra.get("versionID")
        return None if version is None else plain_text(str(version))

    def refer(self, make: Callable[..., Any], size: int | None, **more: Any) -> Any:
        """Media made by `make`, the `refer` of a class, that point where the entry does. Raises `InvalidInputError`."""
        assert self.ref is not None
        if plain_text(self.ref) != self.ref:
            raise InvalidInputError(
                message(
                    "referring to a legacy entry",
                    path=plain_text(self.ref)[:200],
                    expected="a URL",
                    got="lone surrogates",
                )
            )
        if self.digest_kind == "etag" and "checksum" not in more:
            more["checksum"] = f"ETAG:{plain_text(self.digest)}"
        return make(self.ref, size=size, version_id=self.version_id, **more)

    def problem_of(self, data: bytes) -> str | None:
        """What is wrong with the bytes of a file; None where they are those of the manifest."""
        if self.size is not None and self.size != len(data) and (self.size or self.ref is None):
            return f"{len(data)} bytes where the manifest says {self.size}"
        kind = self.digest_kind
        if kind in ("md5", "xxh128"):
            return self.problem_of_digest(
                hashlib.md5(data, usedforsecurity=False).digest() if kind == "md5" else xxhash.xxh3_128_digest(data)
            )
        return None

    def problem_of_digest(self, found: bytes) -> str | None:
        """What is wrong with the digest of a file, of the kind that the manifest has."""
        raw = _raw(self.digest, 16)
        return None if raw is None or raw == found else f"another {self.digest_kind} than the manifest says"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The entries of an artifact, in the manifest's order."""

    entries: Mapping[str, ManifestEntry]
    """By path."""
    digest: str
    """A digest of the document itself, `sha256:…`."""


def plain_text(text: str) -> str:
    """`text` with lone surrogates as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _raw(digest: str, size: int) -> bytes | None:
    try:
        raw = base64.b64decode(digest, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == size else None


def read_manifest(data: bytes, path: str) -> tuple[Manifest, list[Problem]]:
    """The manifest in `data`, and what is wrong with some of its entries, which are left out. Raises `FormatError`."""
    document, problems = decode_object(data, path)
    contents = document.get("contents") if isinstance(document, dict) else None
    if not isinstance(contents, dict):
        raise FormatError(
            message(
                "reading a legacy manifest",
                path=path,
                expected="an object with 'contents'",
                got=type(document).__name__,
            )
        )
    if document.get("version") != 1:
        problems.append(
            Problem(path, f"a manifest of version {document.get('version')!r:.40}, read as version 1", "manifest")
        )
    entries = {}
    for name, item in contents.items():
        if not isinstance(item, dict) or not isinstance(item.get("digest"), str):
            problems.append(Problem(f"{path}: {name!r:.200}", "an entry without a digest", "manifest"))
            continue
        size, ref, extra = item.get("size"), item.get("ref"), item.get("extra")
        entries[name] = ManifestEntry(
            name,
            item["digest"],
            size if type(size) is int and 0 <= size < 2**63 else None,
            ref if isinstance(ref, str) else None,
            extra if isinstance(extra, dict) else {},
            item["birthArtifactID"] if isinstance(item.get("birthArtifactID"), str) else None,
        )
    return Manifest(entries, "sha256:" + hashlib.sha256(data).hexdigest()), problems
