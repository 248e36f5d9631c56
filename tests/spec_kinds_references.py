"""How the cases of spec/references.md are decoded."""

from __future__ import annotations

from collections.abc import Callable

from tableformat.document import decode_document, encode_document
from tableformat.errors import FormatError
from tableformat.format.reference import refusal
from tableformat.storage.reference_lists import ReferenceList
from tests.spec_runner import CaseKind


def decode_policy(data: bytes) -> object:
    """Which URLs a reader of the store at `root` with `allow` may open, against what is stated."""
    case = decode_document(data, "case")
    found = {url: refusal(url, case["root"], case["allow"]) is None for url in case["urls"]}
    if found != case["urls"]:
        raise FormatError(f"allowed are {found}")
    return case


def decode_entry(data: bytes) -> object:
    """The fields of an entry of references."""
    return ReferenceList.from_json(decode_document(data, "case"), "case").to_json()


CASE_KINDS: dict[str, CaseKind | Callable[[bytes], object]] = {
    "reference-policy": decode_policy,
    "reference-entry": CaseKind(decode_entry, encode_document),
}
"""Name of a kind → how to run its cases."""
