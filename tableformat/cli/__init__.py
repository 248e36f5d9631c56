"""The command line: `tableformat COMMAND …`, and `python -m tableformat COMMAND …`.

parser.py    arguments and help          read.py     ls, show, head, schema, files
exits.py     exit codes                  write.py    import, export, alias
address.py   addresses                   check.py    verify          copy.py  cp
output.py    what is printed             diff.py     diff            upkeep.py  gc, expire, erase, repair
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence

from tableformat import errors
from tableformat._version import __version__
from tableformat.cli.exits import Exit, exit_code_of
from tableformat.cli.output import emit, note
from tableformat.cli.parser import make_parser

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (see `exits.py`); errors are told on standard error, in one line each.

    `argv` are the arguments without the program's name; None: those of the process. Raises `SystemExit` for wrong
    arguments and for `--help`, as argparse does.
    """
    parser = make_parser()
    options = parser.parse_args(argv)
    if options.version:
        emit(f"tableformat {__version__}")
        return Exit.OK
    if options.command is None:
        parser.print_help(sys.stderr)
        return Exit.USAGE
    module, _, function = options.run.partition(":")
    try:
        with _told_logs():
            code: int = getattr(importlib.import_module(f"tableformat.cli.{module}"), function)(options)
            sys.stdout.flush()
    except BrokenPipeError:
        with contextlib.suppress(OSError, ValueError):  # so that the interpreter's last flush finds no closed pipe
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.BROKEN_PIPE
    except KeyboardInterrupt:
        note("interrupted; nothing half-done is visible")
        return Exit.INTERRUPTED
    except errors.TableformatError as error:
        _tell(error, str(error), options.debug)
        return exit_code_of(error)
    except Exception as error:  # noqa: BLE001 - a person reads a line; a traceback is there for those who ask
        _tell(error, f"unexpected {type(error).__name__}: {error} (--debug shows where)", options.debug)
        return Exit.UNEXPECTED
    return code


def _tell(error: BaseException, text: str, debug: bool) -> None:
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    note(*text.split("\n"))


class _Teller(logging.Handler):
    """Tells log lines as everything else that is told."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            note(record.getMessage())
        except (OSError, ValueError):
            self.handleError(record)


@contextlib.contextmanager
def _told_logs() -> Iterator[None]:
    """While a command runs, what the library logs is told on standard error; afterwards logging is as it was."""
    logger, handler = logging.getLogger("tableformat"), _Teller(logging.INFO)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
