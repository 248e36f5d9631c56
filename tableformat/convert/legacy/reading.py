"""One `*.table.json` as a table, without a store of one's own, and no sooner than its rows are asked for.

Its beginning is read when it is opened, and tells whether it is a table. The rows are brought into the format in a temporary
folder, which goes away with the last table made from it; media stay where they are.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, BinaryIO

import tableformat
from tableformat.convert.legacy.artifact import ArtifactJob
from tableformat.convert.legacy.convert import neighbours_of, split_source
from tableformat.convert.legacy.folder import Options
from tableformat.convert.legacy.lazy_media import LazyMediaReader, Places
from tableformat.convert.legacy.report import ArtifactReport
from tableformat.convert.legacy.source import Library, SourceArtifact
from tableformat.convert.legacy.text import Block, ReadRows, TableText
from tableformat.errors import FormatError, InvalidInputError, TableformatError, message
from tableformat.log import logger

__all__ = ["LegacyFile", "open_json", "read_wandb_table"]

_NAME = "table"
_LOGGED = 20
_ROWS = 500  # of the beginning
Path = str | os.PathLike[str]


def read_wandb_table(url: Path, *, storage_options: Options | None = None, strict: bool = False) -> tableformat.Table:
    """The table in the `*.table.json` at `url`, a path or any URL that fsspec knows, with the media it names; what
    `tableformat.read_table(url)` gives.

    Its first megabytes are read now, all of its rows when more than they tell is asked for, in the memory that a conversion
    holds, into a temporary folder. Media are references to the files of the artifact, opened when they are read and compared with the
    digests that their cells tell. What is odd about the rows goes to the log. With `strict` it is an error, and all is read now.

    Raises `NotFoundError`, `FormatError` for a file that is no table, and with `strict` `InvalidInputError` for a damaged one.
    """
    if not strict and os.fspath(url).partition("::")[0].endswith(".json"):
        return tableformat.read_table(url, storage_options)
    source, report = LegacyFile(url, storage_options).convert()
    if report.warnings:
        raise InvalidInputError(
            message("reading a legacy table strictly", path=os.fspath(url), expected="nothing odd", got=f"{len(report.warnings)} warnings"),
            report.warnings,
        )  # fmt: skip
    return tableformat.Table(source)


def open_json(url: str, storage_options: Options | None = None) -> LegacyFile:
    """The file at `url`, of which the beginning was read. Raises `NotFoundError`, and `FormatError` where it is no table."""
    return LegacyFile(url, storage_options)


class LegacyFile:
    """A `*.table.json` on its way to a table."""

    def __init__(self, url: Path, storage_options: Options | None = None) -> None:
        self._url = os.fspath(url)
        self._folder, only = split_source(url, storage_options)
        if only is None:
            raise FormatError(message("reading a legacy table", path=self._url, expected="a *.json", got="a folder"))
        self._only = only
        text = _Beginning(lambda: self._folder.open(only), self._url)
        columns, kind = text.head.get("columns", [None]), text.head.get("_type", "table")
        if kind != "table" or not text.has_rows or not isinstance(columns, list) or not columns:
            got = f"an object of type {kind!r:.60} with {sorted(map(str, text.head))[:10]}"
            raise FormatError(
                message("reading a legacy table", path=self._url, expected="lists 'columns' and 'data'", got=got)
            )
        self._is_headed = "columns" in text.head

    def source(self) -> Any:
        """What a table of all rows reads from. What was odd goes to the log."""
        source, report = self.convert()
        for problem in report.warnings[:_LOGGED]:
            logger.warning("%s: %s", problem.place, problem.text)
        if len(report.warnings) > _LOGGED:
            logger.warning("%s: %d more oddities", self._url, len(report.warnings) - _LOGGED)
        return source

    def first(self) -> tableformat.Table | None:
        """The rows of the first megabytes; None where the names of the columns stand behind them, or nothing can be made of them."""
        if not self._is_headed:
            return None
        try:
            return tableformat.Table(self._convert(_Beginning, check=False)[0])
        except TableformatError:
            return None

    def convert(self) -> tuple[Any, ArtifactReport]:
        """What a table of all rows reads from, and what was odd about them."""
        return self._convert(TableText, check=True)

    def reopening(self) -> tuple[Callable[..., tableformat.Table], tuple[Any, ...]]:
        """What a pickle of the table holds."""
        return tableformat.read_table, (self._url,)

    def _convert(
        self, open_text: Callable[[Callable[[], BinaryIO], str], TableText], *, check: bool
    ) -> tuple[Any, ArtifactReport]:
        artifact = SourceArtifact.open(self._folder, None, None, self._only)
        others = neighbours_of(self._folder) if any(True for _ in artifact.refs()) else []
        places, report = Places(), ArtifactReport(artifact.label)
        folder = tempfile.mkdtemp(prefix="tableformat-legacy-")
        try:
            store = tableformat.open_store(folder)
            with store.draft(_NAME) as draft:
                job = ArtifactJob(
                    artifact, Library([artifact, *others]), draft, report, lambda _: None, self._only,
                    make_reader=partial(LazyMediaReader, places=places), open_text=open_text, check_tables=check,
                )  # fmt: skip
                job.run()
                draft.commit()
            [entry] = [entry.entry for entry in report.entries if entry.kind == "table"]
            source = store[_NAME][entry].source
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        # Every table that is made from it reads through this backend.
        weakref.finalize(source.backend, shutil.rmtree, folder, ignore_errors=True)
        return self._bound(source, places), report

    def _bound(self, source: Any, places: Places) -> Any:
        """`source` as that of the file: with its media, its name, and the way to open it again."""
        return dataclasses.replace(
            source, address=self._url, name="", artifact=self._url, allow=places.prefixes, open_url=places.open,
            outside=None, opener=reopened, input=None,
        )  # fmt: skip


def reopened(_backend: Any, url: str, _name: str, _reach: Any) -> Any:
    """What a table of the file at `url` reads from, in another process."""
    return LegacyFile(url).source()


class _Beginning(TableText):
    """The first rows of the first block."""

    def __init__(self, opened: Callable[[], BinaryIO], path: str) -> None:
        super().__init__(opened, path, look_behind=False)

    def blocks(self, read: ReadRows | None = None) -> Iterator[Block]:  # noqa: ARG002 - there are few
        """The first rows."""
        block = next(super().blocks(), None)
        if block is not None:
            yield Block(block.first, block.rows[:_ROWS], block.problems)
