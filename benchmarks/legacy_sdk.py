"""`Artifact.get` of the SDK whose artifacts are converted, on files that lie here already: a program of its own, run by any
Python that has the SDK.

    python legacy_sdk.py FOLDER TABLE      prints the seconds of the second `get`, and the rows

The artifact is the one in FOLDER, with its manifest beside it. Its server is answered for: what it would be asked for are the URLs of
files, which nobody fetches, since the files are there. The first `get` fills the SDK's own cache of checksums.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any


def main(root: Path, name: str) -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.update(WANDB_MODE="offline", WANDB_CACHE_DIR=f"{scratch}/cache", WANDB_DATA_DIR=f"{scratch}/data")
        os.chdir(scratch)
        for _ in range(2):
            artifact = opened(root)
            start = time.perf_counter()
            table = artifact.get(name)
            seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "rows": len(table.data)}))


def opened(root: Path) -> Any:
    """The artifact as the SDK has it after a login."""
    from wandb.sdk.artifacts.artifact import Artifact
    from wandb.sdk.artifacts.artifact_manifest import ArtifactManifest
    from wandb.sdk.artifacts.artifact_state import ArtifactState

    artifact: Any = Artifact("images", "dataset")
    document = json.loads(root.with_name(f"{root.name}.wandb_manifest.json").read_text())
    artifact._manifest = ArtifactManifest.from_manifest_json(document)
    for entry in artifact._manifest.entries.values():
        entry._parent_artifact = artifact
    artifact._state = ArtifactState.COMMITTED
    artifact._default_root = lambda include_version=True: str(root)
    names = list(artifact._manifest.entries)

    def page(cursor: str | None = None, per_page: int = 5000) -> Any:
        start = int(cursor or 0)
        end = start + per_page
        edges = [SimpleNamespace(node=SimpleNamespace(name=one, direct_url=None)) for one in names[start:end]]
        return SimpleNamespace(
            page_info=SimpleNamespace(has_next_page=end < len(names), end_cursor=str(end)), edges=edges
        )

    artifact._fetch_file_urls = page
    return artifact


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2])
