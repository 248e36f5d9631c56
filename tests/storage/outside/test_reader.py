"""The door through which references are followed: every rule of the policy, and somebody who tries to break it at each way in."""

from __future__ import annotations

import pickle
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

import tableformat
from tableformat import Image
from tableformat.errors import AccessRefusedError, InvalidInputError, StoreUnavailableError, TableformatError
from tableformat.format.reference import Known
from tableformat.storage.outside import reader
from tableformat.storage.outside.http import HttpReader
from tableformat.storage.outside.reader import Outside, Wanted
from tests.storage.outside.web import PUBLIC, Web, serving

REMOTE = "memory://policy/store"
EVERYTHING = ("file:///", "local:///", "s3://", "gs://", "memory://", "https://", "http://", "zip://", "tar://", "reference://",
              "simplecache://", "git://", "data://", "/", "/etc")  # fmt: skip
DOORS: dict[str, Callable[[Outside, str], object]] = {
    "info": lambda door, url: door.info(url),
    "open": lambda door, url: door.open(url),
    "open what was known": lambda door, url: door.open(url, Known(3, "etag", "1")),
    "read": lambda door, url: door.read(Wanted(url)),
    "read a range": lambda door, url: door.read(Wanted(url, 0, 3, Known(version="1"), b"0" * 32)),
    "read many": lambda door, url: door.read_many([Wanted(url), Wanted(url)]),
    "list": lambda door, url: list(door.list(url)),
    "list behind": lambda door, url: list(door.list(url, "a")),
    "refer": lambda door, url: door.grant(url),
    "refer to a folder": lambda door, url: door.grant(url, below=True),
}
"""The ways to what a URL names."""
HOSTILE = {
    "chains": [
        "simplecache::s3://a/x", "s3://a/x::file:///etc/passwd", "zip://x.png::s3://a/x.zip", "filecache::file:///etc/passwd", "::file:///etc/passwd",
        "s3://a/x%3A%3Afile:///etc/passwd", "s3://a/x%253a%253afile:///etc/passwd", "dir::file:///etc", "https://images.example/x::file:///etc/passwd",
    ],
    "wrappers": ["simplecache://a/x", "ZIP://a/x", "reference://a/x", "tar://x", "git://a/x", "data://x", "blockcache://x", "libarchive://x", "generic://x"],
    "files": [
        "file:///etc/passwd", "FILE:///etc/passwd", "local:///etc/passwd", "Local:///etc/passwd", "file://localhost/etc/passwd", "file://other/etc/passwd",
        "/etc/passwd", "file:/etc/passwd", "etc/passwd", "../../etc/passwd", "C:\\secret", "\\\\host\\share", "",
    ],
    "crooked": [
        "https://u:hunter2@images.example/x", "s3://key:hunter2@a/x", "https://images.example@127.0.0.1/x", "https://images.example%40127.0.0.1/x",
        "https://127.0.0.1\\@images.example/x", "s3://a\\b/c", "s3://a/b\nc", "s3://a/\x00", "s3://a/../b", "s3://a/%2e%2e/b", "s3://a/%252e%252e/b",
        "s3://a/x%2f..%2fb", "s3://a/./b", "s3://a/%25252525252e/b", "https://[1/x",
    ],
}  # fmt: skip
"""URLs that nothing allows, by rule."""
INNER = [
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "0.1.2.3", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200",
    "192.0.0.192", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "2002:7f00:1::",
    "2002:a9fe:a9fe::1", "2001:0:4136:e378:8000:63bf:80ff:fffe", "2001:db8::1",
    "fec0::1", "3fff::1", "5f00::1", "::ffff:0:127.0.0.1", "192.88.99.1",
]  # fmt: skip
"""Addresses that are not of the public internet."""
SPELLINGS = [
    "127.0.0.1", "127.0.0.1.", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0x7F.0x0.0x0.0x1", "017700000001", "0177.0.0.1", "0",
    "0.0.0.0", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.169.254", "127。0。0。1", "１２７.0.0.1", "①②⑦.⓪.⓪.①", "127.0.0.1:80", "127.0.0.1:65535",
    "[::1]", "[0:0:0:0:0:0:0:1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:a9fe:a9fe]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1]",
]  # fmt: skip
"""Hosts of URLs that lead to inner addresses by one way of reading numbers or another."""


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as server:
        server.files["/a.png"] = b"png"
        yield server


@pytest.fixture(autouse=True)
def nothing_is_opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URLs for which a file system was asked."""
    opened: list[str] = []
    real = reader.open_file_system

    def noted(url: str, *args: Any, **options: Any) -> Any:
        opened.append(url)
        return real(url, *args, **options)

    monkeypatch.setattr(reader, "open_file_system", noted)
    return opened


def through(web: Web, root: str = REMOTE, allow: tuple[str, ...] = ("http://", "https://"), **options: Any) -> Outside:
    """A door whose web is that one."""
    found = Outside(root, allow, **options)
    found._http = web.reader(found.check)
    return found


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("rule", HOSTILE)
def test_what_nothing_allows(rule: str, door: str, web: Web, nothing_is_opened: list[str]) -> None:
    """Chains, wrappers, local files and crooked URLs are refused at every way in, whatever was allowed; nothing is opened or
    dialled, and what is secret in them is not repeated. [REF-2] [REF-3] [REF-4] [REF-5]"""
    outside = through(web, allow=EVERYTHING)
    for url in HOSTILE[rule]:
        with pytest.raises(AccessRefusedError) as caught:
            DOORS[door](outside, url)
        assert "nothing allows it" in str(caught.value), url
        assert "hunter2" not in str(caught.value)
    assert (nothing_is_opened, web.dialled, web.looked_up) == ([], [], [])


@pytest.mark.parametrize("door", DOORS)
def test_what_was_not_allowed(
    door: str, web: Web, nothing_is_opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside of the root and of the prefixes of the caller nothing is opened: prefixes end at segments, and are of one scheme. [REF-1]"""
    monkeypatch.setenv(reader.ENVIRONMENT, "https://environment.example/below")
    outside = through(web, "memory://policy/store", ("s3://images/cats", "https://images.example"))
    if door.startswith("refer"):
        DOORS[door](outside, "s3://new/x/")  # whoever refers to it has allowed that
        assert outside._granted
        return
    for url in (
        "memory://policy/storehouse/x", "memory://policy/x", "memory://other/x", "s3://images/catsup", "s3://images/dogs/x", "s3a://images/cats/x", "gs://images/cats/x",
        "http://images.example/x", "https://images.example.evil/x", "https://images.examples/x", "https://environment.example/belowground", "https://environment.example/",
    ):  # fmt: skip
        with pytest.raises(AccessRefusedError, match=r"open with allow=\["):
            DOORS[door](outside, url)
    assert (nothing_is_opened, web.dialled) == ([], [])


def test_the_advice_of_a_refusal_is_the_right_one() -> None:
    """What a refusal says to pass allows what it refused, and no more than one place. [REF-1]"""
    name = f"advice-{uuid.uuid4().hex}"
    fsspec.filesystem("memory").pipe_file(f"/{name}/a.png", b"png")
    with pytest.raises(AccessRefusedError) as caught:
        Outside("/store").read(Wanted(f"memory://{name}/a.png"))
    found = re.search(r"allow=\['(.*?)'\]", str(caught.value))
    assert found is not None
    assert Outside("/store", [found[1]]).read(Wanted(f"memory://{name}/a.png")) == b"png"
    with pytest.raises(AccessRefusedError):
        Outside("/store", [found[1]]).read(Wanted("memory://elsewhere/a.png"))


# The network


@pytest.mark.parametrize("host", SPELLINGS)
def test_hosts_in_any_spelling(web: Web, host: str) -> None:
    """Inner addresses are refused however they are spelled, before anything is dialled, though all of the web is allowed. [REF-7]"""
    for scheme in ("http", "https"):
        for door in ("info", "open", "read", "read many"):
            with pytest.raises((AccessRefusedError, StoreUnavailableError)) as caught:
                DOORS[door](through(web), f"{scheme}://{host}/latest/meta-data/")
            if isinstance(
                caught.value, StoreUnavailableError
            ):  # no address at all, by the numbers that this system knows
                assert "the addresses of" in str(caught.value)
    assert web.dialled == []


@pytest.mark.parametrize("address", INNER)
def test_names_of_inner_addresses(web: Web, address: str) -> None:
    """A name that resolves to an inner address is refused, also where only one of its addresses is, also as a redirect. [REF-7] [REF-8]"""
    web.names |= {"rebound.example": [address], "mixed.example": [PUBLIC, address]}
    for name in ("rebound.example", "mixed.example"):
        with pytest.raises(AccessRefusedError, match="nothing allows it"):
            through(web).read(Wanted(f"https://{name}/a.png"))
        web.redirects["/hop.png"] = f"http://{name}/a.png"
        with pytest.raises(AccessRefusedError, match="nothing allows it"):
            through(web).read(Wanted("http://images.example/hop.png"))
    assert web.dialled == [PUBLIC, PUBLIC]
    assert web.requests == ["GET /hop.png"] * 2


def test_this_machine_by_its_real_names() -> None:
    """With the resolver of the operating system, too: by name and by number, nothing on this machine is dialled. [REF-7]"""
    dialled: list[str] = []

    def dial(address: str, port: int, timeout: float) -> Any:
        dialled.append(address)
        raise OSError("dialled")

    outside = Outside("/store", ["http://"])
    outside._http = HttpReader(outside.check, connect=dial)
    for host in ("localhost", "127.0.0.1", "2130706433", "0x7f000001", "127.1", "0", "[::1]", "[::ffff:127.0.0.1]"):
        with pytest.raises((AccessRefusedError, StoreUnavailableError)):
            outside.read(Wanted(f"http://{host}/"))
    assert dialled == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1/x", "http://2130706433/x", "http://[::1]/x", "http://[::ffff:127.0.0.1]/x", "//169.254.169.254/x", "http://localhost/x", "HTTP://127.0.0.1/x",
        "http://u:hunter2@images.example/a.png", "http://images.example/../../a.png", "file:///etc/passwd", "FILE:///etc/passwd", "s3://images/x",
        "simplecache::file:///etc/passwd", "ftp://images.example/x", "data:,x", "javascript:1", "http://images.example\\@127.0.0.1/", "http://closed.example/a.png",
    ],
)  # fmt: skip
def test_redirects(web: Web, target: str, status: int) -> None:
    """A redirect of any kind, on the first hop or a later one, goes through the whole policy. [REF-8]"""
    web.redirect_status = status
    web.names |= {"localhost": ["127.0.0.1"], "closed.example": [PUBLIC]}
    web.redirects |= {"/first": "/second", "/second": target}
    outside = through(
        web, allow=("http://images.example/", "http://127.0.0.1/", "http://localhost", "file:///", "s3://")
    )
    for door in ("info", "open", "read"):
        with pytest.raises(AccessRefusedError) as caught:
            DOORS[door](outside, "http://images.example/first")
        assert "hunter2" not in str(caught.value)
    assert set(web.dialled) == {PUBLIC}
    assert {request.split()[1] for request in web.requests} == {"/first", "/second"}


# What a caller gave


def test_moves_lead_nowhere_else(web: Web, nothing_is_opened: list[str]) -> None:
    """A moved prefix goes through the policy like any other URL: to no local file out of a remote store, and not into the network. [REF-3] [REF-6] [REF-7]"""
    outside = through(
        web, moves=[("s3://old/", "file:///etc/"), ("s3://web/", "http://127.0.0.1/"), ("s3://far/", "memory://x/")]
    )
    for url in ("s3://old/passwd", "s3://web/x", "s3://far/../y", "s3://far/x::file:///etc/passwd", "s3://farther/x"):
        for door in ("info", "open", "read"):
            with pytest.raises(AccessRefusedError):
                DOORS[door](outside, url)
    assert (nothing_is_opened, web.dialled) == ([], [])
    for bad in ("relative", "https://u:hunter2@host/", "s3://a/../b", "s3://a?X-Amz-Signature=hunter2"):
        with pytest.raises(InvalidInputError) as caught:
            Outside("/store", moves=[("s3://old/", bad)])
        assert "hunter2" not in str(caught.value)


def test_credentials_go_to_their_own_kind_of_place() -> None:
    """Options of a store go to places of its scheme, those of a local one to all; none go to web servers. [REF-5]"""
    options = {"key": "hunter2"}
    far = Outside("s3://bucket/store", ["s3://", "gs://"], options=options)
    assert far.options_for("s3://other/x") == far.options_for("s3a://other/x") == options
    for url in ("gs://other/x", "az://other/x", "memory://x", "https://host/x", "http://host/x", "sftp://host/x"):
        assert far.options_for(url) is None
    near = Outside("/store", ["s3://"], options=options)
    assert near.options_for("s3://other/x") == options
    assert near.options_for("https://host/x") is near.options_for("HTTP://host/x") is None


def test_what_is_shown_and_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither options nor what a draft allowed leave the process; prefixes do. [REF-1] [REF-5]"""
    monkeypatch.setenv(reader.ENVIRONMENT, "gs://environment/")
    outside = Outside("/store", ["s3://images/"], options={"key": "hunter2", "client_kwargs": {"secret": "hunter2"}})
    outside.grant("s3://granted/a/b.png")
    assert outside.where("s3://granted/a/c.png")
    for url in ("s3://granted/b.png", "s3://granted/aa/c.png"):
        with pytest.raises(AccessRefusedError):
            outside.where(url)
    data = pickle.dumps(outside)
    assert b"hunter2" not in data
    assert b"granted" not in data
    assert "hunter2" not in repr(outside) + str(outside.reach)
    monkeypatch.delenv(reader.ENVIRONMENT)
    there = pickle.loads(data)
    assert there.where("s3://images/x")
    for url in ("s3://granted/a/c.png", "gs://environment/x"):
        with pytest.raises(AccessRefusedError):
            there.where(url)


@pytest.mark.parametrize("door", [name for name in DOORS if not name.startswith("refer")])
def test_links_out_of_a_folder(tmp_path: Path, door: str) -> None:
    """In a folder that is allowed, a link to a file or folder elsewhere is not followed, by whatever name. [REF-4]"""
    (tmp_path / "secret" / "deep").mkdir(parents=True)
    (tmp_path / "secret" / "a.png").write_bytes(b"secret")
    home = tmp_path / "home"
    home.mkdir()
    (home / "file").symlink_to(tmp_path / "secret" / "a.png")
    (home / "folder").symlink_to(tmp_path / "secret")
    outside = Outside(str(tmp_path / "store"), [str(home)])
    for name in ("file", "folder/a.png", "folder", "folder/deep"):
        with pytest.raises((AccessRefusedError, InvalidInputError)) as caught:
            DOORS[door](outside, f"{home.as_uri()}/{name}")
        assert "link" in str(caught.value)


# Through a store


@pytest.mark.parametrize("rule", HOSTILE)
def test_a_forged_store(
    rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_is_opened: list[str]
) -> None:
    """Cells and entries that somebody forged are refused by everything that follows them, for a reader who allowed all there is. [REF-2] [REF-3] [REF-4]"""
    urls = [
        url
        for url in HOSTILE[rule]
        if "://" in url and not url.startswith(("::", "https://[")) and "hunter2" not in url
    ]
    urls = [url for url in urls if _is_written(url)]
    assert urls or rule == "crooked"
    root = f"memory://forged-{uuid.uuid4().hex}/store"
    store = tableformat.open_store(root)
    with monkeypatch.context() as forging:
        forging.setattr(Outside, "grant", lambda self, url, *, below=False: None)
        with store.draft("a") as draft, draft.table("t", {"image": tableformat.ImageType(), "n": int}) as table:
            table.extend({"image": Image.refer(url), "n": number} for number, url in enumerate(urls))
    nothing_is_opened.clear()
    hostile = tableformat.open_store(
        root, create=False, allow=["file:///", "s3://", "https://", "zip://", "git://", "reference://"]
    )
    found = hostile["a"]["t"]
    for row in found.rows():
        for follow in (row["image"].bytes, row["image"].open, row["image"].to_pil):
            with pytest.raises(AccessRefusedError):
                follow()
    if urls:
        for read in (lambda: list(found.rows(media="bytes")), lambda: hostile["a"].download(tmp_path / "down")):
            with pytest.raises(TableformatError):
                read()
        with hostile.draft("a", base="latest") as draft:
            for options in ({"dry_run": True}, {"on_changed": "raise"}):
                with pytest.raises(AccessRefusedError):
                    draft.own("t", "image", progress=False, **options)
    assert hostile.verify_references("a").counts == {"ok": 0, "changed": 0, "missing": 0, "unknown": len(urls)}
    assert not [url for url in nothing_is_opened if not url.startswith("memory://forged")]
    assert "root:" not in str([path.read_bytes()[:100] for path in tmp_path.rglob("*") if path.is_file()])


def _is_written(url: str) -> bool:
    """Whether a URL passes what is checked when it is written, so that no forgery of bytes is needed."""
    try:
        Image.refer(url)
    except InvalidInputError:
        return False
    return True
