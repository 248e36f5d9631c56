"""What all tests share: how hard Hypothesis tries, the places a store may lie, the digits, and which tests are too long.

HYPOTHESIS_PROFILE=nightly python -m pytest --long      everything there is
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from hypothesis import HealthCheck, settings

# A newcomer's first run is short and its failures repeat; a nightly run looks for what is rare.
# No deadline: on a busy machine the first example of a test may wait for imports.
_QUIET = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("default", max_examples=25, deadline=None, suppress_health_check=_QUIET, derandomize=True)
settings.register_profile("ci", max_examples=100, deadline=None, suppress_health_check=_QUIET)
settings.register_profile("nightly", max_examples=2000, deadline=None, suppress_health_check=_QUIET)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--long` runs the tests that take minutes, too."""
    parser.addoption("--long", action="store_true", help="run the tests that take minutes, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked `long`, unless asked for by `--long` or by an expression of `-m`."""
    if config.getoption("--long") or config.getoption("-m"):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.fixture(params=["local", "memory"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a place where no store lies yet: a local folder, then memory. Emptied afterwards."""
    if request.param == "local":
        yield str(tmp_path / "store")
        return
    name = f"store-{uuid.uuid4().hex}"
    yield f"memory://{name}"
    memory = fsspec.filesystem("memory")
    if memory.exists(f"/{name}"):
        memory.rm(f"/{name}", recursive=True)


@pytest.fixture(scope="session")
def digits() -> Path:
    """The folder of the handwritten digits: `<class>/<number>.png`, 600 of them. Read only."""
    return ROOT / "examples" / "digits" / "images"
