"""Files of this machine behind references: no link leads out of what was allowed, and folders list in order."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tableformat.errors import AccessRefusedError, InvalidInputError, NotFoundError
from tableformat.storage.outside.local_files import check_contained, list_files, open_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files, links inside and out, beside a secret."""
    (tmp_path / "secret").write_bytes(b"secret")
    home = tmp_path / "home"
    for name in ("b.png", "a/1.png", "a-b/2.png", "a.png", "deep/er/3.png"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(name.encode())
    return home


def test_paths_come_sorted(folder: Path) -> None:
    """By code point of the whole path, as buckets list; links to what lies inside count as files. [REF-16]"""
    (folder / "link.png").symlink_to("a/1.png")
    (folder / "inner").symlink_to("deep")
    paths = [one.path for one in list_files(str(folder))]
    assert paths == ["a-b/2.png", "a.png", "a/1.png", "b.png", "deep/er/3.png", "inner/er/3.png", "link.png"]
    assert paths == sorted(paths)
    for after in ("", "a-b/2.png", "a/", "a/1.png", "a/0", "deep/er", "zzz"):
        assert [one.path for one in list_files(str(folder), after)] == [path for path in paths if path > after]


def test_links_that_lead_elsewhere_are_told(folder: Path) -> None:
    """Links out, in circles and to nothing raise, all of them named; the caller may follow or skip instead."""
    (folder / "out.png").symlink_to("../secret")
    (folder / "gone").symlink_to("nothing")
    (folder / "deep" / "circle").symlink_to("..")
    with pytest.raises(InvalidInputError) as caught:
        list(list_files(str(folder)))
    assert {problem.place.strip("'").rstrip("/") for problem in caught.value.problems} == {
        "out.png",
        "gone",
        "deep/circle",
    }
    assert len(list(list_files(str(folder), links="skip"))) == 5
    (folder / "gone").unlink()
    (folder / "deep" / "circle").unlink()
    assert "out.png" in [one.path for one in list_files(str(folder), links="follow")]


def test_what_is_no_file_is_told(folder: Path) -> None:
    """Pipes, sockets and names that no URL holds are problems, not waits and not crashes."""
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(folder / "s"))
        (folder / "line\nbreak").write_bytes(b"")
        Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).write_bytes(b"")
        with pytest.raises(InvalidInputError) as caught:
            list(list_files(str(folder)))
    assert len(caught.value.problems) == 4
    for problem in caught.value.problems:
        assert str(problem).isprintable()
    with pytest.raises(NotFoundError):
        open_file(str(folder / "pipe"), "test")
    with pytest.raises(NotFoundError):
        open_file(str(folder), "test")


def test_no_link_leads_out_of_what_was_allowed(folder: Path) -> None:
    """A file is opened by its real path, which lies below the real path of an allowed prefix. [REF-3]"""
    (folder / "out.png").symlink_to("../secret")
    (folder / "outer").symlink_to("..")
    (folder / "link.png").symlink_to("a/1.png")
    allow = [folder.as_uri()]
    assert check_contained((folder / "link.png").as_uri(), allow, "test") == os.path.realpath(folder / "a" / "1.png")
    for name in ("out.png", "outer/secret"):
        with pytest.raises(AccessRefusedError):
            check_contained(f"{folder.as_uri()}/{name}", allow, "test")
    with pytest.raises(NotFoundError):
        check_contained(f"{folder.as_uri()}/none", allow, "test")
    assert check_contained(f"{folder.as_uri()}/out.png", ["file:///"], "test").endswith("secret")
