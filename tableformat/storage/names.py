"""The grammars of names: artifacts and aliases, entries, and addresses such as `s3://bucket/root#animals:v3/train`.

Only names of artifacts and aliases become paths, and only in the encoded form made here, in which an upper-case letter
is `!` and its lower-case one: no file system that folds case can merge two of them. Every other name of people lives
inside documents (spec/layout.md).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from tableformat.digest import is_digest
from tableformat.errors import IllegalNameError, message

__all__ = [
    "LATEST",
    "MAX_ENTRY_NAME",
    "Address",
    "Selector",
    "check_entry_name",
    "check_name",
    "decode_name",
    "encode_name",
    "entry_name",
    "folded",
    "parse_address",
    "parse_selection",
]

MAX_ENTRY_NAME: Final = 1024
"""Longest name of an entry, in characters."""
_MAX_ENCODED: Final = 255
"""Longest name of a file on most file systems; a name of 128 upper-case letters would need 256."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_RESERVED_SLOT = re.compile(r"v[0-9]+")
_SLOT = re.compile(r"v(0|[1-9][0-9]{0,14})")
_DEVICES: Final = frozenset({"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(10))})
"""Windows takes these for devices, in any case and with any extension."""
_UPPER = re.compile(r"[A-Z]")
_ENCODED_UPPER = re.compile(r"!([a-z])")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Selector:
    """Which version of an artifact: by slot, alias or digest; the newest one if none is given."""

    slot: int | None = None
    """The number of `v<number>`."""
    alias: str | None = None
    """A movable name."""
    digest: str | None = None
    """The version digest, `sha256:…`."""

    def __str__(self) -> str:
        if self.digest is not None:
            return f"@{self.digest}"
        if self.slot is not None:
            return f":v{self.slot}"
        return "" if self.alias is None else f":{self.alias}"


LATEST: Final = Selector()
"""The newest version that was not deleted."""


@dataclass(frozen=True, slots=True)
class Address:
    """A thing in a store: `<root>#<artifact>[:v3|:alias|@sha256:…][/<entry>]`. `str()` gives that form again."""

    root: str
    """Where the store lies, a URL or a path; taken as it stands."""
    artifact: str
    """Name of the artifact."""
    selector: Selector = LATEST
    """Which version of it."""
    entry: str | None = None
    """Name of an entry in that version; None for the version itself."""

    def __str__(self) -> str:
        entry = "" if self.entry is None else "/" + quote(self.entry, safe="/")
        return f"{self.root}#{quote(self.artifact, safe='')}{self.selector}{entry}"


def check_name(name: str, kind: str = "artifact") -> str:
    """`name` itself if an artifact or alias (`kind`, for the message) may be called so; raises `IllegalNameError`."""
    problem = _name_problem(name)
    if problem:
        raise IllegalNameError(
            message(f"naming an {kind}", expected="[A-Za-z0-9][A-Za-z0-9._-]{0,127}", got=f"{_shown(name)}: {problem}")
        )
    return name


def encode_name(name: str, kind: str = "artifact") -> str:
    """The segment of a path that stands for `name`, which is checked."""
    return _UPPER.sub(lambda letter: "!" + letter[0].lower(), check_name(name, kind))


def decode_name(segment: str, kind: str = "artifact") -> str:
    """The name that `segment` of a path stands for; raises `IllegalNameError` for what `encode_name` never makes."""
    name = _ENCODED_UPPER.sub(lambda letter: letter[1].upper(), segment)
    if "!" in name or _UPPER.search(segment) or _name_problem(name):
        raise IllegalNameError(
            message(f"reading the name of an {kind}", expected="an encoded name", got=_shown(segment))
        )
    return name


def entry_name(name: str) -> str:
    """`name` as entries are called: brought to Unicode form NFC and checked. Raises `IllegalNameError`."""
    return check_entry_name(unicodedata.normalize("NFC", name))


def check_entry_name(name: str) -> str:
    """`name` itself if it is the name of an entry as it stands on disk; raises `IllegalNameError` if not."""
    problem = _entry_problem(name)
    if problem:
        raise IllegalNameError(
            message("naming an entry", expected="segments with '/' between them, such as 'images/cat.png'",
                    got=f"{_shown(name)}: {problem}")
        )  # fmt: skip
    return name


def folded(name: str) -> str:
    """What two names must not have in common where a file system or an engine may fold case."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def parse_selection(text: str) -> tuple[str, Selector]:
    """The artifact and version in `text`, such as `animals`, `animals:v3`, `animals:best`, `animals@sha256:…`."""
    name, at, digest = text.partition("@")
    if at:
        if not is_digest(digest):
            raise _bad_address(text, "after @ stands sha256: and 64 lower-case hex digits")
        return check_name(name), Selector(digest=digest)
    name, colon, version = text.partition(":")
    check_name(name)
    if not colon or version == "latest":
        return name, LATEST
    slot = _SLOT.fullmatch(version)
    if slot:
        return name, Selector(slot=int(slot[1]))
    return name, Selector(alias=check_name(version, "alias"))


def parse_address(text: str) -> Address:
    """The address in `text`. The last `#` ends the root; what follows is percent-decoded, once.

    Raises `IllegalNameError` for anything but the grammar of spec/layout.md.
    """
    root, hash_sign, fragment = text.rpartition("#")
    if not hash_sign or not root:
        raise _bad_address(text, "a root, #, and the name of an artifact")
    selection, slash, entry = fragment.partition("/")
    decoded = _decoded(selection, text)
    # `/` and `#` in the first segment would have come from an escape; the grammar of names refuses them there.
    artifact, selector = parse_selection(decoded)
    if not slash:
        return Address(root, artifact, selector)
    return Address(root, artifact, selector, check_entry_name(_decoded(entry, text, keep="/")))


def _name_problem(name: object) -> str | None:
    if not isinstance(name, str):
        return "not text"
    if _NAME.fullmatch(name) is None:
        return "characters or length that names do not have"
    if name == "latest":
        return "'latest' is computed"
    if _RESERVED_SLOT.fullmatch(name):
        return "v and digits is the number of a version"
    if name.endswith("."):
        return "a dot at the end"
    if name.partition(".")[0].lower() in _DEVICES:
        return "the name of a device on some systems"
    if len(name) + len(_UPPER.findall(name)) > _MAX_ENCODED:
        return f"encoded longer than {_MAX_ENCODED} characters"
    return None


def _entry_problem(name: object) -> str | None:
    if not isinstance(name, str):
        return "not text"
    if not 1 <= len(name) <= MAX_ENTRY_NAME:
        return f"not 1 to {MAX_ENTRY_NAME} characters"
    if "\\" in name:
        return "a backslash"
    if not (
        name.isascii() and name.isprintable()
    ):  # as nearly all are: a look at each character costs as much as the rest
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
            return "a control character"
        if not unicodedata.is_normalized("NFC", name):
            return "not in Unicode form NFC"
    segments = name.split("/")
    if "" in segments:
        return "an empty segment"
    if "." in segments or ".." in segments:
        return "a segment '.' or '..'"
    return None


def _decoded(text: str, whole: str, keep: str = "") -> str:
    if _ESCAPE.search(text):
        raise _bad_address(whole, "two hex digits after each %")
    for character in keep:
        if f"%{ord(character):02x}" in text.lower():
            raise _bad_address(whole, f"no escaped {character!r}: it separates segments")
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeError as error:
        raise _bad_address(whole, "UTF-8 behind the escapes") from error


def _bad_address(text: str, expected: str) -> IllegalNameError:
    return IllegalNameError(
        message(
            "reading an address", expected=f"<root>#<name>[:version|@digest][/<entry>]: {expected}", got=_shown(text)
        )
    )


def _shown(value: object) -> str:
    """For messages: escaped, so that nothing in a name reaches a terminal as a command, and short."""
    return ascii(value)[:200]
