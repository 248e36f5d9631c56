"""`sessions`: work that was begun under a name and not committed yet; and the way to drop it."""

from __future__ import annotations

import argparse
from typing import Any

import tableformat
from tableformat.cli.output import columns_text, emit, emit_json

__all__ = ["run_sessions"]


def run_sessions(options: argparse.Namespace) -> int:
    """List the open sessions of a store, or discard one."""
    store = tableformat.open_store(options.store, create=False)
    if options.discard is not None:
        session = store.session(options.discard)
        session.discard()
        if options.json:
            emit_json({"discarded": session.name})
        else:
            emit(f"discarded {session.name}")
        return 0
    found = store.sessions()
    if options.json:
        emit_json([_session_json(session) for session in found])
        return 0
    rows = [
        [session.name, session.artifact, session.time[:16].replace("T", " "), *_table_cells(session, name), session.holder or "nobody"]
        for session in found
        for name in ([*session.tables] or [""])
    ]  # fmt: skip
    header = ["session", "artifact", "begun (UTC)", "table", "rows sealed", "checkpoint", "held by"]
    emit(*columns_text(header, rows, right=(4,)))
    return 0


def _table_cells(session: Any, name: str) -> list[str]:
    if not name:
        return ["", "", ""]
    table = session.tables[name]
    checkpoint = "" if table.checkpoint is None else repr(table.checkpoint)[:40]
    return [name, f"{table.rows:,}" + (" (closed)" if table.is_closed else ""), checkpoint]


def _session_json(session: Any) -> dict[str, Any]:
    tables = {
        name: {"rows": table.rows, "checkpoint": table.checkpoint, "closed": table.is_closed}
        for name, table in session.tables.items()
    }
    return {
        "name": session.name,
        "artifact": session.artifact,
        "time": session.time,
        "holder": session.holder,
        "tables": tables,
    }
