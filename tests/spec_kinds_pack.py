"""How the cases of `spec/pack.md` and `spec/blobs.md` are decoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tableformat.format.frame import decode_frame
from tableformat.format.pack import decode_pack, encode_pack
from tableformat.storage.index import IndexDocument
from tableformat.storage.large import check_sums
from tableformat.storage.location_table import decode_locations
from tableformat.storage.locations import stem_of
from tests.spec_runner import CaseKind


def decode_pack_case(data: bytes) -> object:
    """The blobs of a whole pack, with their bytes."""
    return {
        "blobs": [
            {
                "digest": f"sha256:{blob.digest.hex()}",
                "ext": blob.ext,
                "offset": blob.offset,
                "size": blob.size,
                "crc32": blob.crc32,
                "hex": data[blob.offset : blob.offset + blob.size].hex(),
            }
            for blob in decode_pack(data, "case")
        ]
    }


def encode_pack_case(value: Any) -> bytes:
    """The one pack that holds these blobs in this order."""
    return encode_pack([(bytes.fromhex(blob["hex"]), blob["ext"]) for blob in value["blobs"]])


def decode_index_case(data: bytes) -> object:
    """The leaves that a document of the index names."""
    return [leaf.to_json() for leaf in IndexDocument.decode(data, "case").leaves]


def decode_sums_case(data: bytes) -> object:
    """The sums of a blob, which follow its size as eight bytes."""
    sums = check_sums(data[8:], int.from_bytes(data[:8], "little"), "case")
    return [sums[k : k + 32].hex() for k in range(0, len(sums), 32)]


def locations_case(*, erased: bool) -> Callable[[bytes], object]:
    """Decodes a table of locations: a leaf of the index, or, with `erased`, a moved/ file."""

    def decode(data: bytes) -> object:
        table = decode_locations(data, "case", erased=erased)
        rows = zip(table.run.digests(), table.run.rows.tolist(), strict=True)
        return [
            {"digest": digest.tobytes().hex(), "uri": None}
            if slot < 0
            else {"digest": digest.tobytes().hex(), "uri": table.uris[slot], "offset": offset, "size": size}
            for digest, (_, offset, size, slot) in rows
        ]

    return decode


CASE_KINDS: dict[str, CaseKind | Callable[[bytes], object]] = {
    "pack": CaseKind(decode_pack_case, encode_pack_case),
    "frame": lambda data: {"hex": decode_frame(data, None, "case").hex()},
    "sums": decode_sums_case,
    "uri": lambda data: {"stem": stem_of(data.decode("utf-8"))},
    "index": decode_index_case,
    "locations": locations_case(erased=False),
    "moved": locations_case(erased=True),
}
