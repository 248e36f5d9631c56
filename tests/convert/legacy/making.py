"""Legacy artifacts made by hand, for what no fixture shows."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

import tableformat

PNG = tableformat.Image(np.zeros((4, 5, 3), np.uint8)).bytes()


def image_cell(path: str, data: bytes = PNG, **more: Any) -> dict[str, Any]:
    return {
        "_type": "image-file",
        "path": path,
        "sha256": hashlib.sha256(data).hexdigest(),
        "format": "png",
        "width": 5,
        "height": 4,
        **more,
    }


def table_text(columns: list[Any], data: list[list[Any]], types: dict[str, Any] | None = None, **more: Any) -> bytes:
    value: dict[str, Any] = {
        "_type": "table",
        "columns": columns,
        "data": data,
        "ncols": len(columns),
        "nrows": len(data),
        **more,
    }
    if types is not None:
        value["column_types"] = {"wb_type": "typedDict", "params": {"type_map": types}}
    return json.dumps(value, sort_keys=True).encode()


def entry(data: bytes, **more: Any) -> dict[str, Any]:
    return {
        "digest": base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode(),
        "size": len(data),
        **more,
    }


def make(
    root: Path, files: dict[str, bytes], refs: dict[str, dict[str, Any]] | None = None, *, manifest: bool = True
) -> Path:
    """An artifact of these files at `root`, with its manifest beside it."""
    for path, data in files.items():
        full = root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(data)
    if manifest:
        contents = {**{path: entry(data) for path, data in files.items()}, **(refs or {})}
        document = {"version": 1, "storagePolicy": "wandb-storage-policy-v1", "contents": contents}
        (root.parent / f"{root.name}.wandb_manifest.json").write_text(json.dumps(document))
    return root
