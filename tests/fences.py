"""The fenced blocks and requirement marks of Markdown files. Standard library only: `.ci/run` uses it before anything is installed.

    python tests/fences.py README.md command      prints the body of every fence with kind="command", one per line

The first word of an info string is for the highlighter; the rest are attributes, `name="value"`, read here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ATTRIBUTES = frozenset({"case", "kind", "result", "covers", "untested"})
"""What an info string may say: name of the case, what decodes it, the result, the requirements it covers, why it is no case."""

_OPENING = re.compile(r"^(?P<indent> {0,3})(?P<ticks>`{3,}|~{3,})(?P<info>[^`]*)$")
_ATTRIBUTE = re.compile(r'\s+([a-z]+)="([^"]*)"')
_MARK = re.compile(r"\[([A-Z][A-Z0-9]*(?:-[A-Z][A-Z0-9]*)*-[0-9]+)\](?!\()")
_CODE = re.compile(r"`(?!\[[A-Z])[^`]*`")
_BLOCK = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*+]|[0-9]+[.)])\s)|\n(?=\|)")


@dataclass(frozen=True, slots=True)
class Fence:
    """One fenced block."""

    path: Path
    """The Markdown file."""
    line: int
    """Where the opening fence stands, from 1."""
    language: str
    """The first word of the info string, or nothing."""
    attributes: dict[str, str]
    """The rest of the info string."""
    problems: tuple[str, ...]
    """What is wrong with the info string."""
    body: str
    """The lines between the fences, joined by newlines and without one at the end."""

    @property
    def place(self) -> str:
        """`spec/pack.md:12`, for messages."""
        return f"{'/'.join(self.path.parts[-2:])}:{self.line}"

    @property
    def case(self) -> str:
        """The name of the case, or nothing."""
        return self.attributes.get("case", "")

    @property
    def kind(self) -> str:
        """What the case is run by, or nothing."""
        return self.attributes.get("kind", "")

    @property
    def covers(self) -> tuple[str, ...]:
        """The ids of the requirements that the case covers."""
        return tuple(re.split(r"[,\s]+", self.attributes["covers"].strip())) if self.attributes.get("covers") else ()


def split_markdown(path: Path) -> tuple[str, list[Fence]]:
    """The prose of the file without its fences (line count kept), and the fences in order."""
    prose: list[str] = []
    fences: list[Fence] = []
    opened: tuple[int, re.Match[str]] | None = None
    body: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if opened is None:
            match = _OPENING.match(line)
            if match is None:
                prose.append(line)
                continue
            opened, body = (number, match), []
        else:
            start, match = opened
            closing = line.strip()
            if len(closing) >= len(match["ticks"]) and set(closing) == {match["ticks"][0]}:
                fences.append(_fence(path, start, match["info"], "\n".join(body)))
                opened = None
            else:
                indent = len(match["indent"])
                body.append(line[indent:] if line[:indent].isspace() else line)
        prose.append("")
    if opened is not None:
        start, match = opened
        fences.append(_fence(path, start, match["info"], "\n".join(body), "the fence is never closed"))
    return "\n".join(prose), fences


def _fence(path: Path, line: int, info: str, body: str, *problems: str) -> Fence:
    words = re.match(r"\s*(\S*)(.*)$", info)
    assert words is not None  # the pattern matches any line
    pairs = _ATTRIBUTE.findall(words[2])
    found = list(problems)
    if rest := _ATTRIBUTE.sub("", words[2]).strip():
        found.append(f'{rest!r} is no attribute of the form name="value"')
    names = [name for name, _ in pairs]
    found += [f"the attribute {name} is unknown" for name in names if name not in ATTRIBUTES]
    found += [
        f"the attribute {name} stands twice" for name in sorted({name for name in names if names.count(name) > 1})
    ]
    return Fence(path, line, words[1], dict(pairs), tuple(found), body)


def _blocks(prose: str) -> list[str]:
    """Paragraphs, list items and rows; without those that say what the words mean, which name RFC 2119."""
    return [block for block in _BLOCK.split(prose) if "RFC 2119" not in block]


def iter_requirements(prose: str) -> Iterator[str]:
    """The ids of the requirements in the prose, in order: `[PACK-3]` behind a sentence with MUST."""
    for block in _blocks(prose):
        for match in _MARK.finditer(block):
            yield match[1]


def find_unmarked(prose: str) -> list[str]:
    """The blocks of prose (paragraphs, list items, rows) in which a MUST has no mark behind it. MUST in code is prose about the word."""
    found: list[str] = []
    for block in _blocks(prose):
        tail = _MARK.split(_CODE.sub("", block))[-1]
        if re.search(r"\bMUST\b", tail):
            found.append(" ".join(block.split()))
    return found


def main(arguments: list[str]) -> int:
    """Print the bodies of the fences of one kind in one file."""
    path, kind = arguments
    bodies = [fence.body for fence in split_markdown(Path(path))[1] if fence.kind == kind]
    for body in bodies:
        print(body)
    return 0 if bodies else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
