"""Checking an entry of references: its leaves against their digests, and the lines in them against what the entry says.

What the references point at is not looked at: that is `drift`.
"""

from __future__ import annotations

from collections.abc import Iterator

from tableformat.document import JsonObject
from tableformat.errors import CorruptError, FormatError
from tableformat.format.reference_leaf import Listed, decode_leaf, listed_of
from tableformat.storage.interface import Backend
from tableformat.storage.manifests import leaf_path, read_verified
from tableformat.storage.reference_lists import ReferenceList, Tally
from tableformat.storage.verify_report import Findings

__all__ = ["check_references"]


def check_references(
    backend: Backend, findings: Findings, listed: ReferenceList, files: Iterator[JsonObject], place: str
) -> str | None:
    """Read every leaf, `files`, and compare it with what is said of it. Returns the digest of all lines, None where some could
    not be read. Holds a leaf."""
    tally = Tally()
    tally.add(listed.inline)
    whole, last = True, None
    for item in files:
        path = leaf_path(str(item.get("digest")))
        lines: list[Listed] | None = None
        with findings.guard(path):
            data = read_verified(backend, path, str(item.get("digest")))
            findings.read(path, len(data), files=1)
            lines = list(listed_of(decode_leaf(data, path, item.get("rows"))))
            told = (item.get("size"), item.get("key"), item.get("last"))
            if (len(data), lines[0].path, lines[-1].path) != told:
                raise CorruptError(f"its size, first and last path are not the {told} of {place}")
            if last is not None and lines[0].path <= last:
                raise FormatError(f"its first path, {lines[0].path!r}, does not follow {last!r}")
            last = lines[-1].path
        whole &= lines is not None
        tally.add(lines or [])
    findings.count(references=tally.count)
    if not whole:
        return None
    found = (tally.count, tally.total)
    if found != (listed.count, listed.bytes):
        findings.add(
            place, f"it says {listed.count} references of {listed.bytes} bytes, its lines are {found[0]} of {found[1]}"
        )
    return tally.digest(listed.prefix)
