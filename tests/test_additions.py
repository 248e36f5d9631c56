"""What a draft brings in: files, folders, references, tables of references; owning, drift and moved buckets."""

from __future__ import annotations

import os
import pickle
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pytest

import tableformat
from tableformat import Image, col
from tableformat.errors import (
    AccessRefusedError,
    BackendError,
    ExistsError,
    InvalidInputError,
    NotFoundError,
    ReferenceChangedError,
    UsageError,
)
from tableformat.format.media.png import encode_png
from tableformat.table.references import References

PNGS = [encode_png(np.random.default_rng(number).integers(0, 255, (40, 40), np.uint8)) for number in range(6)]
SECRETS = [
    "s3://key:hunter2@bucket/a/",
    "https://host/a.png?X-Amz-Signature=hunter2",
    "https://host/a?sig=hunter2",
    "s3://b/a?token=hunter2",
    "https://host/a?%73ig=hunter2",
    "https://storage.googleapis.com/b/a?x=1;X-Goog-Signature=hunter2",
    "gs://b/a#access_token=hunter2",
]


@pytest.fixture
def bucket() -> Iterator[str]:
    """Six images of two classes in a bucket of the memory."""
    name = f"bucket-{uuid.uuid4().hex}"
    memory = fsspec.filesystem("memory")
    for number, png in enumerate(PNGS):
        memory.pipe_file(f"/{name}/{'cats' if number % 2 else 'dogs'}/{number} a.png", png)
    yield f"memory://{name}"
    for folder in (f"/{name}", f"/new-{name}"):
        if memory.exists(folder):
            memory.rm(folder, recursive=True)


@pytest.fixture
def store(tmp_path: Path) -> tableformat.Store:
    return tableformat.open_store(tmp_path / "store")


def put(url: str, data: bytes) -> None:
    fsspec.filesystem("memory").pipe_file("/" + url.removeprefix("memory://"), data)


def again(store: tableformat.Store, **options: Any) -> tableformat.Store:
    """The store as another person opens it."""
    return tableformat.open_store(store.root, create=False, **options)


# References


def test_one_object_or_all_below_a_prefix(store: tableformat.Store, bucket: str) -> None:
    """An object becomes a file entry, a prefix a mapping of paths to files, by listing alone. [REF-11]"""
    with store.draft("a") as draft:
        assert draft.add_reference(f"{bucket}/cats/1 a.png") == "1 a.png"
        assert draft.add_reference(bucket, "all", progress=False) == "all"
        assert isinstance(draft["all"], References)
    artifact = store["a"]
    assert artifact.kinds() == {"1 a.png": "reference", "all": "reference"}
    assert artifact["1 a.png"].bytes() == PNGS[1]
    found = artifact["all"]
    assert (len(found), found.prefix, found.bytes) == (6, f"{bucket}/", sum(map(len, PNGS)))
    assert list(found) == sorted(found) == [path for path, _ in found.items()]
    assert found["dogs/0 a.png"].bytes() == PNGS[0]
    assert pickle.loads(pickle.dumps(found["dogs/0 a.png"])).name == "0 a.png"
    assert "x" not in found
    with pytest.raises(NotFoundError):
        found["x"]
    [batch] = found.batches()
    assert batch.column("uri").to_pylist()[0] == f"{bucket}/cats/1 a.png"
    assert batch.column("size").to_pylist() == [len(PNGS[number]) for number in (1, 3, 5, 0, 2, 4)]
    assert store.verify("a").ok
    assert store.verify("a").references == 7


def test_checksums_are_kept(store: tableformat.Store, bucket: str) -> None:
    """With `checksum=True` bytes are read once, and a change is noticed whatever the time of writing. [REF-9]"""
    with store.draft("a") as draft:
        draft.add_reference(bucket, "all", checksum=True)
    known = store["a"]["all"].known("cats/1 a.png")
    assert known.digest == Image(PNGS[1]).digest
    assert store["a"]["all"]["cats/1 a.png"].digest == known.digest
    put(f"{bucket}/cats/1 a.png", PNGS[3])
    with pytest.raises(ReferenceChangedError, match=r"sha256:|bytes"):
        store["a"]["all"]["cats/1 a.png"].bytes()


@pytest.mark.parametrize("url", SECRETS)
def test_secrets_are_refused_at_write(store: tableformat.Store, url: str) -> None:
    """User-info and signed queries are refused on every way in, and the message does not repeat them. [REF-5]"""
    draft = store.draft("a")
    struct = {
        "file": {"uri": url, "offset": None, "size": None, "content_type": None, "checksum": None, "inline": None}
    }
    cell = pa.array([{**struct}], tableformat.ImageType().storage())

    def by_arrow() -> None:
        with draft.table("u", {"image": tableformat.ImageType()}) as table:
            table.extend(pa.table({"image": cell}))

    for take in (
        lambda: draft.add_reference(url, "x"),
        lambda: draft.add_references("t", url),
        lambda: Image.refer(url),
        lambda: draft.add(Image.refer(url), "y"),
        by_arrow,
    ):
        with pytest.raises(InvalidInputError) as caught:
            take()
        assert "hunter2" not in str(caught.value)
    draft.discard()


def test_secrets_are_written_nowhere(tmp_path: Path, bucket: str, caplog: pytest.LogCaptureFixture) -> None:
    """Options of file systems stand in no file, log line, repr, pickle or error. [REF-5]"""
    store = tableformat.open_store(
        tmp_path / "store", storage_options={"key": "hunter2", "secret": "hunter2"}, allow=["s3://x/"]
    )
    with caplog.at_level("DEBUG", "tableformat"), store.draft("a") as draft, draft.table("t") as table:
        table.append(image=Image.refer(f"{bucket}/cats/1 a.png"))
    texts = [repr(store), repr(store.context.outside), repr(store["a"]), caplog.text]
    things = (store, store["a"], store["a"]["t"], store["a"]["t"][0]["image"], store.context.outside)
    texts += [str(pickle.dumps(thing)) for thing in things]
    with pytest.raises(AccessRefusedError) as caught:
        again(store, storage_options={"key": "hunter2"})["a"]["t"][0]["image"].bytes()
    texts.append(str(caught.value))
    texts += [str(path.read_bytes()) for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert not [text for text in texts if "hunter2" in text]


def test_who_refers_has_allowed_it(store: tableformat.Store, bucket: str) -> None:
    """For the opened store through which it was referred to, and no other; by argument or environment for others. [REF-1]"""
    with store.draft("a") as draft, draft.table("t") as table:
        table.append(image=Image.refer(f"{bucket}/cats/1 a.png"))
    assert store["a"]["t"][0]["image"].bytes() == PNGS[1]
    with pytest.raises(AccessRefusedError, match=rf"allow=\['{bucket}/'\]"):
        again(store)["a"]["t"][0]["image"].bytes()
    with pytest.raises(AccessRefusedError):
        list(again(store)["a"]["t"].rows(media="bytes"))
    assert next(iter(again(store, allow=[bucket])["a"]["t"].rows(media="bytes")))["image"] == PNGS[1]


def test_the_environment_allows(store: tableformat.Store, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`TABLEFORMAT_ALLOW` names prefixes, white space between them. [REF-1]"""
    with store.draft("a") as draft:
        draft.add_reference(bucket, "all")
    monkeypatch.setenv("TABLEFORMAT_ALLOW", f"s3://x/ {bucket}/cats/")
    opened = again(store)["a"]["all"]
    assert opened["cats/1 a.png"].bytes() == PNGS[1]
    with pytest.raises(AccessRefusedError):
        opened["dogs/0 a.png"].bytes()


def test_a_hostile_store_opens_nothing(store: tableformat.Store, tmp_path: Path, bucket: str) -> None:
    """Cells that were forged to lead to local files are refused from a store that is not local, even if that is allowed. [REF-3]"""
    (tmp_path / "secret").write_bytes(b"secret")
    remote = tableformat.open_store(f"{bucket}/store")
    draft = remote.draft("a")
    with pytest.raises(AccessRefusedError):
        draft.add_reference((tmp_path / "secret").as_uri())
    with pytest.raises(AccessRefusedError), draft.table("t") as table:
        table.append(image=Image.refer(tmp_path / "secret"))
        table.close()
    draft.discard()
    with store.draft("a") as draft, draft.table("t") as table:
        table.append(image=Image.refer(tmp_path / "secret"))
    fs = fsspec.filesystem("memory")
    fs.put(f"{store.root}/", f"/{bucket.removeprefix('memory://')}/copy/", recursive=True)
    copied = tableformat.open_store(f"{bucket}/copy", create=False, allow=["file:///", str(tmp_path)])
    with pytest.raises(AccessRefusedError, match="nothing allows it"):
        copied["a"]["t"][0]["image"].bytes()


def test_a_moved_bucket(store: tableformat.Store, bucket: str) -> None:
    """Prefixes given at open say where what is referred to lies now; they are allowed, and kept in pickles. [REF-6]"""
    with store.draft("a") as draft:
        draft.add_reference(bucket, "all", checksum=True)
        draft.add_references("t", bucket)
    memory = fsspec.filesystem("memory")
    memory.mv(f"/{bucket.removeprefix('memory://')}", f"/new-{bucket.removeprefix('memory://')}/here", recursive=True)
    new = f"memory://new-{bucket.removeprefix('memory://')}/here/"
    with pytest.raises(NotFoundError, match="map="):
        store["a"]["all"]["cats/1 a.png"].bytes()
    opened = again(store, map={f"{bucket}/": new})
    assert opened["a"]["all"]["cats/1 a.png"].bytes() == PNGS[1]
    assert pickle.loads(pickle.dumps(opened["a"]["all"]["cats/1 a.png"])).bytes() == PNGS[1]
    assert pickle.loads(pickle.dumps(opened))["a"]["all"]["cats/1 a.png"].bytes() == PNGS[1]
    assert opened["a"]["t"][0]["image"].bytes() == PNGS[1]
    assert opened.verify_references("a").counts == {"ok": 0, "changed": 0, "missing": 0, "unknown": 12}


def test_ranges_of_a_file(store: tableformat.Store, bucket: str) -> None:
    """A cell names a range of any file, which is read alone and compared with its digest."""
    put(f"{bucket}/tar", b"head" + PNGS[0] + b"tail")
    digest = Image(PNGS[0]).digest.replace("sha256:", "SHA-256:")
    with store.draft("a") as draft, draft.table("t") as table:
        table.append(image=Image.refer(f"{bucket}/tar", offset=4, size=len(PNGS[0]), checksum=digest))
        table.append(image=Image.refer(f"{bucket}/tar", offset=4, size=len(PNGS[0])))
        table.append(image=Image.refer(f"{bucket}/tar", offset=5, size=len(PNGS[0]), checksum=digest))
        table.append(image=Image.refer(f"{bucket}/tar", offset=40, size=10_000))
    rows = store["a"]["t"]
    assert rows[0]["image"].bytes() == rows[1]["image"].bytes() == rows[1]["image"].open().read() == PNGS[0]
    for row in (2, 3):
        with pytest.raises(ReferenceChangedError):
            rows[row]["image"].bytes()
    with store.draft("a", base="latest") as draft:
        done = draft.own("t", "image", on_changed="collect", progress=False)
    assert (done.references, done.owned, done.failed) == (4, 2, 2)
    assert store["a"]["t"][1]["image_origin"]["offset"] == 4


# Tables of references


def test_a_prefix_becomes_a_table(store: tableformat.Store, bucket: str) -> None:
    """One row for each object, keyed by path; further columns by the path, and None leaves an object out."""
    put(f"{bucket}/notes.txt", b"hello")

    def columns(path: str) -> dict[str, Any] | None:
        return {"label": path.split("/")[0], "number": int(path[5])} if path.endswith(".png") else None

    with store.draft("a") as draft:
        assert draft.add_references("t", bucket, columns) == 6
    table = store["a"]["t"]
    assert (table.key, table.columns) == (("path",), ["path", "image", "label", "number"])
    row = table.where(number=4)[0]
    assert (row["path"], row["label"], row["image"].bytes()) == ("dogs/4 a.png", "dogs", PNGS[4])
    assert (row["image"].fields["width"], row["image"].format, row["image"].content_type) == (None, "png", "image/png")
    assert row["image"].to_pil().size == (40, 40)
    assert store.verify("a").ok
    with pytest.raises(InvalidInputError, match="same names"), store.draft("b") as draft:
        draft.add_references("t", bucket, lambda path: {"x": 1} if "cats" in path else {"y": 1})
    with pytest.raises(NotFoundError), store.draft("b") as draft:
        draft.add_references("t", f"{bucket}/none")
    assert "b" not in store


def test_an_interrupted_listing_adds_nothing(
    store: tableformat.Store, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing that breaks off raises, the draft goes on without it, and nothing half is committed. [REF-17]"""
    outside = store.context.outside
    whole = outside.list

    def broken(prefix: str, after: str | None = None) -> Iterator[Any]:
        for number, one in enumerate(whole(prefix, after)):
            if number == 3:
                raise BackendError("the listing broke off")
            yield one

    monkeypatch.setattr(outside, "list", broken)
    with store.draft("a") as draft:
        with pytest.raises(BackendError):
            draft.add_reference(bucket, "all")
        with pytest.raises(BackendError):
            draft.add_references("t", bucket)
        draft.add(pa.table({"x": [1]}), "x")
    assert list(store["a"]) == ["x"]


# Owning


@pytest.fixture
def referring(store: tableformat.Store, bucket: str) -> tableformat.Store:
    """A store with a keyed table of six references."""
    with store.draft("a") as draft:
        draft.add_references("t", bucket, lambda path: {"label": path.split("/")[0]})
    return store


def test_owning(referring: tableformat.Store, bucket: str) -> None:
    """A dry run tells and moves nothing; owning stores the bytes, tells what they are, and keeps where they came from. [REF-18]"""
    before = referring["a"]["t"]
    with referring.draft("a", base="latest") as draft:
        plan = draft.own("t", "image", label="cats", dry_run=True)
        assert (plan.references, plan.owned, plan.bytes) == (3, 3, sum(len(PNGS[number]) for number in (1, 3, 5)))
        assert draft["t"].content_digest == before.content_digest
        done = draft.own("t", "image", label="cats", progress=False)
        assert (done.owned, done.bytes) == (3, plan.bytes)
    put(f"{bucket}/cats/1 a.png", b"gone")
    table = again(referring)["a"]["t"]
    assert [row["image"].bytes() for row in table.where(label="cats").rows()] == [PNGS[1], PNGS[3], PNGS[5]]
    row = table.where(label="cats")[0]
    assert (row["image"].reference, row["image"].fields["width"]) == (None, 40)
    assert row["image_origin"]["uri"] == f"{bucket}/cats/1 a.png"
    dog = table.where(label="dogs")[0]
    assert (dog["image"].reference.uri, dog["image_origin"]) == (f"{bucket}/dogs/0 a.png", None)
    assert table.key == ("path",)
    assert referring.verify("a").ok


def test_owning_goes_on(referring: tableformat.Store) -> None:
    """What is owned is passed over, so that owning a part at a time comes to the same end. [REF-18]"""
    counts = []
    for _ in range(3):
        with referring.draft("a", base="latest") as draft:
            counts.append(draft.own("t", "image", limit=2, progress=False).owned)
    assert counts == [2, 2, 2]
    table = again(referring)["a"]["t"]
    assert [row["image"].bytes() for row in table.rows()] == [PNGS[number] for number in (1, 3, 5, 0, 2, 4)]
    assert all(row["image_origin"] is not None for row in table.rows())
    with referring.draft("a", base="latest") as draft:
        assert draft.own("t", "image", progress=False).references == 0
    assert draft.created is False


@pytest.mark.parametrize("session", [None, "s"])
@pytest.mark.parametrize("numbers", [[1], [0, 1, 2, 3, 4, 5]])
def test_owning_keeps_what_is_said(
    store: tableformat.Store, bucket: str, numbers: list[int], session: str | None
) -> None:
    """Boxes, masks and captions of references stay with the rows, whether some of the rows are owned or all are."""
    with store.draft("a") as draft, draft.table("t") as table:
        for number in range(6):
            url = f"{bucket}/{'cats' if number % 2 else 'dogs'}/{number} a.png"
            boxes = {"truth": [tableformat.Box(number, xyxy=(1, 2, 9, 10))]}
            mask = np.full((40, 40), number, np.uint8)
            table.append(
                n=number, image=Image(Image.refer(url), boxes=boxes, masks={"m": mask}, caption=f"no {number}")
            )
    before = [
        (row["image"].boxes, row["image"].caption, row["image"].masks["m"].to_numpy().tolist())
        for row in store["a"]["t"].rows()
    ]
    with store.draft("a", base="latest", session=session) as draft:
        assert draft.own("t", "image", col("n").is_in(numbers), progress=False).owned == len(numbers)
    rows = list(store["a"]["t"].rows())
    assert [row["image"].reference is None for row in rows] == [number in numbers for number in range(6)]
    assert [
        (row["image"].boxes, row["image"].caption, row["image"].masks["m"].to_numpy().tolist()) for row in rows
    ] == before
    assert [row["image"].bytes() for row in rows] == PNGS


def test_what_changed_is_not_owned(referring: tableformat.Store, bucket: str) -> None:
    """A reference that changed or is gone raises and leaves the table as it is, or stays one and is told. [REF-18]"""
    put(f"{bucket}/cats/1 a.png", PNGS[1] + b"more")
    fsspec.filesystem("memory").rm(f"/{bucket.removeprefix('memory://')}/dogs/0 a.png")
    before = referring["a"]["t"].content_digest
    with referring.draft("a", base="latest") as draft:
        with pytest.raises(ReferenceChangedError, match=f"expected {len(PNGS[1])} bytes.*got {len(PNGS[1]) + 4} bytes"):
            draft.own("t", "image", progress=False)
        with pytest.raises(NotFoundError):
            draft.own("t", "image", label="dogs", progress=False)
        assert draft["t"].content_digest == before
        done = draft.own("t", "image", on_changed="collect", progress=False)
    assert (done.owned, done.failed, {problem.kind for problem in done.problems}) == (
        4,
        2,
        {"reference-changed", "not-found"},
    )
    assert [row["image"].reference is not None for row in referring["a"]["t"].rows()] == [
        True,
        False,
        False,
        True,
        False,
        False,
    ]


def test_owning_needs_media_of_a_table(referring: tableformat.Store) -> None:
    """A column of another type, and an entry that is no table, are refused."""
    with referring.draft("a", base="latest") as draft:
        for name, column in (("t", "path"), ("t", "nothing"), ("x", "image")):
            with pytest.raises((InvalidInputError, NotFoundError)):
                draft.own(name, column)
        with pytest.raises(InvalidInputError, match="collect"):
            draft.own("t", "image", on_changed="ignore")


# Drift


def test_drift(referring: tableformat.Store, bucket: str) -> None:
    """Every reference is ok, changed, missing or unknown, with both sides; what is not allowed is unknown. [REF-19]"""
    with referring.draft("a", base="latest") as draft:
        draft.add_reference(bucket, "all")
        draft.add_reference(f"{bucket}/cats/3 a.png", "one")
    assert referring.verify_references("a").counts == {"ok": 13, "changed": 0, "missing": 0, "unknown": 0}
    assert referring.verify_references("a", keep="all", progress=False).table.num_rows == 13
    put(f"{bucket}/cats/3 a.png", b"shrunk")
    put(f"{bucket}/new.png", b"new")
    fsspec.filesystem("memory").rm(f"/{bucket.removeprefix('memory://')}/dogs/0 a.png")
    drift = referring.verify_references("a")
    assert (drift.ok, drift.counts) == (False, {"ok": 8, "changed": 3, "missing": 2, "unknown": 0})
    lines = {(line["entry"], line["row"], line["state"]) for line in drift.table.to_pylist()}
    assert lines == {
        ("all", None, "changed"),
        ("all", None, "missing"),
        ("one", None, "changed"),
        ("t", 1, "changed"),
        ("t", 3, "missing"),
    }
    line = next(line for line in drift.table.to_pylist() if line["entry"] == "one")
    assert (line["uri"], line["expected"].split(",")[0], line["found"].split(",")[0]) == (
        f"{bucket}/cats/3 a.png",
        f"{len(PNGS[3])} bytes",
        "6 bytes",
    )
    assert again(referring).verify_references("a").counts["unknown"] == 13


def test_drift_by_listing(referring: tableformat.Store, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where many lie together they are looked up by one listing, with the same result."""
    from tableformat import drift

    put(f"{bucket}/cats/3 a.png", b"shrunk")
    fsspec.filesystem("memory").rm(f"/{bucket.removeprefix('memory://')}/dogs/4 a.png")
    one = referring.verify_references("a", keep="all")
    monkeypatch.setattr(drift, "_LISTED_FROM", 2)
    monkeypatch.setattr(drift, "_look", None)
    assert referring.verify_references("a", keep="all").table.equals(one.table)
    assert one.counts == {"ok": 4, "changed": 1, "missing": 1, "unknown": 0}


# Media of other tables


def test_media_of_another_artifact(store: tableformat.Store, tmp_path: Path) -> None:
    """Inside a store no bytes are copied; across stores a cell refers to the other one, or is copied on request."""
    page = "".join(f"<p>{number * number}</p>" for number in range(2000))
    with store.draft("a") as draft, draft.table("t") as table:
        table.extend({"image": Image(png), "page": tableformat.Html(page)} for png in PNGS)
    source = store["a"]["t"]
    with store.draft("b") as draft, draft.table("t") as table:
        for row in source.rows():
            table.append(image=Image(row["image"]))
    assert (draft.report.blobs_new, draft.report.blobs_shared) == (0, 0)
    other = tableformat.open_store(tmp_path / "other")
    with other.draft("c") as draft:
        with draft.table("refers") as table:
            table.extend({"image": Image(row["image"]), "page": tableformat.Html(row["page"])} for row in source.rows())
        with draft.table("copies") as table:
            table.extend({"image": Image(row["image"], copy=True)} for row in source.rows())
    cell = other["c"]["refers"][2]["image"]
    assert cell.reference is not None
    assert cell.reference.uri.startswith(f"file://{store.root}/data/packs/")
    assert cell.bytes() == PNGS[2]
    assert other["c"]["refers"][2]["page"].reference is not None
    assert other["c"]["refers"][2]["page"].bytes() == page.encode()
    assert list(other["c"]["refers"].rows(media="bytes"))[5]["image"] == PNGS[5]
    assert other["c"]["copies"][2]["image"].reference is None
    assert again(other)["c"]["copies"][2]["image"].bytes() == PNGS[2]
    with pytest.raises(AccessRefusedError):
        again(other)["c"]["refers"][2]["image"].bytes()
    assert again(other, allow=[store.root])["c"]["refers"][2]["image"].bytes() == PNGS[2]
    assert other.verify("c").ok


def test_tables_of_another_store(store: tableformat.Store, tmp_path: Path) -> None:
    """Rows and whole tables of another store are copied with their media, and stand alone; `uris="refer"` makes references of what is
    given as it is, at any depth, `copy=True` of one cell goes before it, and references stay what they are."""
    with store.draft("a") as draft, draft.table("t") as table:
        for number, png in enumerate(PNGS):
            table.append(
                image=Image(png, caption=f"no {number}", boxes={"truth": [tableformat.Box(1, xyxy=(1, 2, 9, 10))]}),
                many=[Image(png), Image(PNGS[0])],
                label=number,
            )
    source = store["a"]["t"]
    other = tableformat.open_store(tmp_path / "other")
    with other.draft("c") as draft:
        draft.add(source, "added")
        draft.table("extended").extend(source.where(label=3))
        with draft.table("by row") as table:
            table.extend(dict(row) for row in source.rows())
        draft.table("refers", uris="refer").extend(source)
        with draft.table("mixed", uris="refer") as table:
            table.append(image=Image(source[2]["image"], copy=True))
            table.append(image=source[2]["image"])
    with other.draft("d") as draft:
        draft.add(other["c"]["refers"], "again")
    made = other["c"]
    for name in ("added", "extended", "by row"):
        assert all(row["image"].reference is None and row["many"][1].reference is None for row in made[name].rows())
    refers = [made["refers"][number] for number in range(6)]
    assert all(cell.reference is not None for row in refers for cell in (row["image"], *row["many"]))
    assert [row["image"].bytes() for row in refers] == [row["many"][0].bytes() for row in refers] == PNGS
    assert [cell["image"].reference is None for cell in made["mixed"].rows()] == [True, False]
    assert (refers[3]["image"].caption, list(refers[3]["image"].boxes)) == ("no 3", ["truth"])
    alone = again(other)
    assert [row["image"].bytes() for row in alone["c"]["added"].rows()] == PNGS
    for name in (alone["c"]["refers"], alone["d"]["again"]):
        with pytest.raises(AccessRefusedError, match="allow="):
            name[0]["image"].bytes()
    assert again(other, allow=[store.root])["d"]["again"][4]["many"][0].bytes() == PNGS[4]
    assert other.verify("c").ok


# Files


def test_files_are_copied_in(store: tableformat.Store, bucket: str, tmp_path: Path) -> None:
    """From paths and URLs, streamed, stored once however often they come."""
    big = tmp_path / "big.bin"
    big.write_bytes(os.urandom(1 << 20) * 9)
    with store.draft("a") as draft:
        assert draft.add_file(big) == "big.bin"
        assert draft.add_file(f"{bucket}/cats/1 a.png", "one.png") == "one.png"
        draft.add_file(f"{bucket}/cats/1 a.png", "same.png")
        with pytest.raises(ExistsError):
            draft.add_file(big)
        with pytest.raises(NotFoundError):
            draft.add_file(tmp_path / "none")
        with pytest.raises(InvalidInputError, match="add_dir"):
            draft.add_file(tmp_path)
    assert draft.report.blobs_shared == 1
    artifact = again(store)["a"]
    assert artifact.kinds() == dict.fromkeys(("big.bin", "one.png", "same.png"), "file")
    assert artifact["big.bin"].digest == tableformat.File(big).digest
    assert artifact["one.png"].bytes() == PNGS[1]


def test_folders_are_copied_in(store: tableformat.Store, bucket: str, tmp_path: Path) -> None:
    """All below a folder or a URL, under their paths; links lead where they lead inside, and out only on request."""
    home = tmp_path / "home"
    (home / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"secret")
    (home / "a.txt").write_bytes(b"a")
    (home / "sub" / "ä b.txt").write_bytes(b"b" * (9 << 20))
    (home / "link.txt").symlink_to("a.txt")
    with store.draft("a") as draft:
        assert draft.add_dir(home, "home") == ["home/a.txt", "home/link.txt", "home/sub/ä b.txt"]
        assert draft.add_dir(bucket, progress=False)[:1] == ["cats/1 a.png"]
        (home / "out.txt").symlink_to("../secret")
        with pytest.raises(InvalidInputError, match=r"out\.txt"):
            draft.add_dir(home, "again")
        assert "again/out.txt" in draft.add_dir(home, "again", links="follow")
        assert draft.add_dir(home, "third", links="skip") == ["third/a.txt", "third/sub/ä b.txt"]
        with pytest.raises(InvalidInputError):
            draft.add_dir(home / "a.txt")
    artifact = again(store)["a"]
    assert artifact["home/sub/ä b.txt"].size == 9 << 20
    assert artifact["cats/1 a.png"].bytes() == PNGS[1]
    assert draft.report.blobs_shared >= 4


def test_odd_names_are_told_together(store: tableformat.Store, tmp_path: Path) -> None:
    """Names that cannot be entries, or differ by case or Unicode form alone, are listed before anything is stored."""
    for name in ("Größe", "größe", "x\u202ey"):
        (tmp_path / name).write_bytes(b"")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).write_bytes(b"")
    with pytest.raises(InvalidInputError) as caught, store.draft("a") as draft:
        draft.add_dir(tmp_path)
    assert len(caught.value.problems) >= 1
    assert "a" not in store


def test_a_finished_draft_takes_nothing(store: tableformat.Store, bucket: str) -> None:
    """After the commit nothing can be added."""
    with store.draft("a") as draft:
        draft.add(pa.table({"x": [1]}), "x")
    for add in (
        lambda: draft.add_reference(bucket), lambda: draft.add_references("t", bucket), lambda: draft.add_file("x"),
        lambda: draft.add_dir("x"), lambda: draft.own("x", "x"),
    ):  # fmt: skip
        with pytest.raises(UsageError):
            add()
