"""The command `convert`: artifacts of Weights & Biases into a store."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from tableformat.cli.exits import Exit

__all__ = ["EXAMPLES", "MORE", "add_arguments", "run_convert"]

EXAMPLES = (
    "tableformat convert artifacts/animals:v3 my-store",
    "tableformat convert s3://bucket/artifacts my-store --identities ids.json --sidecar about.json",
    "tableformat convert 'zip://animals:v3::downloads.zip' my-store --storage-options options.json",
    "tableformat convert downloads/train.table.json my-store --artifact train",
)
MORE = """SOURCE is the folder of a downloaded artifact, one *.table.json, or a folder of artifacts (name:v3 or name-v3), which are
converted in the order of what they are made from. Manifests lie in the folders as wandb_manifest.json, beside them as
<folder>.wandb_manifest.json, or nowhere. Running it again continues where it stopped, and changes nothing that is done.
Ends with 10 where some of many artifacts could not be converted, having told which."""


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Give the command its arguments; loads nothing of the library."""
    command.add_argument(
        "source", metavar="SOURCE", help="an artifact, a *.table.json, or a folder of artifacts: a path or a URL"
    )
    command.add_argument("store", metavar="STORE", help="the store; made where there is none")
    command.add_argument("--artifact", metavar="NAME", help="what the one artifact becomes (default: its own name)")
    command.add_argument("--manifest", metavar="FILE", help="the manifest of the one artifact, where it lies elsewhere")
    command.add_argument("--identities", metavar="FILE", help="a JSON object from ids of artifacts to name:v3")
    command.add_argument(
        "--sidecar", metavar="FILE", help="a JSON object from name:v3 to aliases, metadata, type, inputs"
    )
    command.add_argument(
        "--storage-options",
        metavar="JSON",
        help="a JSON object for the file system of SOURCE, such as '{\"anon\": true}', or a file that holds one",
    )
    command.add_argument("--strict", action="store_true", help="anything odd is an error, before anything is committed")
    command.add_argument("-q", "--quiet", action="store_true", help="show no progress")
    command.add_argument("--json", action="store_true", help="print one JSON document")


def run_convert(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from tableformat.cli.output import emit, emit_json
    from tableformat.convert.legacy import convert_wandb

    given: dict[str, Any] = {name: getattr(options, name) for name in ("artifact", "manifest", "identities", "sidecar")}
    report = convert_wandb(
        options.source,
        options.store,
        storage_options=_storage_options(options.storage_options),
        strict=options.strict,
        progress=not options.quiet,
        **given,
    )
    if options.json:
        emit_json(report.to_json())
    else:
        emit(*str(report).split("\n"))
    return Exit.OK if report.is_complete else Exit.PARTIAL


def _storage_options(text: str | None) -> dict[str, Any] | None:
    """The object in `text`, or in the file that it names. What it holds may be secret, and is in no message."""
    from tableformat.errors import UsageError, message

    if text is None:
        return None
    try:
        value = json.loads(text if text.lstrip().startswith("{") else Path(text).read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(
            message(
                "reading storage options", expected="a JSON object, or a file that holds one", got=type(error).__name__
            )
        ) from None
    if not isinstance(value, dict):
        raise UsageError(message("reading storage options", expected="a JSON object", got=type(value).__name__))
    return value
