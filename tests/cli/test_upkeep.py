"""Keeping a store from the command line: told first, done when asked to."""

from __future__ import annotations

import datetime
from pathlib import Path

import tableformat
from tests.cli.conftest import Run


def test_gc_tells_and_deletes(run: Run, store: Path) -> None:
    """Without --delete nothing goes; with it and --exclusive all garbage goes at once."""
    assert run("expire", f"{store}#digits", "--keep-last", "1", "--dry-run").out.count("pinned") == 1
    assert run("expire", f"{store}#digits", "--keep-last", "1", "--force").code == 0
    told = run("gc", str(store), "--exclusive", "--grace", "0")
    assert (told.code, "--delete makes a plan" in told.out) == (0, True)
    assert run("gc", str(store)).out.startswith("too young")
    done = run("gc", str(store), "--delete", "--exclusive", "--grace", "0", "--repack", "0.5", "--json").json
    assert done["state"] in ("swept", "clean")
    assert run("gc", str(store), "--exclusive", "--grace", "0").out.startswith("clean")
    assert run("gc", str(store), "--grace", "1").code == 4
    assert run("verify", f"{store}#digits").code == 0


def test_expire_wants_one_thing(run: Run, store: Path) -> None:
    """How many stay, or which goes; not both, and not neither."""
    assert run("expire", f"{store}#digits").code == 2
    assert run("expire", f"{store}#digits:v0", "--keep-last", "1").code == 2
    assert run("expire", f"{store}#digits:v1").code == 4
    assert run("expire", f"{store}#digits:v0", "--json").json["pinned"]


def test_erase_tells_and_erases(run: Run, store: Path) -> None:
    """Rows are told first, and gone from all versions with --delete; what cannot be reached is told beside it."""
    row = tableformat.open_store(store)["digits"]["images"][0]["id"]
    table = f"{store}#digits/images"
    assert "--delete erases" in run("erase", table, "--key", str(row)).out
    done = run("erase", table, "--key", str(row), "--delete")
    assert (done.code, "not reached" in done.err, "stored rows" in done.out) == (0, True, True)
    assert row not in tableformat.open_store(store)["digits"]["images"].to_arrow().column("id").to_pylist()
    assert run("verify", f"{store}#digits").code == 0
    assert run("erase", table, "--key", str(row)).out.startswith("nothing found")
    assert run("erase", table, "sha256:00", "--key", "x").code == 2
    assert run("erase", table, "sha256:00").code == 2
    assert run("erase", f"{store}#digits:v0/images", "--key", str(row)).code == 2


def test_keys_are_typed_as_the_columns_are(run: Run, tmp_path: Path) -> None:
    """A key is what its column holds: the text 7, the number 7, a day; JSON for several columns; other texts are refused."""
    store = tableformat.open_store(tmp_path / "store")
    day = datetime.date(2026, 11, 22)
    tables = {"texts": {"id": "7"}, "numbers": {"id": 7}, "days": {"id": day}, "pairs": {"id": "7", "day": day}}
    with store.draft("a") as draft:
        for name, row in tables.items():
            with draft.table(name, key=list(row)) as table:
                table.append(**row)
    for name, key in (
        ("texts", "7"),
        ("numbers", "7"),
        ("days", "2026-11-22"),
        ("pairs", '["7", "2026-11-22"]'),
        ("pairs", '{"day": "2026-11-22", "id": "7"}'),
    ):
        assert run("erase", f"{store.root}#a/{name}", "--key", key).out.startswith("1 stored rows"), name
    for name, key in (
        ("numbers", "x"),
        ("days", "today"),
        ("pairs", "7"),
        ("pairs", "[7, 1, 2]"),
        ("pairs", '{"id": "7"}'),
    ):
        assert run("erase", f"{store.root}#a/{name}", "--key", key).code == 4, name


def test_erase_says_what_is_left(run: Run, store: Path) -> None:
    """Media of up to 1 KiB stand in parts: where that is is told, and the exit code says that not all was done."""
    digest = tableformat.open_store(store)["digits"]["images"][0]["image"].digest
    done = run("erase", str(store), digest, "--delete")
    assert (done.code, done.out.startswith("left: digits:v")) == (10, True)
    assert run("erase", str(store), "sha256:12").code == 4


def test_repair_brings_back(run: Run, store: Path, tmp_path: Path) -> None:
    """A part that was deleted comes from a copy; without one it is told as lost."""
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    part = next((store / "data").glob("*.parquet"))
    part.unlink()
    lost = run("repair", str(store))
    assert (lost.code, part.name in lost.out) == (5, True)
    assert run("repair", str(store), "--from", str(copy), "--dry-run").out.startswith("can be repaired")
    assert run("repair", f"{store}#digits", "--from", str(copy), "--json").json["repaired"]
    assert run("verify", f"{store}#digits").code == 0
