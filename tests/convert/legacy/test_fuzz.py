"""Mutated files of the fixtures: whatever they hold, a conversion ends in a value or in an error of ours."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
import pytest

import tableformat
from benchmarks import harness
from tableformat.convert.legacy.artifact import ArtifactJob
from tableformat.convert.legacy.cells import plan_column
from tableformat.convert.legacy.folder import Folder, check_relative, open_folder
from tableformat.convert.legacy.manifest import read_manifest
from tableformat.convert.legacy.profile import Profile
from tableformat.convert.legacy.report import ArtifactReport
from tableformat.convert.legacy.source import Library, SourceArtifact
from tableformat.convert.legacy.text import TableText
from tableformat.convert.legacy.types import Declared, declared_columns
from tableformat.errors import NotFoundError, TableformatError
from tests.convert.legacy.legacy import LEGACY

TOKENS = (
    b"null", b"NaN", b"-Infinity", b"1e999", b"18446744073709551616", b"-9223372036854775809", b"1" * 400, b"[]", b"{}", b"[[[[", b"]]]]", b'"',
    b"\\ud800", b"\\u0000", b"\xff", b'"../../etc/passwd"', b'"C:\\\\x"', b'"/etc/passwd"', b'"_type"', b'"image-file"', b'"table"', b"true", b"0.1", b", ", b": ",
    b"[" * 2000, b'{"a":' * 2000, b"\x80\x02cos\nsystem\n", b"-1", b'"wandb-artifact://41/x"',
)  # fmt: skip


class Overlay(Folder):
    """A folder in which some files hold other bytes."""

    def __init__(self, base: Folder, changed: dict[str, bytes]) -> None:
        self.root, self._base, self._changed = base.root, base, changed

    def size(self, path: str) -> int | None:
        return len(self._changed[path]) if path in self._changed else self._base.size(path)

    def open(self, path: str) -> BinaryIO:
        check_relative(path)
        return io.BytesIO(self._changed[path]) if path in self._changed else self._base.open(path)

    def files(self) -> Iterator[tuple[str, int | None]]:
        for path, size in self._base.files():
            yield path, len(self._changed[path]) if path in self._changed else size

    def folders(self) -> list[str]:
        return self._base.folders()

    def below(self, name: str) -> Folder:
        return self._base.below(name)

    def beside(self) -> Folder | None:
        above = self._base.beside()
        return None if above is None else Overlay(above, self._changed)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """`data` with one to four changes."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(data) + 1)
        to = min(len(data), at + rng.choice((1, 1, 2, 8, 64)))
        kind = rng.randrange(6)
        if kind == 0:
            data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at] + data[to:]
        elif kind == 2:
            data = data[:at] + data[at:to] + data[at:]
        elif kind == 3:
            data = data[:at]
        elif kind == 4:
            data = data[:at] + rng.choice(TOKENS) + data[at:]
        else:
            data = data[:at] + rng.choice(TOKENS) + data[to:]
    return data


def targets() -> list[tuple[str, str]]:
    """Artifacts and the files in them, or their manifests, that are changed: all but pictures, of which a few are enough."""
    found = []
    for artifact in sorted(LEGACY.glob("*/artifacts/*/")):
        paths = [path for path in sorted(artifact.rglob("*")) if path.is_file()]
        pictures = [path for path in paths if path.suffix in (".png", ".jpg")]
        chosen = [path for path in paths if path not in pictures] + pictures[:2]
        found += [(str(artifact), str(path.relative_to(artifact))) for path in chosen]
        found.append((str(artifact), f"{artifact.name}.wandb_manifest.json"))
    return found


def convert_mutated(
    root: str, path: str, store: tableformat.Store, rng: random.Random
) -> ArtifactReport | TableformatError:
    """One conversion of an artifact with one changed file; its report, or the error it ended in."""
    base = open_folder(root)
    above = base.beside()
    assert above is not None
    data = above.read(path) if path.endswith(".wandb_manifest.json") else base.read(path)
    report = ArtifactReport("fuzz:v0")
    try:
        artifact = SourceArtifact.open(Overlay(base, {path: mutated(data, rng)}))
        with store.draft("fuzz") as draft:
            only = path if path.endswith("table.json") and rng.random() < 0.8 else None
            ArtifactJob(artifact, Library([artifact]), draft, report, lambda count: None, only).run()
            if rng.random() < 0.2:
                draft.commit()
            else:
                draft.discard()
    except TableformatError as error:
        return error
    return report


@pytest.fixture
def store() -> Iterator[tableformat.Store]:
    name = f"fuzz-{uuid.uuid4().hex}"
    yield tableformat.open_store(f"memory://{name}")
    memory = fsspec.filesystem("memory")
    if memory.exists(f"/{name}"):
        memory.rm(f"/{name}", recursive=True)


def run(store: tableformat.Store, count: int, seed: int) -> tuple[int, int]:
    """How many conversions ended in a report, and how many in an error."""
    places, ended = targets(), {True: 0, False: 0}
    for number in range(count):
        rng = random.Random(f"{seed}-{number}")
        root, path = rng.choice(places)
        try:
            outcome = convert_mutated(root, path, store, rng)
        except NotFoundError:
            raise
        except Exception as error:
            raise AssertionError(f"seed {seed}-{number}: {path} of {root}") from error
        ended[isinstance(outcome, ArtifactReport)] += 1
    return ended[True], ended[False]


def test_mutated_files(store: tableformat.Store) -> None:
    """Each of a hundred changed files is converted or refused with an error of ours. [LEGACY-16]"""
    reports, errors = run(store, 100, 1)
    assert reports + errors == 100
    assert reports > 30


def test_mutated_texts() -> None:
    """Each of 300 changed texts of tables is read to its end, or refused with an error of ours; so is each manifest."""
    paths = sorted(LEGACY.rglob("*.table.json"))
    manifests = sorted(LEGACY.rglob("*.wandb_manifest.json"))
    ended = 0
    for number in range(300):
        rng = random.Random(f"text-{number}")
        data = mutated(rng.choice(paths).read_bytes(), rng)
        with contextlib.suppress(TableformatError):
            text = TableText(lambda data=data: io.BytesIO(data), "t")
            for block in text.blocks():
                decode_block(block.rows, text.head)
        with contextlib.suppress(TableformatError):
            read_manifest(mutated(rng.choice(manifests).read_bytes(), rng), "m")
        ended += 1
    assert ended == 300


def decode_block(rows: list[Any], head: dict[str, Any]) -> None:
    """Every column of a block by its plan."""
    whole = [row for row in rows if isinstance(row, list)]
    types = declared_columns(head.get("column_types"))
    for index in range(max(map(len, whole), default=0)):
        cells = [row[index] if index < len(row) else None for row in whole]
        names = head.get("columns")
        name = str(names[index]) if isinstance(names, list) and index < len(names) else ""
        profile = Profile(types.get(name, Declared()))
        profile.observe(cells)
        plan = plan_column(profile)
        if not plan.has_media:
            assert len(plan.array(cells)) == len(plan.python(cells)) == len(cells)


@pytest.mark.long
def test_many_mutated_files(store: tableformat.Store) -> None:
    """Each of 20,000 changed files is converted or refused with an error of ours. Where `TABLEFORMAT_RESULTS` names a folder, the
    counts are written there (benchmarks/results/legacy_fuzz.json is such a file)."""
    start = time.monotonic()
    reports, errors = run(store, 20_000, 2)
    assert reports + errors == 20_000
    if folder := os.environ.get("TABLEFORMAT_RESULTS"):
        told = {
            "benchmark": "legacy_fuzz", "date": datetime.now(UTC).isoformat(timespec="seconds"), "seed": 2, "inputs": 20_000,
            "ended_in_a_report": reports, "ended_in_an_error_of_ours": errors, "ended_otherwise": 0,
            "seconds": round(time.monotonic() - start), "machine": harness.describe_machine(),
            "versions": harness.describe_versions(), "commit": harness.describe_commit(),
        }  # fmt: skip
        (Path(folder) / "legacy_fuzz.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
