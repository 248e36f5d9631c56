"""Who holds a session: a process of some machine, told so that another process of that machine can see whether it lives.

A process number means something on its own machine only, and there for as long as the process runs: so the machine is told
by its name, its boot and the namespace of its process numbers, and the process by its number and when it began.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Any

from tableformat.document import JsonObject
from tableformat.errors import FormatError, message

__all__ = ["Holder"]


@dataclass(frozen=True, slots=True)
class Holder:
    """One process."""

    host: str
    """The name of its machine."""
    place: str
    """The boot of the machine and the namespace of process numbers; empty where the system does not tell."""
    pid: int
    """Its number there."""
    began: str
    """When it began, in the words of its system; empty where that is not told."""

    @classmethod
    def here(cls) -> Holder:
        """This process."""
        return cls(socket.gethostname(), _place(), os.getpid(), _began(os.getpid()))

    @classmethod
    def from_json(cls, value: Any, path: str) -> Holder:
        """Read the field `holder` of a record at `path`; raises `FormatError` where it is malformed."""
        texts = [value.get(name) for name in ("host", "place", "began")] if isinstance(value, dict) else [None]
        pid = value.get("pid") if isinstance(value, dict) else None
        if not all(isinstance(text, str) for text in texts) or not isinstance(pid, int) or not 0 < pid < 2**31:
            raise FormatError(message("reading a session", path=path, expected="a holder", got=repr(value)[:100]))
        return cls(str(texts[0]), str(texts[1]), pid, str(texts[2]))

    def to_json(self) -> JsonObject:
        """The field `holder` of a record."""
        return {"began": self.began, "host": self.host, "pid": self.pid, "place": self.place}

    def is_gone(self, here: Holder) -> bool | None:
        """Whether the process has ended, as far as the process `here` can see; None from another machine."""
        if self.host != here.host or self.place != here.place:
            return None
        if self.pid == here.pid:
            return self.began != here.began
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:  # it is another user's, and lives
            pass
        return bool(self.began) and _began(self.pid) not in ("", self.began)

    def __str__(self) -> str:
        return f"process {self.pid} of {self.host}"


def _place() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _began(pid: int) -> str:
    """The start of a process in ticks since the boot, and whether it is no more than a name that its parent has not collected."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "ended" if fields[0] in ("Z", "X") else fields[19]
