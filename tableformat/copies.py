"""`cp`: artifacts, versions and rows from one store to another, by their addresses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from tableformat.artifact import Artifact
from tableformat.copying.copy import Copied, CopiedVersion, Joins
from tableformat.errors import UsageError
from tableformat.errors import message as explain
from tableformat.format.expr import Predicate
from tableformat.progress import Progress
from tableformat.storage.names import Address, parse_address, parse_selection
from tableformat.store import StorageOptions, Store, open_store
from tableformat.table.table import Table

__all__ = ["cp"]


def cp(
    source: str,
    target: str,
    *,
    where: Predicate | None = None,
    columns: Sequence[str] | None = None,
    message: str | None = None,
    joins: Joins = "copy",
    storage_options: StorageOptions = None,
    target_options: StorageOptions = None,
    allow: Sequence[str] = (),
    progress: Progress = True,
    workers: int | None = None,
) -> Copied:
    """Copy between stores of any kind: `cp("runs#animals", "s3://bucket/datasets")` pushes, the other way round pulls.

    `source` is an address. `<root>#animals` is the artifact: all versions in order, with messages and aliases. `<root>#animals:v3`
    (or `:latest`, `:best`, `@sha256:…`) is one version. `<root>#animals/train`, or any of these with `where` or `columns`, is rows of one table:
    they become a new version, with a digest of its own, that holds this table alone. `target` is a root, made where there is no store, or
    `<root>#name` for another name.

    Whole versions have the same version digest on both sides, and only what the target lacks is moved, as `Store.copy_to` tells. `message` is for rows; of
    rows media move unless the target has them, and references stay references. Raises what `Store.copy_to` raises, and `UsageError` for an address
    that names no table where rows are asked for.
    """
    address = parse_address(source)
    root, name = _target(target)
    store = open_store(address.root, create=False, storage_options=storage_options, allow=allow)
    other = open_store(root, storage_options=target_options, allow=allow)
    if where is None and columns is None and address.entry is None:
        return store.copy_to(other, _selection(address, source), name, joins=joins, progress=progress, workers=workers)
    artifact = Artifact.select(store.context, address.artifact, address.selector)
    return _copy_rows(
        _table(artifact, address.entry, source),
        other,
        name or address.artifact,
        where,
        columns,
        message or f"rows of {source}",
    )


def _target(text: str) -> tuple[str, str | None]:
    root, mark, fragment = text.rpartition("#")
    if not mark:
        return text, None
    selection = unquote(fragment)
    name, selector = parse_selection(selection)
    if not root or name != selection:
        raise UsageError(
            explain("copying", path=text, expected="a store, or <store>#<name>", got=f"{fragment[:100]!r}{selector}", todo="versions get the next free numbers")
        )  # fmt: skip
    return root, name


def _selection(address: Address, text: str) -> str:
    """What `Store.copy_to` takes. An address without a version means the artifact, one with `:latest` the newest version."""
    asked = unquote(text.rpartition("#")[2])
    return f"{address.artifact}:latest" if asked.endswith(":latest") else f"{address.artifact}{address.selector}"


def _table(artifact: Artifact, entry: str | None, text: str) -> Table:
    tables = [name for name, kind in artifact.kinds().items() if kind == "table"]
    if entry is None and len(tables) != 1:
        raise UsageError(
            explain(
                "copying rows",
                path=text,
                expected="an address that ends in the name of a table",
                got=f"a version with the tables {tables[:20]}",
            )
        )
    found: Any = artifact[tables[0] if entry is None else entry]
    if not isinstance(found, Table):
        raise UsageError(
            explain(
                "copying rows",
                path=text,
                expected="a table",
                got=type(found).__name__.lower(),
                todo="copy the version: leave out the entry",
            )
        )
    return found


def _copy_rows(
    table: Table, store: Store, name: str, where: Predicate | None, columns: Sequence[str] | None, message: str
) -> Copied:
    entry = table.source.name
    if where is not None:
        table = table.where(where)
    if columns is not None:
        table = table.select(*columns)
    with store.draft(name, message=message) as draft:
        draft.add(table, entry)
    made, report = draft.committed, draft.report
    assert made is not None
    assert made.slot is not None
    version = CopiedVersion(name, None, made.slot, made.digest, created=bool(draft.created))
    return Copied(
        name, (version,), bytes_moved=report.bytes_new, blobs_there=report.blobs_shared, bytes_there=report.bytes_shared
    )
