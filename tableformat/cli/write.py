"""The commands that write: `import`, `export`, `alias`."""

from __future__ import annotations

import argparse
import json
from typing import Any, Final

import tableformat
from tableformat import convert
from tableformat.cli.address import Place, open_rows, open_table, split_address
from tableformat.cli.output import columns_text, emit, emit_json, note, stored_text
from tableformat.errors import InvalidInputError, UsageError, message

__all__ = ["run_alias_ls", "run_alias_rm", "run_alias_set", "run_export", "run_import"]

_SHOWN: Final = 20


def run_import(options: argparse.Namespace) -> int:
    """Files and folders become a version of an artifact."""
    store = tableformat.open_store(options.store)
    done = convert.import_files(
        store, options.name, options.sources, table=options.table, key=options.key, format=options.format, media=options.media, labels=options.labels,
        null_values=options.null_values, json_columns=options.json_columns or (), on_error=options.on_error, type=options.type, metadata=_metadata(options.metadata), message=options.message,
        base=options.base, progress=not options.quiet,
    )  # fmt: skip
    artifact, report = done.artifact, done.artifact.report
    for one in done.entries:
        if one.left_out:
            note(f"{one.entry}: left out {one.left_out:,} files of other kinds")
        if one.skipped_count:
            note(
                f"{one.entry}: skipped {one.skipped_count:,} that cannot be stored:",
                *(f"  {problem}" for problem in one.skipped[:_SHOWN]),
            )
            if one.skipped_count > _SHOWN:
                note(f"  … and {one.skipped_count - _SHOWN:,} more")
    if options.json:
        entries = [
            {
                "entry": one.entry,
                "rows": one.rows,
                "left_out": one.left_out,
                "skipped": one.skipped_count,
                "problems": [{"place": problem.place, "text": problem.text} for problem in one.skipped],
            }
            for one in done.entries
        ]
        emit_json(
            {
                "name": artifact.name,
                "version": artifact.version,
                "digest": artifact.digest,
                "created": done.created,
                "report": report,
                "entries": entries,
            }
        )
        return 0
    told = ", ".join(one.entry if one.rows is None else f"{one.entry} ({one.rows:,} rows)" for one in done.entries)
    if done.created:
        emit(f"{artifact.name}:{artifact.version}: {told} · {stored_text(report)}")
    else:
        emit(f"{artifact.name}:{artifact.version}: nothing new, {told}")
    return 0


def _metadata(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidInputError(message("reading --metadata", expected="a JSON object", got=str(error))) from error
    if not isinstance(value, dict):
        raise InvalidInputError(message("reading --metadata", expected="a JSON object", got=type(value).__name__))
    return value


def run_export(options: argparse.Namespace) -> int:
    """A table or joined table becomes a file, or a folder of media and the rows that name them."""
    if options.to == "wandb":
        table = open_table(options.address)
        return _export_wandb(table.select(*options.columns) if options.columns else table, options)
    rows = open_rows(options.address)
    done = convert.export_table(
        rows.select(*options.columns) if options.columns else rows,
        options.target,
        format=options.format,
        force=options.force,
        class_names=options.class_names,
        progress=not options.quiet,
    )
    if done.left:
        note(f"{done.left:,} cells point outside of the store; the rows hold their addresses")
    if options.json:
        emit_json({"path": done.path, "rows": done.rows, "media": done.media, "left": done.left})
    else:
        emit(f"{done.path}: {done.rows:,} rows" + (f", {done.media:,} files" if done.media else ""))
    return 0


def _export_wandb(table: tableformat.Table, options: argparse.Namespace) -> int:
    if options.format or options.class_names or options.force:
        raise UsageError(
            message("exporting to wandb", expected="none of --format, --class-names, --force", got="one of them")
        )
    name = options.address.rpartition("/")[2]
    written = convert.export_wandb(table, options.target, name=name, progress=not options.quiet)
    note(*written.notes)
    if options.json:
        emit_json({"path": written.path, "rows": written.rows, "media": written.media, "notes": written.notes})
    else:
        emit(f"{written.path}: {written.rows:,} rows, {written.media:,} files")
    return 0


def run_alias_set(options: argparse.Namespace) -> int:
    """Let an alias name a version."""
    store, place = _artifact(options.address)
    store.set_alias(place.name, options.alias, store[place.selection])
    emit(f"{place.name}:{options.alias} is {store.aliases(place.name)[options.alias]}")
    return 0


def run_alias_rm(options: argparse.Namespace) -> int:
    """Remove an alias."""
    store, place = _artifact(options.address)
    if place.version is None or "@" in place.selection:
        raise UsageError(
            message(
                "removing an alias",
                path=options.address,
                expected="the address of an alias, such as my-store#digits:best",
                got="another",
            )
        )
    store.remove_alias(place.name, place.version)
    emit(f"{place.name}:{place.version} is removed")
    return 0


def run_alias_ls(options: argparse.Namespace) -> int:
    """The aliases of an artifact."""
    store, place = _artifact(options.address)
    store.versions(place.name)  # raises where there is no such artifact
    aliases = dict(sorted(store.aliases(place.name).items()))
    if options.json:
        emit_json(aliases)
    elif aliases:
        emit(*columns_text(["alias", "version"], [[alias, version] for alias, version in aliases.items()]))
    else:
        note(f"{place.name} has no aliases")
    return 0


def _artifact(text: str) -> tuple[tableformat.Store, Place]:
    place = split_address(text)
    if place.entry is not None:
        raise UsageError(
            message("naming a version", path=text, expected="an address without an entry", got=repr(place.entry))
        )
    return tableformat.open_store(place.root, create=False), place
