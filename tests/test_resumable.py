"""Sessions with a name, from the front door: what is kept, what is told, what is refused."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tableformat
from tableformat import Classes, Image, resumable
from tableformat.errors import (
    CorruptError,
    IllegalNameError,
    InvalidInputError,
    KeyValueError,
    NotFoundError,
    UsageError,
)
from tableformat.format.media.png import encode_png
from tableformat.storage import session_log
from tableformat.table import sealing
from tests.resuming import rows_from


class Crash(Exception):
    """What ends a draft in the middle."""


@pytest.fixture
def store(tmp_path: Path) -> tableformat.Store:
    return tableformat.open_store(tmp_path / "store")


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seals are made as soon as they can be."""
    monkeypatch.setattr(resumable, "LEAST_S", 0.0)


def content(store: tableformat.Store, write: Any, **options: Any) -> str:
    """The content digest of an unbroken run."""
    with store.draft("unbroken", **options) as draft:
        write(draft)
    assert draft.committed is not None
    return draft.committed.content_digest


def picture(number: int) -> bytes:
    return encode_png(np.random.default_rng(number).integers(0, 256, (40, 40), np.uint8))


def test_goes_on_behind_the_seal(store_url: str) -> None:
    """Rows behind the last seal are gone; given again, the version is that of an unbroken run. [VERSIONS-32]"""
    store = tableformat.open_store(store_url)
    with pytest.raises(Crash), store.draft("a", session="s") as draft, draft.table("t") as table:
        table.extend({"x": [1, 2, 3]})
        table.seal()
        table.extend({"x": [4, 5]})
        raise Crash
    with store.draft("a", session="s") as draft, draft.table("t") as table:
        assert (table.rows_written, table.checkpoint) == (3, None)
        table.extend({"x": [4, 5]})
    assert draft.created
    assert store["a"]["t"].to_arrow()["x"].to_pylist() == [1, 2, 3, 4, 5]
    assert store["a"].content_digest == content(store, lambda d: d.table("t").extend({"x": [1, 2, 3, 4, 5]}))
    assert store.verify("a").ok
    assert store.versions("a")[0].session is not None


def test_checkpoint_and_rows_are_of_one_moment(store: tableformat.Store) -> None:
    """A seal stands where a checkpoint was given, never between two, whatever parts end in between."""
    with pytest.raises(Crash), store.draft("a", session="s") as draft, draft.table("t", part_rows=100) as table:
        for chunk in range(40):
            table.extend(rows_from(chunk * 130, chunk * 130 + 130), checkpoint={"chunk": chunk + 1, "at": [0.5, None]})
            time.sleep(0.03)  # what becomes durable meanwhile is sealed
        raise Crash
    with store.draft("a", session="s") as draft, draft.table("t", part_rows=100) as table:
        place = table.checkpoint["chunk"]
        assert table.rows_written == place * 130 > 0
        assert table.checkpoint == {"chunk": place, "at": [0.5, None]}
        table.extend(rows_from(place * 130, 5200), checkpoint="end")
    assert store["a"].content_digest == content(store, lambda d: d.table("t").extend(rows_from(0, 5200)))


def test_checkpoints_by_assignment(store: tableformat.Store) -> None:
    """Row by row, `checkpoint` is set, and is what was given last, sealed or not."""
    with pytest.raises(Crash), store.draft("a", session="s") as draft, draft.table("t") as table:
        assert table.checkpoint is None
        for number in range(5):
            table.append(x=number)
            table.checkpoint = number
        assert table.checkpoint == 4
        table.seal("five")
        table.append(x=9)
        table.checkpoint = "six"
        raise Crash
    with store.draft("a", session="s") as draft, draft.table("t") as table:
        assert (table.checkpoint, table.rows_written) == ("five", 5)
    assert store["a"]["t"].num_rows == 5


def test_seals_come_by_themselves(store: tableformat.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that are full are sealed while rows come, and where none fills, the open one is ended after a while."""
    with pytest.raises(Crash), store.draft("a", session="s") as draft, draft.table("t", part_rows=1000) as table:
        for start in range(0, 20_000, 1000):
            table.extend(rows_from(start, start + 1000))
            time.sleep(0.03)
        raise Crash
    assert store.session("s").tables["t"].rows >= 5000
    monkeypatch.setattr(sealing, "MOST_S", 0.0)
    with pytest.raises(Crash), store.draft("a", session="s2") as draft, draft.table("t") as table:
        for start in range(0, 200_000, 10_000):
            table.extend(rows_from(start, start + 10_000))
            time.sleep(0.01)
        raise Crash
    assert store.session("s2").tables["t"].rows > 0


def test_keys_are_proven_over_all_rows(store: tableformat.Store) -> None:
    """A key that was written before the crash is found when it comes again after it; keys that ascend are known to."""
    rows = rows_from(0, 30_000)
    with pytest.raises(Crash), store.draft("a", session="s") as draft, draft.table("t", key="id") as table:
        table.extend(rows.slice(0, 20_000))
        table.seal()
        raise Crash
    with pytest.raises(KeyValueError, match="stands in row 5"), store.draft("a", session="s") as draft:
        draft.table("t", key="id").extend(rows.slice(5, 1))
    with store.draft("a", session="s") as draft, draft.table("t", key="id") as table:
        table.extend(rows.slice(table.rows_written))
    assert store["a"].content_digest == content(store, lambda d: d.table("t", key="id").extend(rows))


@pytest.mark.parametrize("cut", [1, 3000, 70_000])
def test_columns_go_on_from_any_row(store: tableformat.Store, cut: int) -> None:
    """The digests of columns go on from the last full block, wherever the seal stands."""
    rows = rows_from(0, 70_500)
    with pytest.raises(Crash), store.draft("a", session="s") as draft, draft.table("t") as table:
        table.extend(rows.slice(0, cut))
        table.seal()
        raise Crash
    with store.draft("a", session="s") as draft, draft.table("t") as table:
        assert table.rows_written == cut
        table.extend(rows.slice(cut))
    assert store["a"].content_digest == content(store, lambda d: d.table("t").extend(rows))


def test_schemas_widen_across_a_crash(store: tableformat.Store) -> None:
    """Columns without a value yet, and wider types, are settled over the rows of all runs."""
    first = [{"a": None, "b": 1, "c": []}] * 50
    second = [{"a": 5, "b": 0.5, "c": [1]}] * 50

    def whole(draft: tableformat.Draft) -> None:
        with draft.table("t", new_columns=True) as table:
            table.extend([*first, *second, {"d": "x"}])

    for cut in ([50], [100], [50, 100]):
        name = f"s{len(cut)}{cut[0]}"
        rows = [*first, *second, {"d": "x"}]
        for stop in cut:
            with (
                pytest.raises(Crash),
                store.draft(name, session=name) as draft,
                draft.table("t", new_columns=True) as table,
            ):
                table.extend(rows[table.rows_written : stop])
                table.seal()
                assert store.session(name)["t"].num_rows == stop
                assert len(store.session(name)["t"].to_arrow()) == stop
                raise Crash
        with store.draft(name, session=name) as draft, draft.table("t", new_columns=True) as table:
            table.extend(rows[table.rows_written :])
        assert store[name].content_digest == content(store, whole)
        assert store.verify(name).ok


def test_late_widening_of_many_rows(store: tableformat.Store) -> None:
    """Rows of two schemas that wait to be stored again are sealed as they are, and gone on with."""
    rows = [
        pa.table({"x": np.arange(300_000)}),
        pa.table({"x": np.arange(1000) / 2}),
        pa.table({"x": np.arange(10) / 4}),
    ]
    with pytest.raises(Crash), store.draft("a", session="s") as draft, draft.table("t") as table:
        table.extend(rows[0])
        table.extend(rows[1])
        table.seal()
        raise Crash
    assert store.session("s")["t"].num_rows == 301_000
    with store.draft("a", session="s") as draft, draft.table("t") as table:
        assert table.rows_written == 301_000
        table.extend(rows[2])
    assert store["a"].content_digest == content(store, lambda d: _extend(d, rows))


def _extend(draft: tableformat.Draft, tables: list[pa.Table]) -> None:
    with draft.table("t") as table:
        for one in tables:
            table.extend(one)


def test_media_are_stored_once(store: tableformat.Store) -> None:
    """Images that an earlier run of the session has stored are not stored again, and their class sets are kept."""
    images = [picture(number) for number in range(40)]
    boxes = {
        "ground_truth": {
            "box_data": [{"position": {"minX": 0.1, "maxX": 0.2, "minY": 0.3, "maxY": 0.4}, "class_id": 1}]
        }
    }

    def write(table: Any, start: int, stop: int) -> None:
        for number in range(start, stop):
            table.append(id=number, image=Image(images[number], boxes=boxes, classes=Classes({1: "cat", 2: "dog"})))

    def whole(draft: tableformat.Draft) -> None:
        with draft.table("t", key="id") as table:
            write(table, 0, 40)

    with (
        pytest.raises(Crash),
        store.draft("a", session="s", dedup="artifact") as draft,
        draft.table("t", key="id") as table,
    ):
        write(table, 0, 30)
        table.seal()
        raise Crash
    assert store.session("s")["t"][3]["image"].bytes() == images[3]
    with store.draft("a", session="s", dedup="artifact") as draft, draft.table("t", key="id") as table:
        for number in range(table.rows_written, 40):
            write(table, number, number + 1)
    assert draft.report.blobs_new == 40
    again = store["a"]
    with (
        pytest.raises(Crash),
        store.draft("b", session="s2", dedup="artifact") as draft,
        draft.table("t", key="id") as table,
    ):
        write(table, 0, 30)
        table.seal()
        raise Crash
    with store.draft("b", session="s2", dedup="artifact") as draft:
        with draft.table("t", key="id"):
            pass
        with draft.table("u") as table:
            for number in range(30):
                table.append(image=Image(images[number]))
    assert draft.report.blobs_new == 30
    assert again.content_digest == content(store, whole)
    assert all(store.verify(name).ok for name in ("a", "b"))
    assert again["t"][35]["image"].bytes() == images[35]


def test_several_tables(store: tableformat.Store) -> None:
    """A table that was closed stands in the draft, opened again or not; one that was begun has to be opened again."""
    with pytest.raises(Crash), store.draft("a", session="s") as draft:
        with draft.table("done") as table:
            table.extend({"x": [1, 2]})
        with draft.table("more") as table:
            table.extend({"x": [1, 2, 3]})
        with draft.table("begun") as table:
            table.extend({"x": [7]})
            table.seal()
            raise Crash
    draft = store.draft("a", session="s")
    assert list(draft) == ["done", "more"]
    assert draft["done"].num_rows == 2
    with pytest.raises(UsageError, match=r"'begun' \(1 rows\)"):
        draft.commit()
    with draft.table("more") as table:
        assert table.rows_written == 3
        table.append(x=4)
    draft.remove("begun")
    made = draft.commit()
    assert {name: made[name].num_rows for name in made} == {"done": 2, "more": 4}


def test_rows_behind_the_last_checkpoint(store: tableformat.Store) -> None:
    """A closed table has all its rows, and opened again it goes on at the last checkpoint."""
    with pytest.raises(Crash), store.draft("a", session="s") as draft:
        with draft.table("t") as table:
            table.extend({"x": [1, 2]}, checkpoint=2)
            table.seal(2)
            table.extend({"x": [3]})
        raise Crash
    with pytest.raises(Crash), store.draft("a", session="s") as draft:
        assert draft["t"].num_rows == 3
        with draft.table("t") as table:
            assert (table.rows_written, table.checkpoint) == (2, 2)
            raise Crash
    with store.draft("a", session="s"):
        pass
    assert store["a"]["t"].num_rows == 3


def test_appends(store: tableformat.Store) -> None:
    """Rows that follow those of the base are sealed, too, and go on behind it; the base stays what it was when the session began."""
    rows = rows_from(0, 70_000)
    with store.draft("a") as draft, draft.table("t", key="id") as table:
        table.extend(rows.slice(0, 66_000))
    for stop in (68_000, 69_000):
        with (
            pytest.raises(Crash),
            store.draft("a", base="latest", session="s") as draft,
            draft.table("t", mode="append") as table,
        ):
            start = 66_000 + table.rows_written
            table.extend(rows.slice(start, stop - start))
            table.seal()
            raise Crash
        with store.draft("a", base="latest") as other:
            other.add({"x": [stop]}, f"other-{stop}")
    assert store.session("s")["t"].num_rows == 3000
    with store.draft("a", base="latest", session="s") as draft, draft.table("t", mode="append") as table:
        assert table.rows_written == 3000
        table.extend(rows.slice(69_000))
    assert set(store["a"]) == {"t", "other-68000", "other-69000"}
    assert store["a"]["t"].num_rows == 70_000
    with store.draft("b") as draft, draft.table("t", key="id") as table:
        table.extend(rows)
    assert store["a"]["t"].content_digest == store["b"]["t"].content_digest
    assert store.verify("a").ok


def test_appends_to_a_table_of_the_session(store: tableformat.Store) -> None:
    """A table that is written and then appended to in one draft has two writers; the job that opens both again finds each."""

    def job(crash_at: int) -> None:
        with store.draft("a", session="s") as draft:
            with draft.table("t") as table:
                table.extend({"x": [1, 2][table.rows_written :]})
            with draft.table("t", mode="append") as table:
                table.extend({"x": [3, 4, 5][table.rows_written :]})
                table.seal()
                if crash_at == 1:
                    raise Crash
            if crash_at == 2:
                raise Crash

    for crash_at in (1, 2):
        with pytest.raises(Crash):
            job(crash_at)
    job(0)
    assert store["a"]["t"].to_arrow()["x"].to_pylist() == [1, 2, 3, 4, 5]


def test_written_again_in_a_session(store: tableformat.Store) -> None:
    """A session that writes a table again shares the parts of the version before, and lists what they point at."""

    def write(table: Any, start: int, stop: int) -> None:
        for number in range(start, stop):
            table.append(id=number, image=Image(picture(number % 50)))

    with store.draft("a") as draft, draft.table("t", key="id", part_rows=64) as table:
        write(table, 0, 400)
    with (
        pytest.raises(Crash),
        store.draft("a", session="s") as draft,
        draft.table("t", key="id", part_rows=64) as table,
    ):
        write(table, 0, 300)
        table.seal()
        raise Crash
    with store.draft("a", session="s") as draft, draft.table("t", key="id", part_rows=64) as table:
        write(table, table.rows_written, 401)
    assert store["a"]["t"].num_rows == 401
    assert draft.report.parts_reused > 0
    assert store.verify("a").ok


def test_sorted_tables_begin_anew(store: tableformat.Store) -> None:
    """Rows that are sorted are stored at the end only: such a table begins anew, or is there as a whole."""
    with (
        pytest.raises(Crash),
        store.draft("a", session="s") as draft,
        draft.table("t", key="x", sort_by_key=True) as table,
    ):
        table.extend({"x": [3, 1]}, checkpoint=1)
        table.seal(1)
        raise Crash
    with pytest.raises(Crash), store.draft("a", session="s") as draft:
        with draft.table("t", key="x", sort_by_key=True) as table:
            assert (table.rows_written, table.checkpoint) == (0, None)
            table.extend({"x": [3, 1, 2]})
        raise Crash
    with store.draft("a", session="s") as draft:
        assert draft["t"].to_arrow()["x"].to_pylist() == [1, 2, 3]


def test_rejected_rows_are_remembered(store: tableformat.Store) -> None:
    """Rows that were left out stand in the report, and the position counts those that were taken."""
    with pytest.raises(Crash), store.draft("a", session="s") as draft:
        table = draft.table("t", schema={"x": pa.int64()}, on_error="skip")
        table.extend([{"x": 1}, {"x": "bad"}, {"x": 3}], checkpoint=3)
        table.seal(3)
        raise Crash
    with store.draft("a", session="s") as draft, draft.table("t", schema={"x": pa.int64()}, on_error="skip") as table:
        assert (table.rows_written, table.checkpoint, len(table.rejected)) == (2, 3, 1)
        table.append(x="worse")
        table.append(x=5)
    assert [row[0] for row in draft.report.rejected["t"]] == [1, 3]
    assert store["a"]["t"].to_arrow()["x"].to_pylist() == [1, 3, 5]


def test_committed_sessions_add_nothing(store: tableformat.Store) -> None:
    """Opened again after its commit, a session gives its version; the job runs through, and rows are refused. [VERSIONS-36]"""

    def job() -> tableformat.Draft:
        with store.draft("a", session="s") as draft:
            with draft.table("t") as table:
                for number in range(table.checkpoint or 0, 5):
                    table.extend([{"x": number}], checkpoint=number + 1)
            draft.add(Classes(["a"]), "classes")
        return draft

    first, again = job(), job()
    assert (first.created, again.created, again.committed) == (True, False, first.committed)
    assert len(store.versions("a")) == 1
    draft = store.draft("a", session="s")
    assert (draft.commit(), draft["t"].num_rows) == (first.committed, 5)
    with pytest.raises(UsageError, match="a:v0, with 5 rows"):
        draft.table("t").append(x=1)
    with pytest.raises(UsageError, match="without this table"):
        draft.table("other")
    with pytest.raises(InvalidInputError, match="artifact: was 'a', is 'b' now"):
        store.draft("b", session="s")
    assert store.session("s").committed == first.committed
    store.session("s").discard()
    assert job().created is False  # the same content again


def test_a_commit_whose_end_was_not_seen(store: tableformat.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that died after its version was there finds it, and does not commit again. [VERSIONS-36]"""
    with monkeypatch.context() as patched:
        patched.setattr(resumable.NamedSession, "finish", _crash)
        with pytest.raises(Crash), store.draft("a", session="s") as draft:
            draft.table("t").append(x=1)
    with store.draft("a") as other:
        other.table("t").append(x=2)
    with store.draft("a", session="s") as draft:
        pass
    assert (draft.created, draft.committed.slot) == (False, 0)  # type: ignore[union-attr]
    assert len(store.versions("a")) == 2


def _crash(*_: Any) -> None:
    raise Crash


def test_others_are_told_who_holds_it(store: tableformat.Store) -> None:
    """A second draft on a session that is held raises, naming process and host, here and in another process. [VERSIONS-34]"""
    with store.draft("a", session="s") as draft:
        with pytest.raises(UsageError, match=rf"process {os.getpid()} of .*, since 20"):
            store.draft("a", session="s")
        code = f"import tableformat; tableformat.open_store({store.root!r}).draft('a', session='s')"
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": "."},
        )
        assert f"process {os.getpid()} of" in done.stderr
        assert str(os.getpid()) in (store.session("s").holder or "")
        draft.table("t").append(x=1)
    assert draft.created


def test_abandoned_drafts_give_it_back(store: tableformat.Store) -> None:
    """A draft that goes away without a word warns, and leaves its session to the next."""
    draft = store.draft("a", session="s")
    with draft.table("t") as table:
        table.append(x=1)
    del table
    with pytest.warns(ResourceWarning, match="neither committed nor discarded"):  # noqa: PT031 - a draft goes when it is collected
        draft = None  # type: ignore[assignment]
        gc.collect()
    with store.draft("a", session="s") as draft:
        assert draft["t"].num_rows == 1


def test_a_holder_that_is_gone(store: tableformat.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead process of this machine gives way at once; one of another machine when its lease has passed. [VERSIONS-38]"""
    process = multiprocessing.get_context("spawn").Process(target=_hold_and_die, args=(store.root,))
    process.start()
    process.join()
    assert process.exitcode == 9
    store.draft("a", session="s").discard()
    elsewhere = session_log.Holder("elsewhere", "", 1, "")
    with monkeypatch.context() as patched:
        patched.setattr(session_log.Holder, "here", lambda: elsewhere)
        left = store.draft("a", session="s")
    with pytest.raises(UsageError, match=r"process 1 of elsewhere.*last heard of 0 s ago"):
        store.draft("a", session="s")
    monkeypatch.setattr(session_log, "LEASE_S", -1)
    taken = store.draft("a", session="s")
    with pytest.raises(
        UsageError, match=f"process {os.getpid()} of"
    ):  # the one that was taken for dead lives, and is stopped
        _seal_one(left)
    left.discard()  # what it no longer holds it does not drop
    with taken as draft:
        draft.table("t").append(x=2)
    assert store["a"]["t"].num_rows == 1


def _seal_one(draft: tableformat.Draft) -> None:
    table = draft.table("t")
    table.append(x=1)
    table.seal()


def _hold_and_die(root: str) -> None:
    tableformat.open_store(root).draft("a", session="s")
    os._exit(9)


def test_differences_are_all_told(store: tableformat.Store) -> None:
    """Another artifact and base, another schema, key and options: each is named, with what was and what is. [VERSIONS-33]"""
    with pytest.raises(Crash), store.draft("a", session="s") as draft:
        table = draft.table("t", {"x": pa.int64(), "y": pa.string()}, key="x", part_rows=100)
        table.append(x=1, y="a")
        table.seal()
        raise Crash
    with pytest.raises(InvalidInputError) as told:
        store.draft("b", base="latest", session="s")
    assert [problem.place for problem in told.value.problems] == ["artifact", "base"]
    with pytest.raises(Crash), store.draft("a", session="s") as draft:
        with pytest.raises(InvalidInputError) as told:
            draft.table("t", {"x": pa.float64(), "z": pa.string()}, key=["x", "z"], on_error="skip")
        assert {problem.place for problem in told.value.problems} == {
            "column 'x'",
            "column 'y'",
            "column 'z'",
            "key",
            "on_error",
            "part_rows",
        }
        assert "was int64, is float64 now" in str(told.value)
        raise Crash
    with (
        store.draft("a", session="s") as draft,
        draft.table("t", {"x": pa.int64(), "y": pa.string()}, key="x", part_rows=100) as table,
    ):
        assert table.rows_written == 1


def test_damage_is_named(store: tableformat.Store) -> None:
    """Sealed parts and packs that are missing, cut or changed are all named when the session is opened, and it can be dropped. [VERSIONS-35]"""
    with pytest.raises(Crash), store.draft("a", session="s") as draft, draft.table("t", part_rows=10) as table:
        for number in range(40):
            table.append(x=number, image=Image(picture(number)))
        table.seal()
        raise Crash
    paths = [
        f"data/{file.digest[7:]}.parquet"
        for part in resumable.read_state(store.context, session_log.Begin.read(store.context.backend, "s"))[0]
        .last("t")
        .parts
        for file in part.files
    ]  # type: ignore[arg-type]
    Path(store.root, paths[0]).unlink()
    Path(store.root, paths[1]).write_bytes(Path(store.root, paths[1]).read_bytes()[:-1])
    data = bytearray(Path(store.root, paths[2]).read_bytes())
    data[-20] ^= 1
    Path(store.root, paths[2]).write_bytes(data)
    [pack] = Path(store.root, "data", "packs").rglob("*.zip")
    pack.unlink()
    with pytest.raises(CorruptError) as told:
        store.draft("a", session="s")
    assert all(path in str(told.value) for path in [*paths[:3], pack.name])
    assert paths[3] not in str(told.value)
    assert "4 of 5 missing or damaged" in str(told.value)
    assert store.session("s").holder is None
    store.session("s").discard()
    with store.draft("a", session="s") as draft:
        assert list(draft) == []


def test_discard_drops_the_session(store: tableformat.Store) -> None:
    """Only `discard` drops a session: the next of that name begins with nothing, and no file of it is left."""
    draft = store.draft("a", session="s")
    draft.table("t").append(x=1)
    draft.discard()
    assert list(store.context.backend.list("sessions")) == []
    with pytest.raises(NotFoundError, match="'s'"):
        store.session("s")
    draft = store.draft("a", session="s")
    assert "t" not in draft
    draft.discard()


def test_open_sessions_are_listed(store: tableformat.Store) -> None:
    """`sessions()` tells what is open, with how far it is; a session is read while it is written."""
    assert store.sessions() == []
    with store.draft("a", session="Nightly.1") as draft, draft.table("t") as table:
        table.extend({"x": [1, 2]}, checkpoint="p")
        table.seal("p")
        [session] = store.sessions()
        assert (session.name, session.artifact, session.committed) == ("Nightly.1", "a", None)
        assert session.tables == {"t": type(session.tables["t"])(2, "p", False)}
        assert [*session] == ["t"]
        assert session["t"].to_arrow()["x"].to_pylist() == [1, 2]
        with pytest.raises(NotFoundError, match="'u'"):
            session["u"]
    assert store.sessions() == []


@pytest.mark.parametrize("name", ["", "a/b", "..", "v3", "latest", "0" * 32, "x" * 129, 7])
def test_names_of_sessions(store: tableformat.Store, name: Any) -> None:
    """A session is named as an artifact is, and not by 32 hex digits. [VERSIONS-37]"""
    with pytest.raises(IllegalNameError):
        store.draft("a", session=name)


def test_checkpoints_need_a_session_and_a_beginning(store: tableformat.Store) -> None:
    """Without a session there is nothing to keep a checkpoint; behind rows that were sealed without one none can begin."""
    with store.draft("a") as draft, draft.table("t") as table:
        assert table.checkpoint is None
        for call in (
            lambda: table.extend({"x": [1]}, checkpoint=1),
            table.seal,
            lambda: setattr(table, "checkpoint", 1),
        ):
            with pytest.raises(UsageError, match="session="):
                call()
        assert table.rows_written == 0
        table.append(x=1)
    with store.draft("a", session="s") as draft, draft.table("t") as table:
        table.append(x=1)
        table.seal()
        with pytest.raises(UsageError, match="1 rows that were sealed without"):
            table.checkpoint = 5
    with store.draft("a", session="s2") as draft, draft.table("t") as table:
        table.extend({"x": [1]}, checkpoint=1)
        with pytest.raises(UsageError, match="pass checkpoint="):
            table.seal()
        with pytest.raises(InvalidInputError, match="JSON"):
            table.checkpoint = {1, 2}


def test_old_sessions_are_refused(store: tableformat.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a week what a session counts on may have been collected: it neither opens nor commits."""
    draft = store.draft("a", session="s")
    draft.table("t").append(x=1)
    monkeypatch.setattr(resumable, "DEADLINE_S", -1)
    with pytest.raises(UsageError, match="younger"):
        draft.commit()
    with pytest.raises(UsageError, match="younger"):
        store.draft("a", session="s")


def test_key_faults_do_not_stick(store: tableformat.Store) -> None:
    """Keys that stand twice are an error of the commit; the table can be removed and written anew in the same session."""
    with store.draft("a", session="s") as draft:
        table = draft.table("t", key="x")
        table.extend({"x": [1, 1]})
        with pytest.raises(KeyValueError):
            table.close()
        draft.remove("t")
        with draft.table("t", key="x") as table:
            assert table.rows_written == 0
            table.extend({"x": [1, 2]})
    assert store["a"]["t"].num_rows == 2


def test_logs_are_what_the_specification_says(store: tableformat.Store) -> None:
    """Begin, records and done are documents with a check; the log is gone after the commit. [VERSIONS-32]"""
    with store.draft("a", session="Night") as draft, draft.table("t") as table:
        table.append(x=1)
        table.seal()
        folder = Path(store.root, "sessions", "!night")
        begin = json.loads((folder / "begin.json").read_bytes())
        records = [json.loads(path.read_bytes()) for path in sorted((folder / begin["session"]).iterdir())]
        assert [record["event"] for record in records] == ["open", "seal"]
        assert [record["number"] for record in records] == [0, 1]
        assert all("check" in one for one in [begin, *records])
    assert [path.name for path in folder.iterdir()] == ["done.json"]
