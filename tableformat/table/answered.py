"""`AnsweredWriter`: what a draft of a session that was committed gives in place of a writer. It tells how far the rows came, and takes none.

So a job that is started again after its last step runs through: it asks where to go on, and finds that nothing is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

from tableformat.errors import UsageError, message
from tableformat.table.resume import decode_checkpoint
from tableformat.table.sealing import NO_CHECKPOINT
from tableformat.table.sources import RowBatch, iter_source

__all__ = ["AnsweredWriter"]


class AnsweredWriter:
    """A table that was committed, where a `TableWriter` is expected."""

    def __init__(self, name: str, rows: int, checkpoint: str | None, version: str) -> None:
        self.name: Final = name
        """Name of the table."""
        self.rows_written: Final = rows
        """Rows that the writer of the session had taken when it closed."""
        self.is_closed: Final = True
        """Always."""
        self.has_failed: Final = False
        """Never."""
        self.rejected: Final[tuple[tuple[int, str, str], ...]] = ()
        """None."""
        self._checkpoint, self._version = checkpoint, version

    @property
    def checkpoint(self) -> Any:
        """The last position that the caller gave."""
        return decode_checkpoint(self._checkpoint)

    @checkpoint.setter
    def checkpoint(self, value: Any) -> None:
        """Passed over: nothing comes before it that is not there."""

    def append(self, row: Mapping[str, Any] | None = None, /, **columns: Any) -> None:  # noqa: ARG002 - as that of a writer
        """Raises `UsageError`: the version is there, and does not change."""
        self._refuse()

    def _refuse(self) -> None:
        raise UsageError(
            message(f"adding rows to table {self.name!r}", expected="a session that was not committed",
                    got=f"one that was, as {self._version}, with {self.rows_written} rows of this table",
                    todo="give the rows behind rows_written or checkpoint, or choose another name for the session")
        )  # fmt: skip

    def extend(self, data: Any, *, index: bool = False, checkpoint: Any = NO_CHECKPOINT) -> None:  # noqa: ARG002 - as that of a writer
        """Takes no rows: raises `UsageError` where there is one."""
        for batch in iter_source(data, self.name, index=index):
            if any(True for _ in batch.rows) if isinstance(batch, RowBatch) else batch.num_rows:
                self._refuse()

    def seal(self, checkpoint: Any = NO_CHECKPOINT) -> None:
        """Nothing to be done."""

    def close(self) -> None:
        """Nothing to be done."""

    def abort(self) -> None:
        """Nothing to be done."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass
