"""Small stores and small writers for scripted collections: a version is a root and one blob."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from tableformat.digest import digest_of
from tableformat.document import decode_document
from tableformat.entries import file_fields, item_of
from tableformat.errors import ConflictError
from tableformat.format.manifest import Manifest, content_of
from tableformat.storage.collect.collector import GRACE_S, Collector, GcReport
from tableformat.storage.collect.marks import artifact_names, live_versions_of
from tableformat.storage.collect.reach import Reach
from tableformat.storage.interface import Backend
from tableformat.storage.locations import DATA, blob_uri
from tableformat.storage.manifests import root_path, write_items, write_root
from tableformat.storage.sessions import WriterSession
from tableformat.storage.versions import Slot, VersionFile, Versions
from tests.storage.collect.scripted import ScriptedBackend, World

TIME = "2026-11-22T09:00:00.000000Z"
BLOB = b"the same bytes again"
URI = blob_uri(hashlib.sha256(BLOB).hexdigest())


def body_of(backend: Backend, data: bytes) -> VersionFile:
    """The body of a version with one file entry; its root is written."""
    uri = blob_uri(hashlib.sha256(data).hexdigest())
    place = {"uri": uri, "offset": 0, "size": len(data)}
    fields = file_fields(digest_of(data), len(data), "text/plain", "x", place)
    item = item_of("x", "file", digest_of(data), fields)
    content = content_of("dataset", "{}", [("x", "file", digest_of(data))])
    digest, root = write_root(backend, Manifest("dataset", "{}", content, write_items(backend, [item])))
    return VersionFile(root=digest, root_size=len(root), time=TIME, inline=decode_document(root, "root"))


def put_blob(backend: Backend, data: bytes) -> None:
    """A blob and its sums, as a writer stores them."""
    uri = blob_uri(hashlib.sha256(data).hexdigest())
    backend.put(f"{DATA}{uri}.sums", hashlib.sha256(data).digest())
    backend.put(f"{DATA}{uri}", data)


class Writer:
    """A writer of one version, that looks for the blob before it stores it, or not; with None it takes it over from an earlier
    version and does neither."""

    def __init__(self, world: World, name: str = "new", *, looks: bool | None = True, data: bytes = BLOB) -> None:
        self.backend = ScriptedBackend(world)
        self.session = WriterSession(self.backend, name)
        self.name, self.looks, self.data = name, looks, data
        self.committed = False

    def sleeps_with(self, sleep: Callable[[float], None]) -> None:
        self.session._watch._sleep = sleep

    def begin(self) -> None:
        self.session.begin()

    def write(self) -> None:
        """Everything after `begin`."""
        there = self.session.backend
        uri = blob_uri(hashlib.sha256(self.data).hexdigest())
        if self.looks is None:
            if self.backend.size(DATA + uri) is None:
                raise ConflictError("the earlier version is gone")
        elif not self.looks or there.size(DATA + uri) is None or there.size(f"{DATA}{uri}.sums") is None:
            put_blob(there, self.data)
        self.session.publish(Versions(self.backend, self.name), body_of(there, self.data), _always)
        self.committed = True
        self.session.end()

    def __call__(self) -> None:
        self.begin()
        self.write()


def _always(body: VersionFile, head: Slot | None) -> VersionFile | None:
    return body


def collect(world: World) -> GcReport:
    """One call of a collector, by the clock of the world."""
    return Collector(ScriptedBackend(world), clock=lambda: world.now, elapsed=lambda: world.now).run()


def old_garbage() -> World:
    """A store with a version, and the blob of another one that was deleted, all older than the time of grace."""
    world = World()
    backend = ScriptedBackend(world)
    backend.put(
        "tableformat.json",
        b'{"format":"tableformat","requires":{"read":[],"write":[]},"store":"9f86d081884c7d659a2feaa0c55ad015","version":1}',
    )
    for name, data in (("kept", b"other bytes"), ("gone", BLOB)):
        put_blob(backend, data)
        Versions(backend, name).commit(body_of(backend, data))
    Versions(backend, "gone").expire(0)
    world.now += GRACE_S + 10
    return world


def planned() -> World:
    """The same, with a plan that condemns the blob, and old enough to be carried out."""
    world = old_garbage()
    assert collect(world).state == "planned"
    world.now += GRACE_S + 10
    return world


def damage(world: World) -> list[str]:
    """What versions name and is not there; in a right store nothing."""
    backend = ScriptedBackend(world.copy())
    found = []
    for name in artifact_names(backend):
        for version in live_versions_of(backend, name):
            found += [
                f"{name}:v{version.slot} {path}"
                for path in Reach(backend).paths(version.root, version.inline)
                if not path.startswith("moved/") and backend.size(path) is None
            ]
    return found


def has_blob(world: World) -> bool:
    return DATA + URI in world.objects


__all__ = [
    "BLOB",
    "URI",
    "Writer",
    "body_of",
    "collect",
    "damage",
    "has_blob",
    "old_garbage",
    "planned",
    "put_blob",
    "root_path",
]
