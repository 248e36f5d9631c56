"""Reading over HTTP: every hop is checked, what was checked is dialled, and no way leads into the reader's own network."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tableformat.errors import (
    AccessRefusedError,
    BackendError,
    CorruptError,
    NotFoundError,
    StoreUnavailableError,
)
from tableformat.format.reference import Known, refusal
from tableformat.storage.outside.addresses import is_public
from tableformat.storage.outside.reader import Outside, Wanted
from tests.storage.outside.web import PUBLIC, Web, serving

URL = "http://images.example/a.png"


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as server:
        server.files["/a.png"] = bytes(range(256)) * 40
        server.etags["/a.png"] = '"one"'
        yield server


def test_a_file_costs_one_request(web: Web) -> None:
    """Read from its beginning a file takes one request; each jump takes one more."""
    with web.reader().open(URL) as file:
        assert file.known == Known(10240, "one")
        assert file.read(1000) == web.files["/a.png"][:1000]
        assert file.read() == web.files["/a.png"][1000:]
        assert web.requests == ["GET /a.png"]
        assert (file.seek(-5, 2), file.read(9), file.read()) == (10235, web.files["/a.png"][-5:], b"")
        assert (file.seek(20_000), file.read(3)) == (20_000, b"")
    assert web.requests == ["GET /a.png"] * 2
    assert web.reader().head(URL) == Known(10240, "one")


def test_servers_without_ranges(web: Web) -> None:
    """A server that answers a range with the whole is read on to the place that was asked for."""
    web.knows_ranges = False
    with web.reader().open(URL) as file:
        file.seek(500)
        assert file.read(20) == web.files["/a.png"][500:520]


def test_nothing_secret_is_sent(web: Web) -> None:
    """A request has no cookies and no credentials, whatever the options of the store."""
    outside = Outside(
        "/store",
        ["http://images.example/"],
        options={"key": "hunter2", "headers": {"Authorization": "hunter2"}},
        http=web.reader(),
    )
    assert outside.read(Wanted(URL)) == web.files["/a.png"]
    assert "hunter2" not in str(web.headers)
    assert {"authorization", "cookie"}.isdisjoint(name.lower() for headers in web.headers for name in headers)
    assert web.headers[0]["Host"] == "images.example"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "[::1]", "[::]", "[fe80::1]", "[fc00::1]", "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]",
        "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "metadata.example",
    ],
)  # fmt: skip
def test_inner_addresses_are_refused(web: Web, host: str) -> None:
    """Loopback, link-local and private addresses are refused in whatever spelling, before anything is dialled. [REF-7]"""
    web.names |= {"localhost": ["127.0.0.1"], "metadata.example": [PUBLIC, "169.254.169.254"]}
    url = f"http://{host}/latest/meta-data"
    with pytest.raises((AccessRefusedError, StoreUnavailableError)) as caught:
        web.reader().open(url)
    assert web.dialled == []
    if isinstance(caught.value, AccessRefusedError):
        assert "nothing allows it" in str(caught.value)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("2606:4700::1111", True), ("::ffff:8.8.8.8", True), ("64:ff9b::808:808", True), ("127.0.0.1", False),
        ("169.254.169.254", False), ("fe80::1%eth0", False), ("64:ff9b::a9fe:a9fe", False), ("2002:0a00:0001::1", False),
        ("::127.0.0.1", False), ("224.0.0.1", False), ("255.255.255.255", False), ("192.0.2.1", False), ("nonsense", False), ("", False),
    ],
)  # fmt: skip
def test_public_addresses(address: str, public: bool) -> None:
    """Only addresses of the public internet count, also where IPv6 wraps one of IPv4. [REF-7]"""
    assert is_public(address) is public


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1/x", "http://169.254.169.254/latest", "http://[::1]/x", "http://inner.example/x", "//127.0.0.1/x", "file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://x/", ""],
)  # fmt: skip
def test_redirects_into_the_network_are_refused(web: Web, target: str) -> None:
    """A redirect is a hop like the first: its address is checked before it is dialled, other schemes are not followed. [REF-8]"""
    web.redirects["/a.png"] = target
    web.names["inner.example"] = ["10.0.0.7"]
    with pytest.raises(AccessRefusedError):
        web.reader().open(URL)
    assert set(web.dialled) == {PUBLIC}
    assert web.requests == ["GET /a.png"]


def test_redirects_are_allowed_like_urls(web: Web) -> None:
    """A redirect leads where the caller allowed, or is refused with the argument that would allow it. [REF-8]"""
    web.redirects["/a.png"] = "http://cdn.example/signed.png?sig=hunter2"
    web.files["/signed.png?sig=hunter2"] = b"png"
    web.names["cdn.example"] = [PUBLIC]

    def outside(*allow: str) -> Outside:
        found = Outside("s3://bucket/store", allow)
        found._http = web.reader(found.check)
        return found

    with pytest.raises(AccessRefusedError, match=r"allow=\['http://cdn.example/'\]") as caught:
        outside("http://images.example/").read(Wanted(URL))
    assert "hunter2" not in str(caught.value)
    assert outside("http://images.example/", "http://cdn.example/").read(Wanted(URL)) == b"png"


def test_redirects_end(web: Web) -> None:
    """A server that redirects for ever is told after ten hops. [REF-8]"""
    for number in range(30):
        web.redirects[f"/{number}"] = f"/{number + 1}"
    with pytest.raises(BackendError, match="10 redirects"):
        web.reader().open("http://images.example/0")
    assert len(web.requests) == 10


def test_a_name_that_changes_its_address(web: Web) -> None:
    """The address that was checked is the one that is dialled; each connection looks up and checks again. [REF-7]"""
    web.rebinds = True
    web.names["images.example"] = [PUBLIC, "127.0.0.1", "127.0.0.1"]
    file = web.reader().open(URL)
    assert web.looked_up == ["images.example"]
    file.seek(100)
    with pytest.raises(AccessRefusedError):
        file.read(1)
    file.close()
    assert web.dialled == [PUBLIC]


def test_the_policy_sees_hosts_as_they_are_dialled() -> None:
    """Spellings of a host that servers and parsers read differently are refused. [REF-4]"""
    for url in (
        "http://images.example@127.0.0.1/",
        "http://127.0.0.1\\@images.example/",
        "http://images.example%40127.0.0.1/x",
    ):
        assert refusal(url, "/store", ("http://images.example/", "http://images.example")) is not None


def test_a_file_that_changes_while_it_is_read(web: Web) -> None:
    """A jump that finds another etag than the file was opened with raises, instead of mixing two objects. [REF-10]"""
    with web.reader().open(URL) as file:
        assert file.read(10)
        web.etags["/a.png"] = '"two"'
        file.seek(500)
        with pytest.raises(CorruptError, match="etag one"):
            file.read(10)


def test_a_body_that_breaks_off(web: Web) -> None:
    """A connection that ends too soon is an error, never a short file."""
    web.breaks_after = 5000
    with web.reader().open(URL) as file, pytest.raises(StoreUnavailableError):
        while file.read(4096):
            pass


def test_refusals_of_the_server(web: Web) -> None:
    """What is not there is not found; a name without an address is unavailable."""
    with pytest.raises(NotFoundError):
        web.reader().open("http://images.example/none")
    web.names["nowhere.example"] = []
    with pytest.raises(StoreUnavailableError):
        web.reader().head("http://nowhere.example/")
