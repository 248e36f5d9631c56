"""The blocks of spec/recipe.md: each is bash that parses; `tests/test_recipe.py` runs them in order, on a store."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from tableformat.errors import FormatError


def check_bash(data: bytes) -> None:
    """Raise `FormatError` where bash does not parse the block."""
    done = subprocess.run(["bash", "-n"], input=data, capture_output=True, check=False)
    if done.returncode:
        raise FormatError(done.stderr.decode())


CASE_KINDS: dict[str, Callable[[bytes], object]] = {"recipe": check_bash}
