"""Cells of references that come as Arrow data: known to be fit as whole columns, so that millions are not looked at one by one."""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from tableformat.format.cells import fields_of

__all__ = ["are_plain_references"]

# Stricter than `check_url`: what is not surely fit is looked at cell by cell. No query, no user-info, no percent signs, no
# dots at the beginning of a segment, nothing that is not printable ASCII.
_URL: Final = r"^[A-Za-z][A-Za-z0-9+.-]+://[A-Za-z0-9._-]*(/([A-Za-z0-9_=+,~-][A-Za-z0-9._=+,~-]*)?)*$"
_CHECKSUM: Final = r"^(SHA-256:[0-9a-f]{64}|ETAG:.*)$"
_MAX_CHARACTERS: Final = 4096


def are_plain_references(array: pa.StructArray) -> bool:
    """Whether every cell of an array is a reference that may be stored as it is: whole objects, with plain URLs."""
    if not len(array) or array.null_count:
        return False
    outer = fields_of(array)
    file = fields_of(outer["file"])
    empty = (file["inline"], file["offset"], outer["digest"], outer["encoding"])
    if outer["file"].null_count or file["uri"].null_count or any(one.null_count != len(array) for one in empty):
        return False
    return (
        _all(pc.match_substring_regex(file["uri"], _URL))
        and _all(pc.less_equal(pc.utf8_length(file["uri"]), _MAX_CHARACTERS))
        and _all(pc.match_substring_regex(file["checksum"], _CHECKSUM))
        and _all(pc.greater_equal(file["size"], 0))
    )


def _all(found: pa.BooleanArray) -> bool:
    """Whether nothing is false; nulls say nothing."""
    return pc.all(found, min_count=0).as_py() is not False
