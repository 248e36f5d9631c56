"""Everything that a reader can do with a store that it was given, done in turn: each step ends in a value or in an error of ours."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tableformat
from tableformat.errors import TableformatError
from tableformat.storage.backend import open_backend
from tableformat.verify import verify_version

__all__ = ["read_store", "step"]


def step(action: Callable[[], Any]) -> tuple[Any, TableformatError | None]:
    """What `action` gives, or which of our errors it raises. Any other exception goes on: it is a fault of the reader."""
    try:
        return action(), None
    except TableformatError as error:
        repr(error)
        str(error)
        return None, error


def read_store(root: str, target: Path | None = None, *, selection: str = "a") -> list[TableformatError]:
    """Open a version, and read all of it in every way; what was refused. With `target`, download it there as well."""
    refused: list[TableformatError] = []

    def attempt(action: Callable[[], Any]) -> Any:
        value, error = step(action)
        if error is not None:
            refused.append(error)
        return value

    store = attempt(lambda: tableformat.open_store(root, create=False))
    if store is None:
        return refused
    attempt(lambda: [repr(one) for one in store.versions(selection)])
    attempt(lambda: store.aliases(selection))
    attempt(lambda: store.lineage(selection))
    artifact = attempt(lambda: store[selection])
    if artifact is not None:
        _read_artifact(artifact, attempt, target)
    attempt(lambda: [str(one) for one in verify_version(open_backend(root), selection, 0, workers=1).problems])
    return refused


def _read_artifact(
    artifact: tableformat.Artifact, attempt: Callable[[Callable[[], Any]], Any], target: Path | None
) -> None:
    attempt(
        lambda: (
            repr(artifact),
            artifact.metadata,
            artifact.producer,
            artifact.report,
            artifact.inputs(),
            artifact.kinds(),
        )
    )
    for name in attempt(lambda: list(artifact)) or []:
        found = attempt(lambda name=name: artifact[name])
        if found is not None:
            for action in _ways(found):
                attempt(action)
    if target is not None:
        attempt(lambda: artifact.download(target, progress=False))


def _ways(found: Any) -> Iterator[Callable[[], Any]]:
    yield lambda: repr(found)
    if isinstance(found, tableformat.Table | tableformat.JoinedTable):
        yield from _ways_of_table(found)
    elif isinstance(found, tableformat.Media):
        yield lambda: _read_media(found)
        yield lambda: found.open().read(64)
    elif isinstance(found, tableformat.Classes):
        yield lambda: (dict(found.names), found.digest)
    elif hasattr(found, "to_arrow"):
        yield lambda: found.to_arrow()


def _ways_of_table(table: Any) -> Iterator[Callable[[], Any]]:
    yield lambda: (table.columns, table.schema, table.arrow_schema)
    yield lambda: table.to_arrow()
    yield lambda: [_read_row(row) for row in table.head(8)]
    yield lambda: [_read_row(table[index]) for index in (0, -1) if len(table)]
    yield lambda: table.take([0, 2, 1]).to_arrow() if len(table) > 2 else None
    yield lambda: [batch.num_rows for batch in table.batches()]
    yield lambda: table.where(tableformat.col(table.columns[0]).is_in([1, 2])).to_arrow()


def _read_row(row: Any) -> None:
    repr(row)
    for value in dict(row).values():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, tableformat.Media):
                _read_media(one)


def _read_media(media: tableformat.Media) -> None:
    repr(media)
    media.bytes()
    if isinstance(media, tableformat.Image):
        repr((media.width, media.height, media.caption, media.boxes, media.masks, media.classes))
        for mask in media.masks.values():
            mask.to_numpy()
    if media.size is not None and media.size < 1 << 20:
        io.BytesIO(media.bytes()).read()
