"""Credentials stand in nothing that is written, shown, logged, raised, pickled or printed, whatever is done with a store."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import pickle
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest

import tableformat
from tableformat.cli import main
from tableformat.errors import TableformatError
from tableformat.storage.backend import open_backend
from tests.hostile.samples import picture

KEY, SECRET, TOKEN = "CANARYKEY4711", "CANARY-secret-0815", "CANARY-token-42"
ENVIRONMENT = "CANARY-environment-99"
CANARIES = (KEY, SECRET, TOKEN, ENVIRONMENT, "CANARY")
OPTIONS = {"key": KEY, "secret": SECRET, "token": TOKEN, "client_kwargs": {"aws_session_token": TOKEN}}


class Heard:
    """All texts that anything gave away."""

    def __init__(self) -> None:
        self.texts: list[tuple[str, str]] = []

    def hear(self, where: str, text: Any) -> None:
        self.texts.append((where, text if isinstance(text, str) else bytes(text).decode("latin-1")))

    def told(self) -> list[tuple[str, str]]:
        return [
            (where, text[max(0, text.index(canary) - 80) :][:200])
            for where, text in self.texts
            for canary in CANARIES
            if canary in text
        ]

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Logs of every logger, warnings, and what is printed."""
        stream, out, err = io.StringIO(), io.StringIO(), io.StringIO()
        handler = logging.StreamHandler(stream)
        logger = logging.getLogger("tableformat")
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        try:
            with (
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
                warnings.catch_warnings(record=True) as caught,
            ):
                warnings.simplefilter("always")
                yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
        for where, text in (("log", stream.getvalue()), ("printed", out.getvalue()), ("printed", err.getvalue())):
            self.hear(where, text)
        for warning in caught:
            self.hear("warning", str(warning.message))

    def show(self, *things: Any) -> None:
        """Every form in which an object shows itself or travels."""
        for thing in things:
            name = type(thing).__name__
            for form in (repr, str, lambda one: one._repr_html_() if hasattr(one, "_repr_html_") else ""):
                self.hear(f"{form} of {name}", form(thing))
            for copied in (pickle.dumps, lambda one: repr(copy.copy(one))):
                try:
                    self.hear(f"pickle of {name}", copied(thing))
                except (TableformatError, TypeError, AttributeError, pickle.PicklingError) as error:
                    self.hear(f"pickling {name}", "".join(traceback.format_exception(error)))

    def fails(self, action: Any) -> None:
        """The error of `action`, with its causes and their notes; frames hold what the caller gave, and are left out."""
        try:
            action()
        except Exception as error:
            found: BaseException | None = error
            while found is not None:
                self.hear(
                    f"error {type(found).__name__}",
                    f"{found!r} {found} {getattr(found, '__notes__', '')} {vars(found)}",
                )
                found = found.__cause__ or found.__context__


def use(heard: Heard, url: str, options: Any) -> None:
    """Write, read, fail and show, with a store whose options hold secrets."""
    store = tableformat.open_store(url, storage_options=options, allow=["s3://images/"])
    with store.draft("a", metadata={"k": 1}, producer={"run": "r"}, message="m") as draft:
        with draft.table("t", {"id": pa.int64(), "image": tableformat.ImageType()}, key="id") as table:
            for row in range(5):
                table.append(id=row, image=tableformat.Image(picture(row)))
            heard.show(table)
        draft.add(tableformat.File(bytes(9 << 20)), "large")
        draft.add([{"x": 1}], "u")
        draft.add(tableformat.JoinedTable(draft["t"], draft["t"], on="id"), "join")
        heard.show(draft)
    with store.draft("a", base="latest") as draft:
        draft.delete("t", keys=[1])
        draft.add_columns("t", lambda batch: {"y": [1] * batch.num_rows}, columns=["id"])
    store.set_alias("a", "best", "v0")
    artifact = store["a"]
    table = artifact["t"]
    rows = list(table)
    heard.show(store, store.context, store.context.backend, artifact, table, table.where(id=2), rows[0], rows[0]["image"], artifact["large"], artifact["join"],
               artifact["join"].head(1), store.versions("a"), store.lineage("a"), table.source, store.verify("a"))  # fmt: skip
    heard.hear(
        "address",
        f"{artifact.address} {table.source.address} {table.to_arrow().to_pylist()} {table.duckdb_view() if not table.why_not_plain else ''}",
    )
    for action in (
        lambda: store["nothing"],
        lambda: store["a:v99"],
        lambda: artifact["nothing"],
        lambda: store.context.backend.read("data/none"),
        lambda: table.select("nothing"),
        lambda: tableformat.open_store(url, create=True, storage_options=options),
        lambda: tableformat.open_store(f"{url}/deeper/none", create=False, storage_options=options),
        lambda: tableformat.read_table(f"{url}#a/none", storage_options=options),
        lambda: table.append({}),
    ):
        heard.fails(action)


def test_options_are_told_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store in memory whose options hold secrets: every byte below its root, every text and every pickle is free of them. [REF-5]"""
    memory = fsspec.filesystem("memory")
    name = "canary-store"
    if memory.exists(f"/{name}"):
        memory.rm(f"/{name}", recursive=True)
    for variable in (
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "TABLEFORMAT_CANARY",
    ):
        monkeypatch.setenv(variable, ENVIRONMENT)
    heard = Heard()
    with heard.listening():
        use(heard, f"memory://{name}", OPTIONS)
    written = {path: memory.cat_file(path) for path in memory.find(f"/{name}")}
    assert len(written) > 10
    for path, data in written.items():
        heard.hear(f"file {path}", data)
        heard.hear("name", path)
    memory.rm(f"/{name}", recursive=True)
    assert len(heard.texts) > 100
    assert heard.told() == []


URLS = (
    f"s3://{KEY}:{SECRET}@bucket/a", f"https://user:{SECRET}@host/a.png", f"https://host/a.png?X-Amz-Signature={SECRET}&X-Amz-Credential={KEY}",
    f"https://host/a.png?sig={SECRET}", f"gs://bucket/a?GoogleAccessId={KEY}&Signature={SECRET}", f"https://host/a.png?access_token={TOKEN}",
    f"memory://{KEY}:{SECRET}@store",
)  # fmt: skip


def test_urls_with_secrets_are_refused_without_repeating_them(tmp_path: Path) -> None:
    """A URL with user-info or a signature is refused wherever one can be given, and the refusal does not show it. [REF-5]"""
    heard = Heard()
    store = tableformat.open_store(tmp_path / "store")
    with store.draft("a") as draft:
        draft.add([{"x": 1}], "t")
    kept = []
    with heard.listening():
        for url in URLS:
            draft = store.draft("a")
            for action in (
                lambda url=url: tableformat.Image.refer(url),
                lambda url=url, draft=draft: draft.add_reference(url, "r", progress=False),
                lambda url=url, draft=draft: draft.add_references("r", url, progress=False),
                lambda url=url, draft=draft: draft.add(tableformat.Image.refer(url), "i"),
                lambda url=url: tableformat.open_store(tmp_path / "store", allow=[url]),
                lambda url=url: tableformat.open_store(tmp_path / "store", map={"s3://old/": url}),
            ):
                try:
                    kept.append(repr(action()))
                except Exception:
                    heard.fails(action)
            draft.discard()
    for path in (tmp_path / "store").rglob("*"):
        if path.is_file():
            heard.hear(str(path), path.read_bytes())
    assert [text for text in kept if any(canary in text for canary in CANARIES)] == []
    assert heard.told() == []


def test_roots_with_secrets_are_refused_or_never_shown(tmp_path: Path) -> None:
    """The URL of a store that carries a secret is refused, or the secret is left out of everything that shows the store. [SECURITY-13]"""
    heard = Heard()
    with heard.listening():
        for url in (
            f"memory://{KEY}:{SECRET}@store",
            f"s3://{KEY}:{SECRET}@bucket/store",
            f"https://user:{SECRET}@127.0.0.1:9/store?sig={TOKEN}",
        ):
            for action in (
                lambda url=url: tableformat.open_store(url, create=False),
                lambda url=url: open_backend(url),
                lambda url=url: tableformat.read_table(f"{url}#a/t"),
            ):
                try:
                    heard.show(action())
                except Exception:
                    heard.fails(action)
    assert heard.texts
    assert heard.told() == []


def test_the_command_line_prints_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No command prints what stands in the environment or in a URL that it refuses."""
    store = tableformat.open_store(tmp_path / "store")
    with store.draft("a") as draft:
        draft.add([{"x": 1}], "t")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", ENVIRONMENT)
    heard = Heard()
    root = str(tmp_path / "store")
    for arguments in (["ls", root], ["show", f"{root}#a"], ["log", f"{root}#a"], ["verify", root], ["head", f"{root}#a/t"], ["ls", URLS[0]], ["ls", URLS[-1]],
                      ["show", f"{URLS[-1]}#a"], ["add-reference", f"{root}#a", URLS[1]], ["cp", f"{root}#a", URLS[0]], ["cp", f"{URLS[0]}#a", root]):  # fmt: skip
        with heard.listening(), contextlib.suppress(SystemExit):
            monkeypatch.setattr("sys.argv", ["tableformat", *arguments])
            main()
    assert heard.told() == []


def test_options_are_told_nowhere_on_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same against a server of S3 that checks who asks: keys given as options are in no object, log, error or pickle. [REF-5]"""
    boto3 = pytest.importorskip("boto3", reason="no boto3")
    server_of = pytest.importorskip("moto.server", reason="no moto")
    pytest.importorskip("s3fs", reason="no s3fs")
    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        client = boto3.client(
            "s3", endpoint_url=endpoint, aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name="us-east-1"
        )
        client.create_bucket(Bucket="canaries")
        options = {
            "key": KEY,
            "secret": SECRET,
            "token": TOKEN,
            "endpoint_url": endpoint,
            "client_kwargs": {"region_name": "us-east-1"},
        }
        heard = Heard()
        with heard.listening():
            use(heard, "s3://canaries/store", options)
        listed = [
            one["Key"]
            for page in client.get_paginator("list_objects_v2").paginate(Bucket="canaries")
            for one in page.get("Contents", [])
        ]
        assert len(listed) > 10
        for key in listed:
            heard.hear(f"object {key}", key.encode() + client.get_object(Bucket="canaries", Key=key)["Body"].read())
        assert heard.told() == []
    finally:
        server.stop()
