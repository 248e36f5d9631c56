"""The arguments of the commands that keep a store: gc, expire, erase, repair. Nothing here loads the library."""

from __future__ import annotations

import argparse
from collections.abc import Callable

__all__ = ["add_upkeep"]

Make = Callable[..., argparse.ArgumentParser]
"""Makes a command, as `parser._command` does."""


def add_upkeep(commands: argparse._SubParsersAction[argparse.ArgumentParser], make: Make) -> None:
    """Add the four commands."""
    for add in (_gc, _expire, _erase, _repair):
        command = add(commands, make)
        command.add_argument("-q", "--quiet", action="store_true", help="show no progress")
        command.add_argument("--json", action="store_true", help="print one JSON document")


def _gc(commands: argparse._SubParsersAction[argparse.ArgumentParser], make: Make) -> argparse.ArgumentParser:
    command = make(
        commands, "gc", "upkeep:run_gc", "tell what no version reaches, and delete it with --delete",
        "tableformat gc my-store", "tableformat gc s3://bucket/datasets --delete", "tableformat gc my-store --delete --exclusive --grace 0",
        more="""Deleting goes in steps, so that nobody who writes meanwhile loses anything: the first call makes a plan, a call a good week
later carries it out, and makes the next. Run it every night. --exclusive is your word that nobody else writes to the store now.""",
    )  # fmt: skip
    command.add_argument("store", metavar="STORE", nargs="?", default=".", help="the store (default: this folder)")
    command.add_argument("--delete", action="store_true", help="plan and delete, as far as it is time to")
    command.add_argument(
        "--exclusive", action="store_true", help="nobody else writes: plan and delete at once, with any --grace"
    )
    command.add_argument(
        "--grace", metavar="DAYS", type=float, help="how old an object, and then a plan, has to be (default: 8)"
    )
    command.add_argument(
        "--repack", metavar="SHARE", type=float, help="also write packs again of which less than this share is used"
    )
    return command


def _expire(commands: argparse._SubParsersAction[argparse.ArgumentParser], make: Make) -> argparse.ArgumentParser:
    command = make(
        commands, "expire", "upkeep:run_expire", "delete old versions of an artifact",
        "tableformat expire 'my-store#digits' --keep-last 10 --dry-run", "tableformat expire 'my-store#digits' --keep-last 10", "tableformat expire 'my-store#digits:v3'",
        more="Versions stay that an alias names, that a joined table reads, or that another version was made from. Bytes go with gc.",
    )  # fmt: skip
    command.add_argument("address", metavar="ADDRESS", help="the artifact, as STORE#NAME, or one version of it")
    command.add_argument("--keep-last", metavar="N", type=int, help="how many of the newest versions stay")
    command.add_argument("--dry-run", action="store_true", help="only tell")
    command.add_argument("--force", action="store_true", help="also what is pinned")
    return command


def _erase(commands: argparse._SubParsersAction[argparse.ArgumentParser], make: Make) -> argparse.ArgumentParser:
    command = make(
        commands, "erase", "upkeep:run_erase", "tell where media or rows stand, and erase them for good with --delete",
        f"tableformat erase my-store sha256:{'0' * 8}… --delete", "tableformat erase 'my-store#people/faces' --key 17 --key 18 --delete",
        more="""For personal data. Media are taken out of every pack. Rows: a new version without them is committed, every version that has
them is deleted, and so are its parts and the media of the rows. What cannot be reached is told: copies, other stores, sources.""",
    )  # fmt: skip
    command.add_argument("address", metavar="STORE", help="the store; with --key a table of it, as STORE#NAME/ENTRY")
    command.add_argument("digests", metavar="DIGEST", nargs="*", help="of media, files or class sets: sha256:…")
    command.add_argument(
        "--key",
        metavar="VALUE",
        action="append",
        default=[],
        help="the key of a row; JSON for a key of several columns",
    )
    command.add_argument("--delete", action="store_true", help="do it; without, it is only told")
    return command


def _repair(commands: argparse._SubParsersAction[argparse.ArgumentParser], make: Make) -> argparse.ArgumentParser:
    command = make(
        commands, "repair", "upkeep:run_repair", "bring back what is missing or damaged, from another store",
        "tableformat repair my-store --from s3://bucket/copy", "tableformat repair 'my-store#digits' --from /backup/my-store --dry-run",
        more="Reads every object of all versions. Ends with 0 where nothing is missing or damaged any more, and with 5 where something is lost.",
    )  # fmt: skip
    command.add_argument("address", metavar="STORE", help="the store, or STORE#NAME for one artifact of it")
    command.add_argument(
        "--from",
        metavar="STORE",
        dest="sources",
        action="append",
        default=[],
        help="a store that may have it; may be repeated",
    )
    command.add_argument("--dry-run", action="store_true", help="only tell")
    command.add_argument(
        "--allow",
        metavar="URL",
        action="append",
        default=[],
        help="where owned media may be read from again; may be repeated",
    )
    return command
