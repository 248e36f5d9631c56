"""The commands about what lies outside of a store."""

from __future__ import annotations

from pathlib import Path

import pytest

import tableformat
from tableformat.cli.exits import Exit
from tests.cli.conftest import Run


@pytest.fixture
def images(tmp_path: Path, digits: Path) -> Path:
    """Six digits of two classes."""
    for label in ("0", "1"):
        for path in sorted((digits / label).iterdir())[:3]:
            (tmp_path / "images" / label).mkdir(parents=True, exist_ok=True)
            (tmp_path / "images" / label / path.name).write_bytes(path.read_bytes())
    return tmp_path / "images"


def test_a_bucket_is_adopted(run: Run, tmp_path: Path, images: Path) -> None:
    """References are added, verified, owned in part and downloaded, from the command line alone."""
    store, url = str(tmp_path / "store"), images.as_uri()
    allow = ("--allow", url)
    assert run("add-reference", url, f"{store}#photos", "-q").code == Exit.OK
    done = run("add-reference", url, f"{store}#photos/pictures", "--table", "--json", "-q")
    assert (done.code, done.json["version"], done.json["entry"]) == (Exit.OK, "v1", "pictures")
    assert tableformat.open_store(store)["photos"].kinds() == {"images": "reference", "pictures": "table"}
    assert (
        run("verify", f"{store}#photos", "--references", *allow, "-q").out
        == "photos: 12 ok, 0 changed, 0 missing, 0 unknown\n"
    )
    assert run("verify", f"{store}#photos", "--references", "-q", "--json").json["unknown"] == 12
    first = min(images.rglob("*.png"))
    dry = run("own", f"{store}#photos/pictures", "image", "--dry-run", "--json", "-q", *allow)
    assert (dry.json["owned"], dry.json["version"]) == (6, None)
    assert run("own", f"{store}#photos/pictures", "image", "-q").code == Exit.REFUSED
    path = str(first.relative_to(images))
    assert (
        "owned 1 of 1 references"
        in run("own", f"{store}#photos/pictures", "image", "--where", f"path={path}", "-q", *allow).out
    )
    first.unlink()
    drift = run("verify", f"{store}#photos", "--references", *allow, "-q")
    assert drift.code == Exit.DAMAGED
    assert "missing: " in drift.out
    assert run("download", f"{store}#photos", tmp_path / "out", "-q", *allow).code == Exit.NOT_FOUND
    done = run("download", f"{store}#photos", tmp_path / "out", "--no-references", "-q", "--json")
    assert (done.code, done.json["files"]) == (Exit.OK, 1)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("own", "{store}#photos", "image"), Exit.USAGE), (("download", "{store}#photos/x", "out"), Exit.USAGE),
        (("own", "{store}#photos/x", "image", "--where", "x"), Exit.NOT_FOUND), (("add-reference", "s3://u:p@b/x", "{store}#a"), Exit.INVALID),
        (("add-reference", "file:///none/x", "{store}#a"), Exit.NOT_FOUND),
    ],
)  # fmt: skip
def test_wrong_arguments(run: Run, tmp_path: Path, arguments: tuple[str, ...], code: int) -> None:
    """Each ends with the exit code of its kind."""
    assert run(*(one.format(store=tmp_path / "store") for one in arguments), "-q").code == code
