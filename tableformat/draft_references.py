"""References that a draft makes: an entry of one object or of all below a prefix, or a table with a media column of them.

By listing alone, page by page, unless the bytes are to be hashed. Who refers to a place has allowed it for this opened store.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace as changed
from typing import Any, Final

import pyarrow as pa

from tableformat.context import StoreContext
from tableformat.draft_files import last_segment
from tableformat.errors import InvalidInputError, NotFoundError, Problem, message
from tableformat.format.media.cells import build_cells
from tableformat.format.media.formats import format_of_name
from tableformat.format.media.kinds import OUTER_FIELDS, check_kind
from tableformat.format.media.links import check_url
from tableformat.format.reference import HTTP, Known, checksum_of, scheme_of, shown
from tableformat.format.reference_leaf import Listed
from tableformat.format.schema import Schema
from tableformat.format.types import MediaType
from tableformat.log import logger
from tableformat.progress import Meter, Progress
from tableformat.staging import Staging
from tableformat.storage.outside.reader import Outside
from tableformat.storage.reference_lists import write_references
from tableformat.table.writer import TableWriter

__all__ = ["add_reference", "fill_with_references", "reference_schema"]

Claim = Callable[..., AbstractContextManager[str]]
Columns = Callable[[str], Mapping[str, Any] | None]
"""From a path to the values of further columns, or None to leave the object out."""
_DOING: Final = "referring to objects"
_BATCH_ROWS: Final = 8192
_THREADS: Final = 16
_BLOCK: Final = 1 << 20
_SHOWN: Final = 20


def add_reference(
    staging: Staging,
    context: StoreContext,
    claim: Claim,
    url: str,
    name: str | None,
    *,
    checksum: bool,
    replace: bool,
    on_error: str,
    progress: Progress,
) -> str:
    """Store an entry that points at `url`: an object, or all below a prefix. Returns its name. Holds a leaf of references."""
    _check_choice("on_error", on_error, ("raise", "skip"))
    text = check_url(url, _DOING)
    with claim(name if name is not None else last_segment(text), replace=replace) as free:
        single = None if text.endswith("/") else _single(context.outside, text)
        staging.session.begin()
        with Meter(f"referring to {shown(text)}", None, "files", progress) as meter:
            if single is not None:
                lines: Iterable[Listed] = [Listed("", single)]
                prefix = text
            else:
                prefix = text.rstrip("/") + "/"
                context.outside.grant(prefix, below=True)
                lines = _checked(context.outside.list(prefix), prefix, on_error)
            if checksum:
                lines = _hashed(context.outside, prefix, lines)
            listed = write_references(staging.backend, prefix, _counted(lines, meter))
        if not listed.count:
            raise NotFoundError(message(_DOING, path=shown(text), expected="objects", got="none"))
        staging.put_item(free, "reference", listed.digest, listed.to_json())
    return free


def _single(outside: Outside, url: str) -> Known | None:
    """What is known of the object at `url`; None where there is none, so that it may be a prefix."""
    outside.grant(url)
    try:
        return outside.info(url)
    except NotFoundError:
        if scheme_of(url) in HTTP:
            raise
        return None


def _counted(lines: Iterable[Listed], meter: Meter) -> Iterator[Listed]:
    for one in lines:
        meter.step()
        yield one


def _checked(lines: Iterable[Listed], prefix: str, on_error: str) -> Iterator[Listed]:
    """The lines whose URLs may be stored. Others are told together at the end, or in the log with `skip`."""
    problems: list[Problem] = []
    simple = _is_simple
    for one in lines:
        if not simple(one.path):
            try:
                check_url(prefix + one.path, _DOING)
            except InvalidInputError as error:
                problems.append(Problem(ascii(one.path)[:200], str(error).rpartition("got ")[2]))
                continue
        yield one
    if problems and on_error == "skip":
        logger.warning(
            "%s: %d objects left out whose names no URL holds, such as %s", shown(prefix), len(problems), problems[0]
        )
    elif problems:
        raise InvalidInputError(
            message(_DOING, path=shown(prefix), expected="objects that a URL can name", got="; ".join(map(str, problems[:_SHOWN])),
                    todo="rename them, own them with add_dir(), or leave them out with on_error='skip'"), problems,
        )  # fmt: skip


_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+,/")


def _is_simple(path: str) -> bool:
    """Whether a path is surely fit to stand in a URL: the quick answer for nearly all."""
    stem, _, ext = path.rpartition(".")
    return (
        _PLAIN.issuperset(stem) and _PLAIN.issuperset(ext) and bool(ext) and not stem.endswith("/") and len(path) < 1025
    )


def _hashed(outside: Outside, prefix: str, lines: Iterable[Listed]) -> Iterator[Listed]:
    """The lines with the digest of each object: it is read, once, 16 at the same time."""

    def digest(one: Listed) -> Listed:
        state, size = hashlib.sha256(), 0
        with outside.open(
            prefix + one.path, changed(one.known, modified=None) if one.known.etag else one.known
        ) as file:
            while chunk := file.read(_BLOCK):
                state.update(chunk)
                size += len(chunk)
        return Listed(one.path, changed(one.known, size=size, digest=f"sha256:{state.hexdigest()}"))

    source = iter(lines)
    with ThreadPoolExecutor(_THREADS, "checksum") as threads:
        while batch := list(itertools.islice(source, 16 * _THREADS)):
            yield from threads.map(digest, batch)


# Tables


def reference_schema(kind: str, column: str, key: str) -> Schema:
    """What is known of the schema before the columns of the caller: the path, which is the key, and the media."""
    if column == key:
        raise InvalidInputError(message(_DOING, expected="two names of columns", got=repr(column)))
    return Schema.from_user({key: pa.string(), column: MediaType(check_kind(kind))})


def fill_with_references(
    context: StoreContext,
    prefix: str,
    columns: Columns | None,
    writer: TableWriter,
    *,
    kind: str,
    column: str,
    key: str,
    on_error: str,
    progress: Progress,
    resumes: bool = False,
) -> None:
    """Give `writer` a row for each object below `prefix`, in order of path.

    One listing, no request for an object. With `resumes`, in a draft with a session, the path behind which to go on is the
    checkpoint of each batch, and the listing begins behind that of the writer. Holds a page and a batch.
    """
    _check_choice("on_error", on_error, ("raise", "skip"))
    text = check_url(prefix, _DOING).rstrip("/") + "/"
    after = _path_behind(writer, text) if resumes else None
    context.outside.grant(text, below=True)
    lines = _checked(context.outside.list(text, after), text, on_error)
    with Meter(f"referring to {shown(text)}", None, "rows", progress) as meter:
        while batch := list(itertools.islice(lines, _BATCH_ROWS)):
            taken = _batch(batch, text, columns, kind, column, key)
            if taken.num_rows:
                where: dict[str, Any] = {"checkpoint": [text, batch[-1].path]} if resumes else {}
                writer.extend(taken, **where)
                meter.step(taken.num_rows)


def _path_behind(writer: TableWriter, prefix: str) -> str | None:
    """Where a listing of `prefix` goes on. Raises `InvalidInputError` where the rows so far are of another prefix."""
    found = writer.checkpoint
    if found is None and not writer.rows_written:
        return None
    if not (isinstance(found, list) and len(found) == 2 and found[0] == prefix and isinstance(found[1], str)):
        was = shown(found[0]) if isinstance(found, list) and found and isinstance(found[0], str) else "other rows"
        raise InvalidInputError(
            message(f"resuming table {writer.name!r}", path=shown(prefix), expected="the prefix that it was begun with", got=was,
                    todo="give that prefix, or remove() the table from the draft and begin it anew")
        )  # fmt: skip
    return found[1]


def _batch(
    listed: list[Listed], prefix: str, columns: Columns | None, kind: str, column: str, key: str
) -> pa.RecordBatch:
    told: list[Mapping[str, Any]] = []
    kept: list[Listed] = []
    for one in listed:
        values = {} if columns is None else columns(one.path)
        if values is not None:
            told.append(values)
            kept.append(one)
    names = list(told[0]) if told else []
    for one, values in zip(kept, told, strict=True):
        if values.keys() != told[0].keys() or key in values or column in values:
            raise InvalidInputError(
                message(_DOING, path=shown(prefix + one.path), expected=f"a mapping with the same names for each path, without {key!r} and {column!r}",
                        got=list(values)[:20])
            )  # fmt: skip
    arrays = [pa.array([one.path for one in kept], pa.string()), _cells(kept, prefix, kind)]
    arrays += [pa.array([values[name] for values in told]) for name in names]
    return pa.RecordBatch.from_arrays(arrays, names=[key, column, *names])


def _cells(listed: list[Listed], prefix: str, kind: str) -> pa.StructArray:
    words = [format_of_name(kind, one.path) for one in listed]
    fields: dict[str, Any] = {"format": [word for word, _, _ in words]} if "format" in OUTER_FIELDS[kind] else {}
    if "name" in OUTER_FIELDS[kind]:
        fields["name"] = [one.path.rpartition("/")[2] for one in listed]
    return build_cells(
        kind,
        len(listed),
        uri=[prefix + one.path for one in listed],
        size=[one.known.size for one in listed],
        content_type=[content_type for _, content_type, _ in words],
        checksum=[checksum_of(one.known) for one in listed],
        version_id=[one.known.version for one in listed],
        **fields,
    )


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InvalidInputError(message(_DOING, expected=f"{name} " + " | ".join(choices), got=repr(value)[:40]))
