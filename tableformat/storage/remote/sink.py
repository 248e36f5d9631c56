"""Bytes on their way to one remote object: in memory while they are few, in a file of this machine from then on.

The name is known only when the last byte is, and object stores rename by copying, so nothing is sent before.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable
from typing import Any, Final

from tableformat.digest import Bytes
from tableformat.errors import UsageError, message
from tableformat.storage.faults import fault
from tableformat.storage.interface import Sink, check_path

__all__ = ["SPOOL_BYTES", "RemoteSink"]

SPOOL_BYTES: Final = 80 << 20
"""Bytes that a sink holds in memory: a whole pack. Longer ones go to a temporary file, and from there in pieces."""


class RemoteSink(Sink):
    """Sends with `send_bytes(path, data)` or, where the bytes became many, `send_file(path, name of a local file)`."""

    def __init__(
        self, root: str, send_bytes: Callable[[str, Bytes], None], send_file: Callable[[str, str], None]
    ) -> None:
        self._root = root
        self._send_bytes = send_bytes
        self._send_file = send_file
        self._held = io.BytesIO()  # gives its bytes away without a copy
        self._file: Any = None
        self._size = 0
        self._done = False
        self._pid = os.getpid()

    @property
    def size(self) -> int:
        return self._size

    def write(self, chunk: Bytes) -> None:
        self._check_open()
        length = chunk.nbytes if isinstance(chunk, memoryview) else len(chunk)
        try:
            if self._file is None and self._size + length > SPOOL_BYTES:
                # deleted by name when the sink ends: clients want a name to read from
                self._file = tempfile.NamedTemporaryFile(prefix="tableformat-", delete=False)  # noqa: SIM115
                self._file.write(self._held.getbuffer())
                self._held = io.BytesIO()
            if self._file is None:
                self._held.write(chunk)
            else:
                self._file.write(chunk)
        except BaseException as error:
            self.abort()
            if isinstance(error, OSError):
                raise fault(error, "writing a temporary file for", self._root) from error
            raise
        self._size += length

    def commit(self, path: str) -> None:
        check_path(path)
        self._check_open()
        self._done = True
        data = self._held.getvalue()
        self._held = io.BytesIO()
        try:
            if self._file is None:
                self._send_bytes(path, data)
                return
            try:
                self._file.flush()
            except OSError as error:
                raise fault(error, "writing a temporary file for", self._root) from error
            self._send_file(path, self._file.name)
        finally:
            self.abort()

    def abort(self) -> None:
        self._done = True
        self._held = io.BytesIO()
        file, self._file = self._file, None
        if file is not None:
            file.close()
            if self._pid == os.getpid():  # a forked child has a copy of this object, the file is its parent's
                try:
                    os.unlink(file.name)
                except OSError:
                    pass  # in the system's folder for such things

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:
            self.abort()

    def _check_open(self) -> None:
        if self._done:
            raise UsageError(
                message("writing an object", path=self._root, expected="an open sink",
                        got="one that failed or was closed before", todo="write the bytes to a new sink")
            )  # fmt: skip
