"""`verify`: its exit code is its answer."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run


def test_verify_of_a_sound_version(run: Run, store: Path) -> None:
    """Nothing wrong: exit code 0, and how much was read."""
    done = run("verify", f"{store}#digits")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("digits: ok · ")
    told = run("verify", f"{store}#digits:best", "--json").json
    assert (told["ok"], told["rows"], told["problems"]) == (True, 30, [])


def test_verify_of_a_damaged_version(run: Run, store: Path) -> None:
    """A flipped byte: exit code 5, and the file is named."""
    part = next((store / "data").glob("*.parquet"))
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.chmod(0o644)
    part.write_bytes(data)
    codes = {version: run("verify", f"{store}#digits:{version}") for version in ("v0", "v1")}
    assert codes["v1"].code == 5
    assert part.name in codes["v1"].out
    told = run("verify", f"{store}#digits:v1", "--json")
    assert (told.code, told.json["ok"]) == (5, False)
    assert told.json["problem_count"] == len(told.json["problems"]) > 0


def test_verify_of_what_is_no_version(run: Run, store: Path) -> None:
    """An unknown version is not found; an entry is not verified alone."""
    assert run("verify", f"{store}#digits:v7").code == 3
    assert run("verify", f"{store}#digits/images").code == 2
