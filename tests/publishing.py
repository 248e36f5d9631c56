"""Versions as another writer may have made them: any entries, any required features."""

from __future__ import annotations

from typing import Any

import tableformat
from tableformat.document import decode_document
from tableformat.entries import content_of_item
from tableformat.format.documents import Requires
from tableformat.format.item_list import ItemList
from tableformat.format.manifest import Manifest, content_of
from tableformat.storage.manifests import write_root
from tableformat.storage.versions import VersionFile

__all__ = ["TIME", "Requires", "publish"]

TIME = "2026-11-22T09:00:00.000000Z"


def publish(store: tableformat.Store, name: str, items: list[dict[str, Any]], requires: Requires | None = None) -> None:
    """Commit a version of these entries, whatever they are."""
    context = store.context
    context.ensure()
    content = content_of("dataset", "{}", [(item["name"], item["kind"], content_of_item(item)) for item in items])
    digest, data = write_root(context.backend, Manifest("dataset", "{}", content, ItemList(len(items), tuple(items))))
    body = VersionFile(digest, len(data), TIME, inline=decode_document(data, "root"), requires=requires or Requires())
    context.versions(name).commit(body)
