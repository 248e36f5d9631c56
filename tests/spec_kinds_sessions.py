"""How the fenced cases on sessions in spec/versions.md are run."""

from __future__ import annotations

import json
from collections.abc import Callable

from tableformat.storage.session_log import Begin, Record


def _record(data: bytes) -> Record:
    document = json.loads(data)
    return Record.decode(data, "case", document["session"], document["number"])


CASE_KINDS: dict[str, Callable[[bytes], object]] = {
    "session-begin": lambda data: Begin.decode(data, "case"),
    "session-record": _record,
}
"""Kind of case → what reads its text."""
