"""References: what is known of bytes that the store does not own, whether they changed, and where a URL may lead.

Pure: URLs are texts here, no name is resolved and nothing is opened. What a store may point at is decided by its reader
(spec/references.md, "Policy"): `refusal` says why a URL is refused, and the exact argument that allows it if there is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from tableformat.errors import InvalidInputError, message
from tableformat.format.limits import DEFAULT_LIMITS, Limits
from tableformat.format.media.links import check_url, is_url
from tableformat.format.media.prepared import CHECKSUM_PREFIX

__all__ = [
    "HTTP",
    "LOCAL",
    "NOTHING",
    "NO_REACH",
    "Known",
    "Reach",
    "State",
    "checksum_of",
    "compare",
    "file_path",
    "is_allowed",
    "known_of_cell",
    "moved_url",
    "normal_etag",
    "normal_prefixes",
    "own_prefixes",
    "refusal",
    "scheme_of",
    "shown",
    "suggested_prefix",
]

State = Literal["ok", "changed", "missing", "unknown"]
"""What became of a reference: as it was, another, gone, or nobody can tell."""

LOCAL: Final = frozenset({"file", "local"})
"""Schemes of paths of this machine."""
HTTP: Final = frozenset({"http", "https"})
"""Schemes whose hosts are looked up, and must be public."""
_WRAPPERS: Final = frozenset(
    {
        "asynclocal", "asyncwrapper", "blockcache", "cached", "dask", "data", "dir", "filecache", "generic", "git", "jlab",
        "jupyter", "lakefs", "libarchive", "local+cache", "reference", "simplecache", "tar", "zip",
    }
)  # fmt: skip
# What leads elsewhere than its own URL says: caches, containers, other programs.
_ETAG: Final = "ETAG:"
_TIME_TAG: Final = "mtime-"
_DECODINGS: Final = 4
_BRACKETED: Final = re.compile(r"://\[[0-9A-Fa-f:.]+\]")  # a host that is a number of IPv6


@dataclass(frozen=True, slots=True)
class Known:
    """What was told of an object when somebody looked: every field may be unknown."""

    size: int | None = None
    """Bytes."""
    etag: str | None = None
    """Its entity tag, without quotes; a weak one begins with `W/`."""
    version: str | None = None
    """Its version id, or its generation as a decimal number."""
    modified: int | None = None
    """When it was last written, in microseconds since 1970, UTC."""
    digest: str | None = None
    """`sha256:<hex>` of its bytes, where they were read."""

    def told(self) -> str:
        """For messages: `12 bytes, etag abc, version 3`."""
        parts = [
            None if self.size is None else f"{self.size} bytes",
            None if self.etag is None else f"etag {self.etag}",
            None if self.version is None else f"version {self.version}",
            None if self.modified is None else f"written {_time(self.modified)}",
            self.digest,
        ]
        return ", ".join(part for part in parts if part is not None) or "nothing known"


def _time(microseconds: int) -> str:
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    except OverflowError:
        return f"{microseconds} µs after 1970"
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


NOTHING: Final = Known()
"""Nothing known."""


class Reach(NamedTuple):
    """What a reader allowed, as it goes into pickles: never credentials."""

    allow: tuple[str, ...] = ()
    """URL prefixes under which references may be opened."""
    moves: tuple[tuple[str, str], ...] = ()
    """Pairs of an old and a new URL prefix."""
    options: Any = None
    """An importable function that gives the options of file systems, or None."""
    limits: Limits = DEFAULT_LIMITS
    """What its bytes may ask of memory."""


NO_REACH: Final = Reach()
"""Nothing allowed."""


def normal_etag(text: str | None) -> str | None:
    """An entity tag without its quotes; None for none."""
    if not text:
        return None
    weak = text.startswith("W/")
    bare = text.removeprefix("W/").strip('"')
    return (f"W/{bare}" if weak else bare) if bare else None


def compare(expected: Known, found: Known, *, moved: bool = False) -> State:
    """`ok`, `changed`, or `unknown`, by the strongest facts that both sides tell.

    Digest first, then size (which can only disprove), version, etag, time. An equal version proves equality whatever the etag
    says (Google's tags change with metadata), an equal etag whatever the version says (the same bytes were written again).
    Of an object that was `moved`, versions, times and the tags of large ones are new: they prove, and disprove nothing.
    """
    if expected.digest is not None and found.digest is not None:
        return "ok" if expected.digest == found.digest else "changed"
    if expected.size is not None and found.size is not None and expected.size != found.size:
        return "changed"
    told = (_same(expected.version, found.version), _same(_strong(expected.etag), _strong(found.etag)))
    if True in told:
        return "ok"
    if moved:
        return "unknown"
    if False in told:
        return "changed"
    same = _same(expected.modified, found.modified)
    return "unknown" if same is None else "ok" if same else "changed"


def _same(a: object, b: object) -> bool | None:
    return None if a is None or b is None else a == b


def _strong(etag: str | None) -> str | None:
    return None if etag is None else etag.removeprefix("W/")


def checksum_of(known: Known) -> str | None:
    """The `checksum` of a cell that points at such an object: its SHA-256, its etag, or the time it was written."""
    if known.digest is not None:
        return CHECKSUM_PREFIX + known.digest.removeprefix("sha256:")
    if known.etag is not None:
        return _ETAG + known.etag
    return None if known.modified is None else f"{_ETAG}{_TIME_TAG}{known.modified}"


def known_of_cell(checksum: str | None, version_id: str | None, size: int | None, offset: int | None = None) -> Known:
    """What a cell tells of the object at its `uri`. Size and digest are those of the range, and so not of a container's."""
    etag, modified, digest = None, None, None
    if checksum is not None and checksum.startswith(_ETAG):
        etag = normal_etag(checksum[len(_ETAG) :])
        written = (etag or "").removeprefix(_TIME_TAG)
        if etag is not None and written != etag and written.isdecimal():
            etag, modified = None, int(written)
    elif checksum is not None and checksum.startswith(CHECKSUM_PREFIX) and offset is None:
        digest = f"sha256:{checksum[len(CHECKSUM_PREFIX) :]}"
    return Known(size if offset is None else None, etag, version_id, modified, digest)


# Where a URL may lead


def scheme_of(url: str) -> str:
    """The scheme in lower case; empty for what is no URL."""
    return url.partition("://")[0].lower() if is_url(url) else ""


def shown(url: str) -> str:
    """A URL for messages: without user-info, query and fragment, escaped and short."""
    bare = re.sub(r"(?<=://)[^/\s]*@", "…@", re.split(r"[?#]", url, maxsplit=1)[0])
    return bare[:300] if bare.isprintable() else ascii(bare)[:300]


def file_path(url: str) -> str | None:
    """The local path that a `file:` URL names; None where it names another machine."""
    rest = url.partition("://")[2]
    host, slash, path = rest.partition("/")
    if not slash or host not in ("", "localhost"):
        return None
    return url2pathname(f"/{path}")


def is_allowed(url: str, allow: Sequence[str]) -> bool:
    """Whether `url` lies below one of the prefixes in `allow`.

    A prefix ends at a segment: `s3://bucket/a` covers `s3://bucket/a/b` and not `s3://bucket/ab`; `s3://` covers its scheme. URLs
    with `.` or `..` segments, however often they are percent-encoded, backslashes, control characters, user-info or
    chained file systems (`::`) are below nothing.
    """
    if not is_url(url) or _crooked(url) is not None:
        return False
    scheme = url.partition("://")[0]
    for prefix in allow:
        stem = prefix.rstrip("/")
        if "://" not in prefix or not stem.partition("://")[2]:
            if prefix in (f"{scheme}://", f"{scheme}:///"):  # a whole scheme, allowed on purpose
                return True
            continue
        if url == stem or url.startswith((stem + "/", stem + "?")):
            return True
    return False


def _crooked(url: str) -> str | None:
    """What makes it doubtful where a URL leads; None for a plain one."""
    text = url
    for _ in range(_DECODINGS):
        if "::" in _BRACKETED.sub("://host", text, count=1):
            return "a chain of file systems (::)"
        if "\\" in text or any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
            return "a backslash or control character"
        path = re.split(r"[?#]", text.partition("://")[2], maxsplit=1)[0]
        if any(part in (".", "..") for part in path.split("/")):
            return "a '.' or '..' segment"
        if (decoded := unquote(text)) == text:
            break
        text = decoded
    else:
        return "percent signs encoded over and over"
    try:
        crooked = "@" in urlsplit(url).netloc or "@" in urlsplit(text).netloc
    except ValueError:
        return "no host that can be read"
    return "user-info" if crooked else None


def refusal(url: str, root: str, allow: Sequence[str]) -> tuple[str, str] | None:
    """Why a reader of the store at `root` refuses `url`, and what to do; None where it is allowed.

    Says nothing of the addresses behind a host and of symbolic links: who opens the URL checks those.
    """
    scheme = scheme_of(url)
    if (crooked := _crooked(url)) is not None or not scheme:
        return crooked or "no absolute URL", "nothing allows it: have it written again as the plain URL of the object"
    if scheme in _WRAPPERS:
        return f"{scheme}://, which opens something else than itself", "nothing allows it: refer to the object itself"
    if scheme in LOCAL and "://" in root:
        return (
            "a file of this machine, out of a store that is not on it",
            "nothing allows it: own the bytes, or refer to an object",
        )
    if scheme in LOCAL and file_path(url) is None:
        return "a file of another machine", "nothing allows it: refer to the file by its path"
    if is_allowed(url, (*allow, *own_prefixes(root))):
        return None
    return (
        "outside of the store and of what was allowed",
        f"if you trust it, open with allow=[{suggested_prefix(url)!r}]",
    )


def own_prefixes(root: str) -> tuple[str, ...]:
    """The URL prefix of the store itself."""
    from pathlib import Path

    return (root.rpartition("::")[2],) if "://" in root else (Path(root).as_uri(),)


def suggested_prefix(url: str) -> str:
    """The shortest prefix that names one place: the bucket or host, or the folder of a local file."""
    if scheme_of(url) in LOCAL:
        return shown(url).rpartition("/")[0] + "/"
    bare = shown(url)
    end = bare.find("/", bare.find("://") + 3)
    return bare[: end + 1] if end > 0 else bare


def normal_prefixes(prefixes: Iterable[str], doing: str) -> tuple[str, ...]:
    """URL prefixes as a caller gives them: absolute paths become `file:` URLs. Raises `InvalidInputError` for others, and for
    secrets: prefixes are shown, and go into pickles."""
    found = []
    for prefix in prefixes:
        if not isinstance(prefix, str):
            raise InvalidInputError(message(doing, expected="URL prefixes as text", got=type(prefix).__name__))
        if re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]+:///?", prefix):
            found.append(prefix)
        else:
            url = check_url(prefix, doing)
            found.append(url + "/" if prefix.endswith("/") and not url.endswith("/") else url)
    return tuple(found)


def moved_url(url: str, moves: Sequence[tuple[str, str]]) -> str:
    """`url` with the longest old prefix that covers it replaced by its new one. A prefix ends at a segment."""
    for old, new in sorted(moves, key=lambda move: len(move[0]), reverse=True):
        stem = old.rstrip("/")
        if url == stem or url.startswith(stem + "/"):
            return new.rstrip("/") + url[len(stem) :]
    return url
