"""Bytes of media go to their tier, once each, and every cell says where they lie."""

import io
import zipfile

import numpy as np
import pyarrow as pa
import pytest

from tableformat import Audio, File, Html, Image, ImageType, open_store
from tableformat.errors import InvalidInputError, MediaError
from tableformat.format import pack
from tableformat.format.media.png import encode_png
from tableformat.storage.manifests import iter_items
from tableformat.table.media_placer import INLINE_BYTES

RNG = np.random.default_rng(5)


def noise(size):
    return RNG.bytes(size)


def picture(number, side=40):
    """A PNG that does not shrink."""
    return encode_png(np.random.default_rng(number).integers(0, 256, (side, side), np.uint8))


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "store")


def commit(store, name="set", dedup="store", schema=None, **tables):
    with store.draft(name, dedup=dedup) as draft:
        for table, rows in tables.items():
            with draft.table(table, schema) as writer:
                writer.extend(rows)
    return draft.committed


def cells(table, column="m"):
    return table.select(column).to_arrow()[column].combine_chunks()


def stored(table, column="m"):
    """The FILE structs as the part has them."""
    import pyarrow.parquet as pq

    return [row[column] for path in table.files() for row in pq.read_table(path).to_pylist()]


def objects_of(table):
    source = table.source
    return [item["key"] for item in iter_items(source.backend, source.entry.objects)]


def files_under(store, folder):
    from pathlib import Path

    root = Path(store.root) / "data" / folder
    return sorted(
        str(path.relative_to(root.parent)) for path in root.rglob("*") if path.is_file() and path.suffix != ".sums"
    )


def test_three_tiers(store):
    """Up to 1 KiB stands in the cell, up to 8 MiB in a pack, and more in an object of its own."""
    sizes = [0, 1, INLINE_BYTES, INLINE_BYTES + 1, 5000, 8 << 20, (8 << 20) + 1]
    datas = [noise(size) for size in sizes]
    table = commit(store, t=[{"m": File(data)} for data in datas])["t"]
    where = [
        "inline" if cell["file"]["inline"] is not None else cell["file"]["uri"].split("/")[0] for cell in stored(table)
    ]
    assert where == ["inline"] * 3 + ["packs"] * 3 + ["blobs"]
    assert [row["m"].bytes() for row in table] == datas
    assert [cell["file"]["size"] for cell in stored(table)] == sizes
    assert sorted(objects_of(table)) == sorted(files_under(store, "packs") + files_under(store, "blobs"))


@pytest.mark.parametrize("way", ["append", "extend rows", "extend arrow", "path", "open file"])
def test_every_way_in_gives_the_same_cells(store, tmp_path, way):
    """However bytes are given, the content of the table is the same."""
    datas = [picture(n, side=8 + 20 * n) for n in range(5)]
    with store.draft("set") as draft, draft.table("t", {"m": ImageType()}) as writer:
        for n, data in enumerate(datas):
            path = tmp_path / f"{n}.png"
            path.write_bytes(data)
            if way == "append":
                writer.append(m=Image(data))
            elif way == "extend rows":
                writer.extend([{"m": data}])
            elif way == "extend arrow":
                writer.extend(pa.table({"m": [data]}))
            elif way == "path":
                writer.append(m=Image(path))
            else:
                writer.append(m=Image(io.BytesIO(data)))
    again = commit(store, "other", t=[{"m": Image(data)} for data in datas])
    assert draft.committed["t"].content_digest == again["t"].content_digest
    assert [row["m"].bytes() for row in draft.committed["t"]] == datas


@pytest.mark.parametrize("dedup", ["store", "artifact", "none"])
def test_bytes_are_stored_once(store, dedup):
    """Over rows, tables, versions and artifacts the same bytes are stored once, as far as `dedup` says."""
    datas = [picture(n) for n in range(20)]
    rows = [{"m": Image(data)} for data in datas]

    def pack_entries():
        names = []
        for path in files_under(store, "packs"):
            with zipfile.ZipFile(f"{store.root}/data/{path}") as archive:
                assert archive.testzip() is None
                names += archive.namelist()
        return names

    commit(store, "one", dedup, a=rows + rows, b=rows[:10])
    assert len(pack_entries()) == 20
    with store.draft("one", base="latest", dedup=dedup) as draft, draft.table("c") as writer:
        writer.extend(rows[::-1])  # in the same order the pack would have the same name
    assert len(pack_entries()) == (40 if dedup == "none" else 20)
    assert draft.report.blobs_shared == (0 if dedup == "none" else 20)
    other = commit(store, "two", dedup, d=rows[5:] + rows[:5])
    assert len(pack_entries()) == {"store": 20, "artifact": 40, "none": 60}[dedup]
    assert [row["m"].bytes() for row in other["d"]] == datas[5:] + datas[:5]
    assert [row["m"].bytes() for row in store["one"]["c"]] == datas[::-1]


def test_cells_are_copied_without_reading_bytes(store):
    """Media of another table of the store keep their place: nothing is read, nothing stored, and the copy is an input."""
    source = commit(store, "source", t=[{"n": n, "m": Image(picture(n), caption=str(n))} for n in range(5)])
    packs = files_under(store, "packs")
    rows = [{"n": row["n"] + 10, "m": row["m"]} for row in store["source"]["t"]]
    copy = commit(store, "copy", t=rows)
    assert files_under(store, "packs") == packs
    assert [cell["file"] for cell in stored(copy["t"])] == [cell["file"] for cell in stored(source["t"])]
    assert [(row["m"].caption, row["m"].bytes()) for row in copy["t"]] == [(str(n), picture(n)) for n in range(5)]
    assert [(one.artifact, one.digest) for one in copy.inputs()] == [("source", source.digest)]
    assert objects_of(copy["t"]) == packs


def test_copied_cells_whose_pack_is_gone_are_copied_all_the_same(store):
    """Copying needs no bytes: it works where the pack cannot be read."""
    source = commit(store, "source", t=[{"m": Image(picture(1))}])
    media = source["t"][0]["m"]
    from pathlib import Path

    [pack] = files_under(store, "packs")
    moved = Path(store.root) / "data" / pack
    data = moved.read_bytes()
    moved.unlink()
    copy = commit(store, "copy", t=[{"m": media}])
    moved.write_bytes(data)
    assert copy["t"][0]["m"].bytes() == picture(1)


def test_media_of_another_store_are_stored_again(store, tmp_path):
    """Cells of a second store are read there and owned here."""
    foreign = commit(open_store(tmp_path / "foreign"), t=[{"m": Image(picture(n), caption="c")} for n in range(3)])
    rows = [{"m": row["m"]} for row in foreign["t"]]
    own = commit(store, t=rows)
    assert [row["m"].bytes() for row in own["t"]] == [picture(n) for n in range(3)]
    assert len(objects_of(own["t"])) == len(files_under(store, "packs")) == 1


def test_mixed_columns(store):
    """References, owned bytes, copies, large files and nulls stand in one column, each as it was given."""
    old = commit(store, "old", t=[{"m": File(noise(3000))}])["t"][0]["m"]
    large, small, middle = noise((8 << 20) + 3), noise(10), noise(4000)
    values = [
        File.refer("s3://bucket/key", size=3),
        None,
        File(large),
        old,
        File(small),
        File(middle),
        None,
        File.refer("s3://bucket/other"),
    ]
    table = commit(store, t=[{"m": value} for value in values])["t"]
    found = [row["m"] for row in table]
    assert [value is None for value in found] == [value is None for value in values]
    assert found[0].reference.uri == "s3://bucket/key"
    assert found[7].reference.uri == "s3://bucket/other"
    assert [found[i].bytes() for i in (2, 3, 4, 5)] == [large, old.bytes(), small, middle]
    assert len(objects_of(table)) == 3


def test_large_files_are_streamed(store, tmp_path):
    """A file above 8 MiB is stored from its path, and read in ranges."""
    data = noise((9 << 20) + 5)
    path = tmp_path / "big.bin"
    path.write_bytes(data)
    table = commit(store, t=[{"m": File(path)}, {"m": File(data)}])["t"]
    assert len(files_under(store, "blobs")) == 1
    with table[0]["m"].open() as file:
        file.seek(1 << 20)
        assert file.read(10) == data[1 << 20 : (1 << 20) + 10]
    assert table[1]["m"].bytes() == data


def test_texts_are_compressed_where_that_helps(store):
    """A text that shrinks is stored as a zstd frame under its own digest, and reads as it was."""
    html = b"<p>hello</p>" * 1000
    scrambled = (
        b"<!-- " + noise(3000).hex().encode()[:5] + bytes(RNG.integers(33, 126, 3000, np.uint8).tolist()) + b" -->"
    )
    table = commit(store, t=[{"m": Html(html)}, {"m": Html(scrambled)}, {"m": Html(b"<p>tiny</p>")}])["t"]
    assert stored(table)[0]["encoding"] == "zstd"
    assert stored(table)[2]["encoding"] is None
    assert [row["m"].bytes() for row in table] == [html, scrambled, b"<p>tiny</p>"]
    assert table[0]["m"].digest == Html(html).digest
    [pack] = files_under(store, "packs")
    with zipfile.ZipFile(f"{store.root}/data/{pack}") as archive:
        assert any(name.endswith(".zst") for name in archive.namelist())


def test_compressed_cells_are_copied_as_they_are(store):
    """A zstd cell keeps its frame when it is copied, in the store and out of it."""
    html = b"<p>hello</p>" * 1000
    one = commit(store, "one", t=[{"m": Html(html)}])["t"]
    two = commit(store, "two", t=[{"m": one[0]["m"]}])["t"]
    assert stored(two) == stored(one)
    assert two[0]["m"].bytes() == html


def test_media_at_any_depth(store):
    """Inside lists, structs and maps each medium goes to its tier and comes back."""
    small, big = picture(1, side=4), picture(2)
    rows = [
        {
            "l": [Image(big), None, Image(small)],
            "s": {"img": Image(big, caption="c"), "n": 1},
            "k": {"a": [Image(small)]},
        },
        {"l": [], "s": None, "k": None},
        {"l": None, "s": {"img": None, "n": 2}, "k": {"a": []}},
    ]
    table = commit(store, t=rows)["t"]
    first = table[0]
    assert [media and media.bytes() for media in first["l"]] == [big, None, small]
    assert (first["s"]["img"].bytes(), first["s"]["img"].caption) == (big, "c")
    assert [media.bytes() for media in first["k"]["a"]] == [small]
    assert (table[1]["l"], table[1]["s"], table[2]["l"], table[2]["s"]["img"]) == ([], None, None, None)
    assert len(objects_of(table)) == 1


@pytest.mark.parametrize("nested", [False, True])
def test_cells_are_right_when_packs_roll(store, monkeypatch, nested):
    """Batches whose media lie in several packs wait for their names, and every cell finds its bytes."""
    monkeypatch.setattr(pack, "MAX_PACK_BYTES", 100_000)
    datas = [noise(2000 + n) for n in range(900)]
    with store.draft("set") as draft, draft.table("t") as writer:
        for n, data in enumerate(datas):
            media = None if n % 7 == 3 else File(data)
            writer.append(n=n, m=[{"f": media}] if nested else media)
    table = draft.committed["t"]
    assert len(files_under(store, "packs")) > 10
    assert objects_of(table) == files_under(store, "packs")
    for row in table:
        media = row["m"][0]["f"] if nested else row["m"]
        assert (media is None) == (row["n"] % 7 == 3)
        assert media is None or media.bytes() == datas[row["n"]]


def test_tables_that_are_written_at_once_share_packs(store):
    """Two open tables of a draft take turns; each finds its bytes, and lists the packs that it needs."""
    datas = [noise(2000) for _ in range(300)]
    with store.draft("set") as draft:
        one, two = draft.table("one"), draft.table("two")
        for n, data in enumerate(datas):
            (one if n % 2 else two).append(n=n, m=File(data))
        one.close()
        two.append(n=300, m=File(datas[0]))
    for name in ("one", "two"):
        table = draft.committed[name]
        assert all(row["m"].bytes() == datas[row["n"] % 300] for row in table)
        assert set(objects_of(table)) <= set(files_under(store, "packs"))
        assert {cell["file"]["uri"] for cell in stored(table)} == set(objects_of(table))


def test_null_columns_store_nothing(store):
    """A column of null media makes neither packs nor objects."""
    table = commit(store, t=[{"m": None}, {"m": None}], schema={"m": ImageType()})["t"]
    assert [row["m"] for row in table] == [None, None]
    assert (objects_of(table), files_under(store, "packs")) == ([], [])


@pytest.mark.parametrize("uris", [None, "own", "refer"])
def test_texts_in_media_columns_need_a_meaning(store, tmp_path, uris):
    """Paths in Arrow data are stored, pointed at, or refused where nobody said which."""
    path = tmp_path / "a.png"
    path.write_bytes(picture(3))
    with store.draft("set") as draft:
        with draft.table("t", {"m": ImageType()}, uris=uris) as writer:
            data = pa.table({"m": [str(path) if uris == "own" else path.as_uri(), None]})
            if uris is None:
                with pytest.raises(InvalidInputError, match="uris"):
                    writer.extend(data)
                writer.append(m=None)
            else:
                writer.extend(data)
        rows = list(draft["t"])
    if uris == "own":
        assert rows[0]["m"].bytes() == picture(3)
    elif uris == "refer":
        assert rows[0]["m"].reference.uri == path.as_uri()


def test_structs_of_bytes_and_path(store, tmp_path):
    """The structs of another library go in: bytes where there are any, else the file."""
    path = tmp_path / "a.png"
    path.write_bytes(picture(1))
    data = [
        {"bytes": picture(2), "path": "gone.png"},
        {"bytes": None, "path": str(path)},
        None,
        {"bytes": None, "path": None},
    ]
    table = commit(store, t=pa.table({"m": data}), schema={"m": ImageType()})["t"]
    assert [row["m"] and row["m"].bytes() for row in table] == [picture(2), picture(1), None, None]


@pytest.mark.parametrize("check", ["header", "decode", "none"])
def test_checks(store, check):
    """A header that promises more than there is passes with `none`; damage inside passes but for `decode`."""
    whole = bytearray(picture(1))
    whole[60] ^= 255
    with store.draft("set") as draft:
        for way, data in (("truncated", picture(1)[:-8]), ("damaged", bytes(whole))):
            for extend in (False, True):
                with draft.table(f"{way}{extend}", {"m": ImageType()}, check=check) as writer:
                    refused = check == "decode" or (check == "header" and way == "truncated")
                    if refused:
                        with pytest.raises(MediaError):
                            writer.extend(pa.table({"m": [data]})) if extend else writer.append(m=Image(data))
                    else:
                        writer.extend(pa.table({"m": [data]})) if extend else writer.append(m=Image(data))
                    assert writer.rows_written == (not refused)


def test_wrong_kinds_of_media_are_refused(store):
    """A sound in a column of images is an error that names both; the writer goes on."""
    with store.draft("set") as draft, draft.table("t", {"m": ImageType()}) as writer:
        with pytest.raises(InvalidInputError, match=r"'m'|image"):
            writer.append(m=Audio(np.zeros(10, np.int16), 8000))
        writer.append(m=Image(picture(1)))
        assert writer.rows_written == 1
