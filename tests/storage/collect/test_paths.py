"""Objects are told by their paths, and what is none of ours has no kind."""

from __future__ import annotations

import pytest

from tableformat.storage.collect.paths import kind_of, paths_of_uri, uri_of

HEX = "ab" * 32


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (f"manifests/{HEX}.json", "roots"),
        (f"manifests/{HEX}.parquet", "leaves"),
        (f"data/{HEX}.parquet", "parts"),
        (f"data/packs/ab/{HEX}.zip", "packs"),
        (f"data/blobs/ab/{HEX}", "blobs"),
        (f"data/blobs/ab/{HEX}.sums", "sums"),
        (f"moved/{HEX}.parquet", "moved"),
        (f"index/leaves/{HEX}.parquet", "index"),
        ("sessions/0123/begin.json", "sessions"),
        ("data/.tmp-12-ab", "temporary"),
        ("mine/.tmp-12-ab", None),
        (".tmp-12", None),
        (f"data/packs/00/{HEX}.zip", None),
        ("data/notes.parquet", None),
        (f"more/{HEX}.parquet", None),
        ("index/0/00000000000000000000.json", None),
        ("artifacts/a/versions/00000000000000000000.json", None),
        ("tableformat.json", None),
        ("gc/00000000000000000000/plan.json", None),
    ],
)
def test_kinds(path: str, kind: str | None) -> None:
    """Each object of the format has its kind; documents that are never collected, and all else, have none. [COLLECT-2]"""
    assert kind_of(path) == kind


def test_uris() -> None:
    """A pack is a file, a blob a file and its sums; both may have a moved/ file."""
    assert uri_of(f"data/packs/ab/{HEX}.zip") == f"packs/ab/{HEX}.zip"
    assert uri_of(f"data/{HEX}.parquet") is None
    assert paths_of_uri(f"packs/ab/{HEX}.zip") == [f"data/packs/ab/{HEX}.zip", f"moved/{HEX}.parquet"]
    assert len(paths_of_uri(f"blobs/ab/{HEX}")) == 3
