"""The command that checks: `verify`."""

from __future__ import annotations

import argparse

import tableformat
from tableformat.cli.address import split_address
from tableformat.cli.exits import Exit
from tableformat.cli.output import emit, emit_json, note, size_text
from tableformat.cli.outside import verify_references
from tableformat.errors import UsageError, message
from tableformat.progress import Meter

__all__ = ["run_verify"]

_SHOWN = 100


def run_verify(options: argparse.Namespace) -> int:
    """Every byte of one version against every digest that speaks of it."""
    if options.references:
        return verify_references(options)
    root, selection = options.address, None
    if "#" in options.address:
        place = split_address(options.address)
        if place.entry is not None:
            raise UsageError(
                message(
                    "verifying",
                    path=options.address,
                    expected="the address of a version, or a store",
                    got=f"an entry, {place.entry!r}",
                    todo="a version is verified whole",
                )
            )
        root, selection = place.root, place.selection
    store = tableformat.open_store(root, create=False)
    shown = selection or root
    with Meter(f"verifying {shown}", None, "bytes", not options.quiet) as meter:
        report = store.verify(
            selection, every=options.all, sample=options.sample, progress=lambda done, _files, _path: meter.at(done)
        )
    if options.json:
        problems = [{"place": problem.place, "text": problem.text, "kind": problem.kind} for problem in report.problems]
        emit_json({
            "ok": report.ok, "bytes": report.bytes, "files": report.files, "rows": report.rows, "blobs": report.blobs,
            "references": report.references, "erased": report.erased, "problem_count": report.problem_count, "problems": problems,
        })  # fmt: skip
        return Exit.OK if report.ok else Exit.DAMAGED
    for problem in report.problems[:_SHOWN]:
        emit(str(problem))
    if report.problem_count > _SHOWN:
        emit(f"… and {report.problem_count - _SHOWN:,} more problems (--json lists them)")
    amount = f"{size_text(report.bytes)} in {report.files:,} files, {report.rows:,} rows, {report.blobs:,} blobs"
    if report.references:
        note(f"{report.references:,} cells point outside of the store and were not looked at")
    if report.erased:
        note(f"{report.erased:,} cells are of bytes that were erased")
    emit(f"{shown}: " + (f"ok · {amount}" if report.ok else f"{report.problem_count:,} problems · {amount}"))
    return Exit.OK if report.ok else Exit.DAMAGED
