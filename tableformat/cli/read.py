"""The commands that read: `ls`, `show`, `head`, `schema`, `files`."""

from __future__ import annotations

import argparse
from typing import Any

import tableformat
from tableformat import errors
from tableformat.cli.address import open_artifact, open_entry, open_rows, open_table, split_address
from tableformat.cli.exits import exit_code_of
from tableformat.cli.history import changes_json, changes_lines
from tableformat.cli.output import columns_text, emit, emit_json, note, plain_value, short_value, size_text, stored_text

__all__ = ["run_files", "run_head", "run_ls", "run_schema", "run_show"]


def run_ls(options: argparse.Namespace) -> int:
    """The artifacts of a store, each with its newest version, or all versions."""
    where: str = options.store
    only = split_address(where).name if "#" in where else None
    store = tableformat.open_store(split_address(where).root if "#" in where else where, create=False)
    names = store.artifacts() if only is None else [only]
    code = 0
    found: list[dict[str, Any]] = []
    for name in names:
        try:
            newest = store[name]
            chosen = (
                [store[f"{name}:v{version.slot}"] for version in store.versions(name)]
                if options.versions or only
                else [newest]
            )
            aliases = store.aliases(name)
            found += [_artifact_json(artifact, aliases) for artifact in chosen]
        except errors.TableformatError as error:
            if only is not None:
                raise
            note(f"{name}: {error}")
            code = exit_code_of(error)
    if options.json:
        emit_json(found)
        return code
    if not found and not code:
        note(f"the store at {store.root} has no artifacts yet")
    rows = [
        [
            f"{one['name']}:{one['version']}",
            one["type"],
            str(one["rows"]),
            size_text(one["bytes_new"]),
            one["time"][:16].replace("T", " "),
            ", ".join(one["aliases"]),
            one["message"],
        ]
        for one in found
    ]
    if rows:
        emit(
            *columns_text(
                ["version", "type", "rows", "new bytes", "committed (UTC)", "aliases", "message"], rows, right=(2, 3)
            )
        )
    return code


def _artifact_json(artifact: tableformat.Artifact, aliases: dict[str, str]) -> dict[str, Any]:
    report = artifact.report
    return {
        "name": artifact.name,
        "version": artifact.version,
        "digest": artifact.digest,
        "type": artifact.type,
        "time": artifact.time,
        "message": artifact.message,
        "rows": report.get("rows", 0),
        "bytes_new": report.get("bytes_new", 0),
        "bytes_shared": report.get("bytes_shared", 0),
        "aliases": sorted(alias for alias, version in aliases.items() if version == artifact.version),
    }


def run_show(options: argparse.Namespace) -> int:
    """One version, or one entry of it."""
    if split_address(options.address).entry is not None:
        return _show_entry(open_entry(options.address), options)
    artifact = open_artifact(options.address)
    store = tableformat.open_store(split_address(options.address).root, create=False)
    entries = [_entry_json(artifact, name, kind) for name, kind in artifact.kinds().items()]
    told = {
        **_artifact_json(artifact, store.aliases(artifact.name)),
        "content_digest": artifact.content_digest,
        "metadata": artifact.metadata,
        "producer": artifact.producer,
        "inputs": [
            {
                "artifact": one.artifact,
                "digest": one.digest,
                "version": None if one.slot is None else f"v{one.slot}",
                "alias": one.alias,
            }
            for one in artifact.inputs()
        ],
        "report": artifact.report,
        "entries": entries,
    }
    changes = store.changes(split_address(options.address).selection, options.since)
    told["changes"] = changes_json(changes)
    if options.json:
        emit_json(told)
        return 0
    named = f"{artifact.name}:{artifact.version}" if artifact.version else artifact.name
    emit(f"{named}  ({artifact.type})")
    lines = {
        "digest": artifact.digest,
        "content": artifact.content_digest,
        "committed": artifact.time,
        "message": artifact.message,
        "aliases": ", ".join(told["aliases"]),
        "stored": stored_text(artifact.report) if artifact.report else "",
        "metadata": _json_line(artifact.metadata),
        "producer": _json_line(artifact.producer),
        "made from": ", ".join(
            f"{one.artifact}:v{one.slot}" if one.slot is not None else f"{one.artifact}@{one.digest}"
            for one in artifact.inputs()
        ),
    }
    emit(*(f"  {name:<10}{text}" for name, text in lines.items() if text))
    if entries:
        emit(
            "",
            *columns_text(
                ["entry", "kind", "", "columns"],
                [[one["name"], one["kind"], _amount(one), ", ".join(one.get("columns", []))] for one in entries],
                right=(2,),
            ),
        )
    else:
        emit("", "it has no entries")
    emit(*changes_lines(changes))
    return 0


def _json_line(value: dict[str, Any]) -> str:
    import json

    return json.dumps(value, ensure_ascii=False) if value else ""


def _entry_json(artifact: tableformat.Artifact, name: str, kind: str) -> dict[str, Any]:
    told: dict[str, Any] = {"name": name, "kind": kind}
    try:
        found = artifact[name]
    except errors.UnsupportedError:
        return told
    except (errors.NotFoundError, errors.FormatError, errors.InvalidInputError) as error:
        if kind != "joined_table":
            raise
        return told | {"error": str(error)}  # of a join whose side is gone; the other entries are fine
    if isinstance(found, tableformat.JoinedTable):
        told["columns"] = found.columns
    elif isinstance(found, tableformat.Table):
        told |= {"rows": len(found), "columns": found.columns, "key": list(found.key)}
    elif isinstance(found, tableformat.Classes):
        told["classes"] = len(found)
    elif isinstance(found, tableformat.Media):
        told |= {"size": found.size, "content_type": found.content_type}
    return told


def _amount(one: dict[str, Any]) -> str:
    if "rows" in one:
        return f"{one['rows']:,} rows"
    if "classes" in one:
        return f"{one['classes']:,} classes"
    return size_text(one["size"]) if one.get("size") is not None else ""


def _show_entry(found: Any, options: argparse.Namespace) -> int:
    if isinstance(found, tableformat.Table):
        return _show_table(found, options)
    if isinstance(found, tableformat.JoinedTable):
        return _show_joined(found, options)
    if isinstance(found, tableformat.Classes):
        names = [{"id": id_, "name": name} for id_, name in found.names.items()]
        if options.json:
            emit_json({"kind": "classes", "digest": found.digest, "classes": names})
        else:
            emit(
                f"{len(found)} classes  {found.digest}",
                *columns_text(["id", "name"], [[str(one["id"]), str(one["name"])] for one in names], right=(0,)),
            )
        return 0
    told = plain_value(found)
    if options.json:
        emit_json({"kind": "media", **told, "content_type": found.content_type})
    else:
        emit(
            short_value(found),
            *(f"  {name:<10}{value}" for name, value in {**told, "content": found.content_type}.items()),
        )
    return 0


def _show_joined(joined: tableformat.JoinedTable, options: argparse.Namespace) -> int:
    plan = joined.explain()
    if options.json:
        on = [list(pair) for pair in joined.on]
        emit_json({"kind": "joined_table", "how": joined.how, "on": on, "columns": joined.columns, "plan": plan})
    else:
        emit(f"{joined.how} join, columns {', '.join(joined.columns)}", *plan.splitlines())
    return 0


def _show_table(table: tableformat.Table, options: argparse.Namespace) -> int:
    told = {
        "kind": "table",
        "rows": len(table),
        "key": list(table.key),
        "content_digest": table.content_digest,
        "plain": not table.why_not_plain,
        "why_not_plain": list(table.why_not_plain),
        "columns": _columns_json(table),
    }
    if options.json:
        emit_json(told)
        return 0
    emit(
        f"{len(table):,} rows" + (f", key {', '.join(table.key)}" if table.key else "") + f"  {table.content_digest}",
        f"plain: {'no, ' + '; '.join(table.why_not_plain) if table.why_not_plain else 'yes'}",
        "",
    )
    emit(*_columns_lines(table))
    return 0


def run_schema(options: argparse.Namespace) -> int:
    """The columns of a table or joined table and their types."""
    table = open_rows(options.address)
    if options.json:
        emit_json({"key": list(table.key), "columns": _columns_json(table), "schema": table.schema.to_json()})
    else:
        emit(*_columns_lines(table))
    return 0


def _columns_json(table: tableformat.Table | tableformat.JoinedTable) -> list[dict[str, Any]]:
    visible = set(table.columns)
    told = []
    for column in table.schema.columns:
        one: dict[str, Any] = {
            "name": column.name,
            "type": str(column.type),
            "nullable": column.nullable,
            "key": column.name in table.key,
        }
        if column.name not in visible and column.annotates is not None:
            one |= {"annotates": column.annotates[0], "role": column.annotates[1]}
        told.append(one)
    return told


def _columns_lines(table: tableformat.Table | tableformat.JoinedTable) -> list[str]:
    rows = []
    for column in _columns_json(table):
        words = ["key"] if column["key"] else []
        words += [] if column["nullable"] else ["never null"]
        words += [f"{column['role']} of {column['annotates']}"] if "role" in column else []
        rows.append([column["name"], column["type"], ", ".join(words)])
    return columns_text(["column", "type", ""], rows)


def run_head(options: argparse.Namespace) -> int:
    """The first rows of a table or joined table; of the latter by flattened names."""
    table = open_rows(options.address)
    if options.columns:
        table = table.select(*options.columns)
    if isinstance(table, tableformat.JoinedTable):  # one row more instead of a count: that could mean to join it all
        rows: list[Any] = list(table.head(options.rows + 1).flat_rows())
        more = "… more rows" if len(rows) > options.rows else ""
        rows = rows[: options.rows]
    else:
        rows = list(table.head(options.rows).rows())
        more = f"… {len(rows):,} of {len(table):,} rows" if len(table) > len(rows) else ""
    if options.json:
        emit_json([{name: plain_value(value) for name, value in row.items()} for row in rows])
        return 0
    names = table.columns
    classes = {name: _names_of(table, name) for name in names}
    cells = [
        [short_value(row[name], classes[name].get(row[name]) if classes[name] else None) for name in names]
        for row in rows
    ]
    right = [
        place
        for place, name in enumerate(names)
        if not classes[name] and all(isinstance(row[name], int | float) for row in rows)
    ]
    emit(*columns_text(names, cells, right))
    if more:
        emit(more)
    return 0


def _names_of(table: tableformat.Table | tableformat.JoinedTable, column: str) -> dict[int, str]:
    """The names of the ids in a column of classes; empty for other columns."""
    type_ = table.schema[column].type
    classes = table.classes_of(column) if hasattr(type_, "id_type") else None
    return {} if classes is None else dict(classes.names)


def run_files(options: argparse.Namespace) -> int:
    """Where other engines find the parts of a table; for one that they would read wrong, the view that they read right."""
    table = open_table(options.address)
    if options.view is not None:
        emit(*table.duckdb_view(options.view or None).splitlines())
        return 0
    try:
        files = table.files(force=options.force)
    except errors.UsageError:
        if not options.json:
            emit(*table.duckdb_view().splitlines())
        raise
    if options.json:
        emit_json(files)
    else:
        emit(*files)
    return 0
