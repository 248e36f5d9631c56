"""The text of a `*.table.json`, in blocks of rows: a file of any size is read in the memory of one block.

The text is Python's dialect of JSON: `NaN`, `Infinity`, integers of any length, lone surrogates. A block is cut at what
looks like the end of a row and parsed as a whole; it parses only if the cut was one, since what is cut too soon leaves a
string or a bracket open. Where cells hold lists, cuts are mostly wrong, and the rows are parsed one by one instead.
"""

from __future__ import annotations

import codecs
import gc
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, BinaryIO, Final

from tableformat.errors import FormatError, LimitError, Problem, message

__all__ = ["MAX_HEAD_BYTES", "MAX_ROW_BYTES", "Block", "ReadRows", "TableText", "decode_object", "paused_collector"]

MAX_HEAD_BYTES: Final = 64 << 20
"""Most text before the rows, and after them: the types of the columns. A thousand columns need a megabyte."""
MAX_ROW_BYTES: Final = 32 << 20
"""Most text of one row."""
_BLOCK: Final = 1 << 20
_READ: Final = 1 << 20
_PROBLEMS: Final = 1000
_Scan = Callable[[str, int], tuple[Any, int]]
ReadRows = Callable[[str], list[Any] | None]
"""From the text of some rows to their columns; None where it does not read them."""
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_BETWEEN: Final = re.compile(r"[ \t\n\r]*(,?)[ \t\n\r]*")
_TOKEN: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*("?)|[\[\]{}]', re.DOTALL)
_ESCAPED_BYTE: Final = re.compile("[\udc80-\udcff]")


class _Duplicates:
    """Makes the objects of JSON and counts keys that stand twice in one of them; the last one counts, as it always did."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def make(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """The object of `pairs`."""
        value = dict(pairs)
        if len(value) < len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    self.keys.append(key)
                seen.add(key)
        return value

    def take(self) -> list[str]:
        """The keys that were met since the last call."""
        found, self.keys = self.keys, []
        return found


def _members_of(value: Any) -> int:
    """How many members all objects in `value` have. Where that is the number of colons in its text, no key stood twice in an
    object, since each member has one: to look so is four times as fast as to make each object by hand."""
    total, level = 0, [value]
    while level:
        dicts = [one for one in level if type(one) is dict]
        lists = [one for one in level if type(one) is list]
        total += sum(map(len, dicts))
        below = chain(chain.from_iterable(map(dict.values, dicts)), chain.from_iterable(lists))
        level = [one for one in below if type(one) is dict or type(one) is list]
    return total


@dataclass(slots=True)
class Block:
    """Some rows, one after the other."""

    first: int
    """The number of its first row."""
    rows: list[Any]
    """What stands in `data`: lists of cells, and whatever else a damaged file has there; None for a row that is lost."""
    problems: list[Problem] = field(default_factory=list)
    """What was wrong with rows of this block."""
    columns: list[Any] | None = None
    """Its cells by column, where a reader took them; then `rows` is empty."""

    @property
    def count(self) -> int:
        """How many rows."""
        return len(self.rows) if self.columns is None else len(self.columns[0])


@contextmanager
def paused_collector() -> Iterator[None]:
    """Without the cyclic garbage collector, which would walk through a million new lists again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def decode_object(data: bytes, path: str) -> tuple[Any, list[Problem]]:
    """The value of a small JSON file, and what is odd about it. Raises `FormatError` for what is no JSON."""
    text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    duplicates = _Duplicates()
    try:
        value = json.loads(text)
        if _members_of(value) != text.count(":"):
            value = json.loads(text, object_pairs_hook=duplicates.make)
    except (ValueError, RecursionError) as error:
        raise FormatError(message("reading JSON", path=path, expected="JSON", got=_fault(error))) from error
    problems = [
        Problem(path, f"the key {key!r} stands twice; the last one counts", "duplicate-key") for key in duplicates.keys
    ]
    if not text.isascii() and _ESCAPED_BYTE.search(text):
        problems.append(Problem(path, "bytes that are not UTF-8", "encoding"))
    return value, problems


class TableText:
    """The text of one file with a table. `opened` opens it from its start, each time it is called.

    `head` has what stands before the rows; `blocks` goes through the rows; then it has the keys behind them, too. Where the
    names of the columns stand behind them, all is read at once, unless `look_behind` is false. Holds one block, at least a
    megabyte of text and at most one row, beside its decoded rows.
    """

    def __init__(self, opened: Callable[[], BinaryIO], path: str, *, look_behind: bool = True) -> None:
        self._opened, self._path = opened, path
        self.head: dict[str, Any] = {}
        """The keys of the table but `data`; those behind the rows come when the rows have been read."""
        self.has_rows = False
        """Whether there is a list under `data`."""
        self.problems: list[Problem] = []
        """What is wrong outside of the rows."""
        self._duplicates = _Duplicates()
        # What `raw_decode` calls, without its price for each call.
        self._scan: _Scan = vars(json.JSONDecoder(object_pairs_hook=self._duplicates.make))["scan_once"]
        self._scan_plain: _Scan = vars(json.JSONDecoder())["scan_once"]
        self._read_rows: ReadRows | None = None
        self._kept: tuple[Block, Iterator[Block]] | None = None
        with self._stream() as stream:
            self._read_head(stream)
            if self.has_rows and "columns" not in self.head and look_behind:
                for _ in self._blocks(stream):
                    pass

    @contextmanager
    def _stream(self) -> Iterator[_Stream]:
        with self._opened() as file:
            yield _Stream(file, self._path)

    def first_block(self) -> Block | None:
        """The first rows; None where there are none. The next call of `blocks` goes on from here, and reads them no more."""
        rest = self.blocks()
        block = next(rest, None)
        self._kept = None if block is None else (block, rest)
        return block

    def blocks(self, read: ReadRows | None = None) -> Iterator[Block]:
        """The rows, from the first; those that `read` takes by column. May be called again."""
        self._read_rows = read
        kept, self._kept = self._kept, None
        if kept is not None:
            yield kept[0]
            yield from kept[1]
        elif self.has_rows:
            with self._stream() as stream:
                self._read_head(stream)
                yield from self._blocks(stream)

    # Around the rows

    def _read_head(self, stream: _Stream) -> None:
        """The keys up to `data`; the stream is left behind the bracket that opens the rows."""
        size = _BLOCK
        while True:
            stream.fill(size)
            try:
                found, end = self._members(stream.text, stream.is_over)
                break
            except _NeedMoreError:
                size *= 2
                if size > MAX_HEAD_BYTES:
                    raise LimitError(
                        message(
                            "reading a table",
                            path=self._path,
                            expected=f"at most {MAX_HEAD_BYTES} bytes before its rows",
                            got="more",
                        )
                    ) from None
        self._note_duplicates("")
        self.head.update(found)
        self.has_rows = end is not None
        if end is not None:
            stream.drop(end)

    def _members(self, text: str, is_over: bool) -> tuple[dict[str, Any], int | None]:
        """The members of the object up to `data`, and where its rows begin; None where there are none."""
        place = _SPACE.match(text, 1 if text.startswith("\ufeff") else 0).end()  # type: ignore[union-attr]  # matches nothing, too
        if text[place : place + 1] != "{":
            got = repr(text[place : place + 40]) if text[place:] else "nothing"
            raise FormatError(message("reading a table", path=self._path, expected="a JSON object", got=got))
        return self._members_from(text, place + 1, is_over)

    def _members_from(self, text: str, place: int, is_over: bool) -> tuple[dict[str, Any], int | None]:
        found: dict[str, Any] = {}
        while True:
            place = _BETWEEN.match(text, place).end()  # type: ignore[union-attr]
            if text[place : place + 1] == "}":
                return found, None
            key, place = self._value(text, place, is_over)
            if not isinstance(key, str):
                raise FormatError(message("reading a table", path=self._path, expected="a key", got=repr(key)[:60]))
            place = _SPACE.match(text, place).end()  # type: ignore[union-attr]
            if text[place : place + 1] != ":":
                if not is_over and place + 1 >= len(text):
                    raise _NeedMoreError
                raise FormatError(
                    message(
                        "reading a table",
                        path=self._path,
                        expected=f"':' behind the key {key!r:.60}",
                        got=repr(text[place : place + 20]),
                    )
                )
            place = _SPACE.match(text, place + 1).end()  # type: ignore[union-attr]
            if key == "data" and text[place : place + 1] == "[":
                return found, place + 1
            value, place = self._value(text, place, is_over)
            if not is_over and place + 1 >= len(text):
                raise _NeedMoreError  # a number may go on
            if key in found:
                self._duplicates.keys.append(key)
            found[key] = value

    def _value(self, text: str, place: int, is_over: bool) -> tuple[Any, int]:
        try:
            value: tuple[Any, int] = self._scan(text, place)
        except (ValueError, StopIteration, RecursionError) as error:
            if not is_over and not isinstance(error, RecursionError):
                raise _NeedMoreError from None
            raise FormatError(
                message("reading a table", path=self._path, expected="JSON", got=_fault(error))
            ) from error
        return value

    def _read_tail(self, stream: _Stream) -> None:
        """The keys behind the rows."""
        if stream.is_given_up:
            return
        stream.fill(MAX_HEAD_BYTES)
        try:
            found, _ = self._members_from(stream.text, 0, True)
        except FormatError:
            self._note(
                self.problems, Problem(self._path, "the file is damaged or cut off behind its rows", "truncated")
            )
            return
        self._note_duplicates("")
        self.head.update({key: value for key, value in found.items() if key not in self.head})

    def _note_duplicates(self, place: str) -> None:
        for key in self._duplicates.take():
            self._note(
                self.problems,
                Problem(place or self._path, f"the key {key!r} stands twice; the last one counts", "duplicate-key"),
            )

    @staticmethod
    def _note(problems: list[Problem], problem: Problem) -> None:
        if len(problems) < _PROBLEMS and problem not in problems:
            problems.append(problem)

    # The rows

    def _blocks(self, stream: _Stream) -> Iterator[Block]:
        number, by_row, is_done = 0, False, False
        while not is_done:
            stream.fill(_BLOCK)
            block = Block(number, [])
            if not by_row:
                by_row = not self._parse_cut(stream, block)
            if not block.count:
                is_done = self._parse_rows(stream, block)
            if stream.is_odd:
                stream.is_odd = False
                block.problems.append(
                    Problem(
                        f"row {number}", "bytes that are not UTF-8, in this row or one of those behind it", "encoding"
                    )
                )
            number += block.count
            if block.count or block.problems:
                yield block
        self._read_tail(stream)

    def _parse_cut(self, stream: _Stream, block: Block) -> bool:
        """The rows up to the last place that looks like the end of one; false where it is none."""
        text = stream.text
        if stream.is_over and len(text) < _BLOCK // 8:
            return True  # the end is met row by row
        cut = text.rfind("], [")
        cut = text.rfind("],[") if cut < 0 else cut
        if cut < 0:
            return False
        if self._read_rows is not None:
            block.columns = self._read_rows(text[: cut + 1])
        try:
            with paused_collector():
                is_one = block.columns is not None or self._parse_piece(f"[{text[: cut + 1]}]", block)
        except (ValueError, StopIteration, RecursionError):
            self._duplicates.take()
            return False
        if is_one:
            stream.drop(text.index(",", cut) + 1)
        return is_one

    def _parse_piece(self, piece: str, block: Block) -> bool:
        """The list of rows that is the whole of `piece`; false where it is none, or a key stands twice."""
        rows, end = self._scan_plain(piece, 0)
        if "{" in piece and _members_of(rows) != piece.count(":"):
            rows, end = self._scan(piece, 0)
        if end != len(piece) or self._duplicates.take():
            return False
        block.rows = rows
        return True

    def _parse_rows(self, stream: _Stream, block: Block) -> bool:
        """Rows one by one, a block of them at most; whether the last one was met."""
        place, scan, rows, text = 0, self._scan, block.rows, stream.text
        last = len(text)
        with paused_collector():
            while True:
                place = _BETWEEN.match(text, place).end()  # type: ignore[union-attr]
                if text[place : place + 1] == "]":
                    stream.drop(place + 1)
                    return True
                fault: BaseException | None = None
                try:
                    row, end = scan(text, place)
                    is_whole = end < last or stream.is_over
                except (ValueError, StopIteration, RecursionError) as error:
                    is_whole, fault = False, error
                if is_whole:
                    rows.append(row)
                    for key in self._duplicates.take():
                        self._note(
                            block.problems,
                            Problem(
                                f"row {block.first + len(rows) - 1}",
                                f"the key {key!r} stands twice; the last one counts",
                                "duplicate-key",
                            ),
                        )
                    place = end
                    continue
                self._duplicates.take()
                if rows and not stream.is_over:
                    stream.drop(place)
                    return False
                after = _end_of_value(text, place)
                if after is None or fault is None:
                    if not stream.is_over and len(text) - place < MAX_ROW_BYTES:
                        stream.drop(place)
                        stream.fill(2 * (last - place) + _BLOCK)
                        place, text, last = 0, stream.text, len(stream.text)
                        continue
                    self._give_up(stream, block, text[place:])
                    return True
                number = block.first + len(rows)
                self._note(block.problems, Problem(f"row {number}", f"not readable: {_fault(fault)}", "row"))
                rows.append(None)
                place = after

    def _give_up(self, stream: _Stream, block: Block, rest: str) -> None:
        number = block.first + len(block.rows)
        if not stream.is_over:
            got = f"a row of more than {MAX_ROW_BYTES} bytes"
        elif rest.strip():
            got = "the file is damaged or ends in this row"
        else:
            got = "the file ends here, without an end of its rows"
        block.problems.append(Problem(f"row {number}", f"{got}; rows from here on are lost", "truncated"))
        stream.drop_all()


class _NeedMoreError(Exception):
    """The text at hand ends within a value."""


class _Stream:
    """A file as text, of which the front is dropped when it is done with."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        self._file, self._path = file, path
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self.text = ""
        self.is_over = False
        self.is_odd = False
        """Whether bytes were met that are not UTF-8."""
        self.is_given_up = False

    def fill(self, size: int) -> None:
        """Read on until `text` has `size` characters, or the file is over."""
        pieces, length = [self.text], len(self.text)
        while length < size and not self.is_over:
            data = self._file.read(_READ)
            self.is_over = not data
            piece = self._decoder.decode(data, final=self.is_over)
            if not piece.isascii() and _ESCAPED_BYTE.search(piece):
                self.is_odd = True
            pieces.append(piece)
            length += len(piece)
        if len(pieces) > 1:
            self.text = "".join(pieces)

    def drop(self, count: int) -> None:
        """Forget the first `count` characters."""
        self.text = self.text[count:]

    def drop_all(self) -> None:
        """Forget everything, and read no more."""
        self.text, self.is_over, self.is_given_up = "", True, True


def _end_of_value(text: str, place: int) -> int | None:
    """Where the list or object that begins at `place` ends, whatever stands in it; None where that is not in `text`."""
    depth = 0
    for token in _TOKEN.finditer(text, place):
        first = text[token.start()]
        if first == '"':
            if not token[1]:
                return None  # the text ends in it
        elif first in "[{":
            depth += 1
        else:
            depth -= 1
            if depth <= 0:
                return token.end() if depth == 0 else None
    return None


def _fault(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "values nested too deeply"
    if isinstance(error, StopIteration):
        return "no value where one should stand"
    return str(error)[:200]
