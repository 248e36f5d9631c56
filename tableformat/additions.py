"""`Additions`: what a draft offers for files that are copied in, for references, and for owning what was referred to."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal

from tableformat.artifact import Artifact
from tableformat.context import StoreContext
from tableformat.draft_files import add_dir, add_file, last_segment
from tableformat.draft_references import add_reference, fill_with_references, reference_schema
from tableformat.errors import NotFoundError, message
from tableformat.format.expr import Predicate, all_of, col
from tableformat.owned_rows import fetched_name, fetched_report, fetched_rows
from tableformat.progress import Progress
from tableformat.staging import Staging
from tableformat.storage.outside.local_files import Links
from tableformat.table.edit.counts import Edited
from tableformat.table.own import OnChanged, Owned, Owning
from tableformat.table.table import Table
from tableformat.table.writer import TableWriter

__all__ = ["Additions"]


class Additions:
    """The part of `Draft` that brings in what lies outside of the store. In a session that was committed it brings in nothing, and answers."""

    _staging: Staging
    _context: StoreContext
    _claimed: Callable[..., AbstractContextManager[str]]
    committed: Artifact | None
    if TYPE_CHECKING:

        @property
        def _is_answered(self) -> bool: ...

        def _check(self) -> None: ...

        def __getitem__(self, name: str) -> Any: ...

        def table(self, name: str, schema: Any = None, key: Any = None, **options: Any) -> TableWriter: ...

        def remove(self, name: str) -> None: ...

        def add_columns(self, name: str, data: Any, **options: Any) -> Edited: ...

    # Files

    def add_file(self, path_or_url: str | os.PathLike[str], name: str | None = None, *, replace: bool = False) -> str:
        """Copy a file of any size in, from a path or any URL; its bytes are stored once, however often they are added.

        `name` is that of the entry, by default the last part of the path; returned. Raises `NotFoundError`, `ExistsError`, and
        `InvalidInputError` for a folder.
        """
        path = os.fspath(path_or_url)
        if self._is_answered:
            return name if name is not None else last_segment(path)
        self._check()
        return add_file(
            self._staging, self._context, self._claimed, path, name, replace=replace
        )  # fmt: skip

    def add_dir(
        self,
        path_or_url: str | os.PathLike[str],
        name: str = "",
        *,
        links: Links = "inside",
        replace: bool = False,
        progress: Progress = True,
    ) -> list[str]:
        """Copy all files below a folder or URL in, each as an entry `name/path`, and return the names, sorted.

        Symbolic links become what they lead to, where that lies in the folder; `links="follow"` takes what lies elsewhere, too,
        `"skip"` no links at all. Links that lead nowhere or in circles, pipes, and names that cannot be names of entries raise
        `InvalidInputError`, which lists them, before anything is stored. Holds the names and 8 MiB.
        """
        if self._is_answered and self.committed is not None:
            files = [one for one, kind in self.committed.kinds().items() if kind == "file"]
            return sorted(one for one in files if not name or one.startswith(f"{name.rstrip('/')}/"))
        self._check()
        return add_dir(
            self._staging, self._context, self._claimed, os.fspath(path_or_url), name, links=links, replace=replace, progress=progress
        )  # fmt: skip

    # References

    def add_reference(
        self,
        url: str,
        name: str | None = None,
        *,
        checksum: bool = False,
        replace: bool = False,
        on_error: Literal["raise", "skip"] = "raise",
        progress: Progress = True,
    ) -> str:
        """Store an entry that points at the object at `url`, or at all objects below it; any scheme that fsspec knows.

        By listing alone: sizes, etags, versions or generations, times. With `checksum` each object is read and its digest kept.
        Whoever refers to a place has allowed it for this opened store. Returns the name of the entry, by default the last part
        of the URL. `on_error="skip"` leaves out objects that no URL can name, with a warning in the log.

        Raises `InvalidInputError` for a URL with a secret in it, `AccessRefusedError` for what no reader could open,
        `NotFoundError` where nothing is. Nothing is added then. Holds one leaf of 32,768 references.
        """
        if self._is_answered:
            return name if name is not None else last_segment(url)
        self._check()
        return add_reference(
            self._staging, self._context, self._claimed, url, name, checksum=checksum, replace=replace, on_error=on_error, progress=progress
        )  # fmt: skip

    def add_references(
        self,
        table: str,
        prefix: str,
        columns: Callable[[str], Mapping[str, Any] | None] | None = None,
        *,
        kind: str = "image",
        column: str | None = None,
        key: str = "path",
        mode: Literal["create", "replace"] = "create",
        on_error: Literal["raise", "skip"] = "raise",
        progress: Progress = True,
    ) -> int:
        """Make a table with a row for each object below `prefix`: its path, which is the key, and media that refer to it.

        One listing and no request for an object: what only bytes tell, such as width and height, is null. `columns` gives the
        values of further columns for a path, the same names for each, or None to leave the object out. `kind` is one of the
        kinds of media, `column` the name of their column (by default the kind). Returns the number of rows. Holds a page of the
        listing and what a writer does. Raises as `add_reference`: a table that was to be made is dropped then, one that was to
        be replaced has to be written again or removed before the commit.

        In a session what is sealed stays when it raises or the process ends: called again, in this draft or in the next one of
        the session, it lists on behind the last sealed path. Raises `InvalidInputError` for another prefix than it was begun with.
        """
        column = kind if column is None else column
        writer = self.table(table, reference_schema(kind, column, key), key=key, mode=mode, new_columns=True)
        if self._is_answered:
            return writer.rows_written
        try:
            with writer:
                fill_with_references(
                    self._context, prefix, columns, writer, kind=kind, column=column, key=key,
                    on_error=on_error, progress=progress, resumes=self._staging.named is not None,
                )  # fmt: skip
        except BaseException:
            if mode == "create" and not self._staging.has_sealed(table):
                self.remove(table)
            raise
        return writer.rows_written

    def own(
        self,
        table: str,
        column: str,
        where: Predicate | None = None,
        *,
        dry_run: bool = False,
        on_changed: OnChanged = "raise",
        limit: int | None = None,
        progress: Progress = True,
        **equals: Any,
    ) -> Owned:
        """Turn references in a media column into owned bytes; `<column>_origin` keeps where they came from.

        Only rows for which `where` is true and columns equal `equals`, and at most `limit` references. What is owned already is
        passed over: own again, or in another version, to go on where it ended. `dry_run` tells requests and bytes, and moves
        none. With `on_changed="raise"` a reference that changed or is gone raises `ReferenceChangedError` or `NotFoundError`, and
        the table stays as it is; with `"collect"` it stays a reference, and the report says so.

        In a session what was fetched is sealed like rows: called again after an exception or a crash with the same table, column,
        rows and limit, it fetches what is behind the last seal.
        """
        tests = ([] if where is None else [where]) + [col(name) == value for name, value in equals.items()]
        predicate = all_of(tests) if tests else None
        if self._is_answered and not dry_run:
            name = fetched_name(table, column, predicate, limit)
            return fetched_report(self.table(name).checkpoint)
        self._check()
        found = self[table]
        if not isinstance(found, Table):
            raise NotFoundError(
                message("owning references", expected="a table", got=f"{table!r} of {type(found).__name__}")
            )
        owning = Owning(
            found, column, predicate, self._context.outside, limit=limit, on_changed=on_changed, progress=progress
        )  # fmt: skip
        if dry_run:
            return owning.plan()
        rows: Any = owning.rows()
        if (session := self._staging.named) is not None:
            name = fetched_name(table, column, predicate, limit)
            rows = fetched_rows(self._staging, self._context, session, owning, name, column, found.content_digest)
        self.add_columns(table, rows, replace=True, schema=owning.schema, check="none")
        return owning.report
