"""The arguments of `tableformat`: commands, options, help with examples. Nothing here loads the library."""

from __future__ import annotations

import argparse

from tableformat.cli import convert_command, copy, outside
from tableformat.cli.exits import exit_table
from tableformat.cli.upkeep_arguments import add_upkeep

__all__ = ["make_parser"]

_ADDRESS = """An ADDRESS names a version, or an entry of one: STORE#NAME[:VERSION][/ENTRY], where VERSION is v3, an alias, or
latest (the default), and STORE a folder or a URL such as s3://bucket/datasets. STORE#NAME@sha256:… pins a digest. Quote it."""


def make_parser() -> argparse.ArgumentParser:
    """The parser; the result of parsing has `run`, as `module:function`."""
    parser = argparse.ArgumentParser(
        prog="tableformat",
        description="Datasets and predictions on a bare folder or bucket: rows are plain Parquet, media are stored once, versions are atomic.",
        epilog=f"{_ADDRESS}\n\nexit codes:\n{exit_table()}\n\n'tableformat COMMAND --help' shows examples.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version of this program and end")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for add in (
        _ls,
        _log,
        _show,
        _head,
        _schema,
        _diff,
        _import,
        _export,
        _convert,
        _files,
        _alias,
        _rollback,
        _compact,
        _sessions,
        _cp,
        _verify,
        _add_reference,
        _own,
        _download,
    ):
        add(commands)
    add_upkeep(commands, _command)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: str,
    about: str,
    *examples: str,
    more: str = "",
) -> argparse.ArgumentParser:
    lines = "\n".join(f"  {example}" for example in examples)
    text = f"{about[0].upper()}{about[1:]}." + (f"\n\n{more}" if more else "")
    command = commands.add_parser(
        name,
        help=about,
        description=text,
        epilog=f"examples:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    command.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return command


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print one JSON document")


def _quiet(command: argparse.ArgumentParser) -> None:
    command.add_argument("-q", "--quiet", action="store_true", help="show no progress")


def _address(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument("address", metavar="ADDRESS", help=what)


def _columns(command: argparse.ArgumentParser) -> None:
    command.add_argument("--columns", metavar="NAME,NAME", type=_names, help="only these columns, in this order")


def _names(text: str) -> list[str]:
    return [name for name in (one.strip() for one in text.split(",")) if name]


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _share(text: str) -> float:
    number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 <= number <= 1:
        raise ValueError(text)
    return number


_share.__name__ = "share"
_count.__name__ = "number of rows"  # what argparse calls it in its message


def _ls(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands, "ls", "read:run_ls", "list the artifacts of a store, or the versions of one",
        "tableformat ls my-store", "tableformat ls my-store --versions", "tableformat ls 'my-store#digits'", "tableformat ls s3://bucket/datasets --json",
    )  # fmt: skip
    command.add_argument(
        "store",
        metavar="STORE",
        nargs="?",
        default=".",
        help="the store (default: this folder), or STORE#NAME for the versions of one artifact",
    )
    command.add_argument("--versions", action="store_true", help="list every version, not the newest alone")
    _json(command)


def _show(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands, "show", "read:run_show", "tell what a version, or one entry of it, holds, and what it changed",
        "tableformat show 'my-store#digits'", "tableformat show 'my-store#digits:v5' --since v2", "tableformat show 'my-store#digits:v0/images'", "tableformat show 'my-store#digits:best' --json",
    )  # fmt: skip
    _address(command, "a version, or an entry")
    command.add_argument(
        "--since", metavar="VERSION", help="tell what changed since this version (default: since the one before)"
    )
    _json(command)


def _log(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands, "log", "history:run_log", "list the versions of an artifact, the newest first",
        "tableformat log 'my-store#digits'", "tableformat log 'my-store#digits' -n 5 --json",
    )  # fmt: skip
    _address(command, "the artifact, as STORE#NAME")
    command.add_argument("-n", "--number", metavar="N", type=_count, help="how many (default: all)")
    _json(command)


def _rollback(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands, "rollback", "history:run_rollback", "commit an old version again, as the newest",
        "tableformat rollback 'my-store#digits:v0'", "tableformat rollback 'my-store#digits:best' --message 'labels of v2 were wrong'",
        more="Nothing is stored anew and nothing is deleted: the versions in between stay.",
    )  # fmt: skip
    _address(command, "the old version")
    command.add_argument("--message", metavar="TEXT", help="what to say about it (default: which version it is)")
    _json(command)


def _compact(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands, "compact", "compact:run_compact", "store the parts of tables again in fewer, full files",
        "tableformat compact 'my-store#digits/images'", "tableformat compact 'my-store#digits/images' --plain",
        more="Makes a new version with the same rows and the same content digest. Folds in deletions and added columns where that is worth it.",
    )  # fmt: skip
    _address(command, "the table, or the artifact for all of its tables")
    command.add_argument(
        "--plain", action="store_true", help="store again all that other engines could not read as it is"
    )
    _json(command)


def _sessions(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands, "sessions", "sessions:run_sessions", "list the work that was begun under a name and not committed yet",
        "tableformat sessions my-store", "tableformat sessions my-store --json", "tableformat sessions my-store --discard nightly-2026-11-22",
        more="A session is begun with store.draft(name, session=…), and opened again by that name after a crash.",
    )  # fmt: skip
    command.add_argument("store", metavar="STORE", help="a folder or URL")
    command.add_argument(
        "--discard", metavar="SESSION", help="drop this one, whoever holds it; what it stored is left to gc"
    )
    _json(command)


def _head(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands, "head", "read:run_head", "print the first rows of a table or joined table",
        "tableformat head 'my-store#digits/images'", "tableformat head 'my-store#digits/images' -n 3 --columns path,label", "tableformat head rows.parquet --json",
    )  # fmt: skip
    _address(command, "a table (its name may be left out where the version has one), or a Parquet file or folder")
    command.add_argument("-n", "--rows", metavar="N", type=_count, default=10, help="how many (default: 10)")
    _columns(command)
    _json(command)


def _schema(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands, "schema", "read:run_schema", "print the columns of a table or joined table and their types", "tableformat schema 'my-store#digits/images'", "tableformat schema rows.parquet --json"
    )  # fmt: skip
    _address(command, "a table, or a Parquet file or folder")
    _json(command)


def _import(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands, "import", "write:run_import", "commit files and folders as a version of an artifact",
        "tableformat import digits examples/digits/images my-store",
        "tableformat import scores train.csv test.csv my-store --key id --message 'first scores'",
        "tableformat import scores 2026-11-*.jsonl.gz my-store --table log",
        "tableformat import digits more/ my-store --table more --base latest",
        more="""A folder of images, sounds, videos or other media becomes a table with the columns path, label and the media;
the folders right below it are the labels. CSV, JSON lines and Parquet files, or folders of them, become tables.
Any other file is stored as it is. Each source is one entry, named for its file or folder; --table makes one table
of all. Without --base the version holds what is imported and nothing else.""",
    )  # fmt: skip
    command.add_argument("name", metavar="NAME", help="the artifact")
    command.add_argument("sources", metavar="SOURCE", nargs="+", help="files and folders")
    command.add_argument("store", metavar="STORE", help="the store; made where there is none")
    command.add_argument("--table", metavar="NAME", help="the name of the one table that all sources become")
    command.add_argument(
        "--key", metavar="NAME,NAME", type=_names, help="the columns whose values are unique (default for media: path)"
    )
    command.add_argument(
        "--format",
        choices=("csv", "tsv", "jsonl", "parquet"),
        help="what files of rows are in, where their names do not tell",
    )
    command.add_argument(
        "--media",
        metavar="KIND",
        help="the kind of media to take: image, audio, video, html, object3d, molecule, plotly, or file for every file",
    )
    command.add_argument("--no-labels", dest="labels", action="store_false", help="folders are not labels")
    command.add_argument(
        "--null",
        metavar="TEXT",
        dest="null_values",
        action="append",
        default=[],
        help="a text that means null in CSV, such as NA; may be repeated",
    )
    command.add_argument(
        "--json-columns",
        metavar="NAME,NAME",
        type=_names,
        help="columns of JSON lines to keep as JSON, such as those of mixed types",
    )
    command.add_argument(
        "--on-error",
        choices=("raise", "skip"),
        default="raise",
        help="end at the first file or row that cannot be stored (default), or skip and tell it",
    )
    command.add_argument("--type", metavar="WORD", help="what the artifact is for (default: dataset)")
    command.add_argument("--message", metavar="TEXT", default="", help="what to say about the version")
    command.add_argument("--metadata", metavar="JSON", help="a JSON object to keep with the version")
    command.add_argument("--base", metavar="VERSION", help="keep the entries of this version, such as latest or v3")
    _quiet(command)
    _json(command)


def _export(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands, "export", "write:run_export", "write a table to files that any tool reads",
        "tableformat export 'my-store#scores/train' train.csv", "tableformat export 'my-store#digits/images' digits-folder --format jsonl",
        "tableformat export 'my-store#digits:v0/images' labels.parquet --columns path,label",
        "tableformat export 'my-store#digits/images' artifact-folder --to wandb",
        more="""A table without media becomes one file. One with media becomes a folder: rows.parquet (or .csv, .jsonl), and for
each column of media a folder of files, whose paths stand in the rows. Nothing is written outside of TARGET.""",
    )  # fmt: skip
    _address(command, "a table")
    command.add_argument("target", metavar="TARGET", help="the file or folder to write")
    command.add_argument(
        "--format", choices=("parquet", "csv", "jsonl"), help="of the rows (default: what TARGET ends in, else parquet)"
    )
    _columns(command)
    command.add_argument("--class-names", action="store_true", help="write the names of classes, not their ids")
    command.add_argument(
        "--to", choices=("files", "wandb"), default="files", help="wandb: a folder with a *.table.json and its media"
    )
    command.add_argument("--force", action="store_true", help="replace what is there")
    _quiet(command)
    _json(command)


def _convert(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands, "convert", "convert_command:run_convert", "bring artifacts of Weights & Biases into a store",
        *convert_command.EXAMPLES, more=convert_command.MORE,
    )  # fmt: skip
    convert_command.add_arguments(command)


def _cp(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands, "cp", "copy:run_cp", "copy an artifact, a version or rows into another store", *copy.EXAMPLES, more=copy.MORE
    )  # fmt: skip
    copy.add_arguments(command)
    _columns(command)
    outside.add_allow(command)
    _quiet(command)
    _json(command)


def _diff(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands, "diff", "diff:run_diff", "tell what changed between two tables, row by row",
        "tableformat diff 'my-store#digits:v0/images' 'my-store#digits:v1/images'", "tableformat diff 'my-store#digits:v0' 'my-store#digits' --on path --summary",
        "tableformat diff before.parquet after.parquet --on id --json --limit 100",
        more="""Rows meet by the key of both tables, or by the columns of --on; where there is no key they are counted. Lines begin with + for
rows that were added, - removed, ~ changed, = the same (with --keep all). What digests show to be equal is not read. Ends
with 0 whether or not there is a difference.""",
    )  # fmt: skip
    command.add_argument("before", metavar="BEFORE", help="a table: an ADDRESS, or a Parquet file or folder")
    command.add_argument("after", metavar="AFTER", help="the table to compare it with")
    command.add_argument("--on", metavar="NAME,NAME", type=_names, help="the columns whose values tell rows apart")
    command.add_argument("--keep", choices=("changed", "all"), default="changed", help="all: the same rows, too")
    command.add_argument("--limit", metavar="N", type=_count, default=20, help="rows to show at most (default: 20)")
    command.add_argument("--summary", action="store_true", help="show the counts and no rows")
    command.add_argument("--memory", metavar="SIZE", help="what to hold, such as '1 GB'; the rest goes to disk")
    _json(command)


def _files(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands, "files", "read:run_files", "print where the Parquet files of a table lie, for other engines",
        "tableformat files 'my-store#digits/images'", "tableformat files 's3://bucket/datasets#digits:v0/images' --json",
        more="Refused, with the reason, where the files as they are would not give the table's rows; then the view that does is printed.",
    )  # fmt: skip
    _address(command, "a table")
    command.add_argument(
        "--force",
        action="store_true",
        help="print them though they would not give the table's rows, or show deleted ones",
    )
    command.add_argument(
        "--view", metavar="NAME", nargs="?", const="", help="print the SQL of a DuckDB view of the table instead"
    )
    _json(command)


def _alias(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "alias", help="set, remove and list the aliases of an artifact", description="Set, remove and list the aliases of an artifact: movable names of versions.",
        epilog="examples:\n  tableformat alias set 'my-store#digits:v0' best\n  tableformat alias ls 'my-store#digits'\n  tableformat alias rm 'my-store#digits:best'",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    actions = command.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    setting = _command(
        actions,
        "set",
        "write:run_alias_set",
        "let an alias name a version",
        "tableformat alias set 'my-store#digits:v0' best",
        "tableformat alias set 'my-store#digits' released",
    )
    _address(setting, "the version")
    setting.add_argument("alias", metavar="ALIAS", help="the name")
    removing = _command(
        actions, "rm", "write:run_alias_rm", "remove an alias", "tableformat alias rm 'my-store#digits:best'"
    )
    _address(removing, "the alias, as STORE#NAME:ALIAS")
    listing = _command(
        actions, "ls", "write:run_alias_ls", "list the aliases of an artifact", "tableformat alias ls 'my-store#digits'"
    )
    _address(listing, "the artifact")
    _json(listing)


def _verify(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands, "verify", "check:run_verify", "check every byte of a version, or of a store, against every digest",
        "tableformat verify 'my-store#digits'", "tableformat verify 'my-store#digits:v0' --json", "tableformat verify my-store --sample 10%",
        "tableformat verify 'my-store#digits' --references --allow s3://bucket/images/",
        more="Reads the whole version. Ends with 0 where nothing is wrong, and with 5 where something is, each problem with its file.\n"
        "With --references it looks instead whether what the version points at, outside of the store, is still what it was.",
    )  # fmt: skip
    command.add_argument("--all", action="store_true", help="all versions of the artifact, not the newest alone")
    command.add_argument(
        "--sample",
        metavar="SHARE",
        type=_share,
        help="hash this share of the files, such as 10%%, and see that all are there",
    )
    command.add_argument(
        "--references", action="store_true", help="look at what references point at: ok, changed, missing, unknown"
    )
    outside.add_allow(command)
    _address(command, "a version, STORE#NAME, or STORE for all that it holds")
    _quiet(command)
    _json(command)


def _add_reference(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands, "add-reference", "outside:run_add_reference", "point at objects that stay where they are", *outside.ADD_REFERENCE,
        more="By listing alone. The new version holds what the newest holds, and the references.",
    )  # fmt: skip
    outside.arguments_of_add_reference(command)
    _quiet(command)
    _json(command)


def _own(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands, "own", "outside:run_own", "store the bytes that a column of a table points at", *outside.OWN,
        more="Where they came from stays in the column COLUMN_origin.",
    )  # fmt: skip
    outside.arguments_of_own(command)
    _quiet(command)
    _json(command)


def _download(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands, "download", "outside:run_download", "write all that a version holds into a folder", *outside.DOWNLOAD,
        more="Files and media get their names, tables become NAME.parquet with their media inside. What is there, and right, is\n"
        "not written again. Nothing is written outside of FOLDER.",
    )  # fmt: skip
    outside.arguments_of_download(command)
    _quiet(command)
    _json(command)
