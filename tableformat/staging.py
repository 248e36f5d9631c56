"""What a draft is writing: open tables, media and files that wait for the name of their pack, class sets.

Objects become entries in two steps. Their bytes are stored when they are added; the entry, which says where the bytes lie,
is made by `settle`, when every pack has its name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import pyarrow as pa

from tableformat.artifact import manifest_of, open_item
from tableformat.context import StoreContext
from tableformat.digest import PREFIX
from tableformat.document import JsonObject
from tableformat.entries import INLINE_DOCUMENT_BYTES, classes_fields, file_fields, media_fields
from tableformat.errors import InvalidInputError, UsageError, message
from tableformat.format.manifest import Manifest, TableEntry, needs_of
from tableformat.format.media import Classes, File, Media
from tableformat.format.schema import Schema
from tableformat.format.types import ClassType, MediaType, walk
from tableformat.resumable import NamedSession, shape_of
from tableformat.storage.blobs import BlobReport, BlobWriter, Placed
from tableformat.storage.interface import Backend
from tableformat.storage.manifests import find_item, iter_items, write_items
from tableformat.storage.sessions import WriterSession
from tableformat.storage.versions import Input
from tableformat.table.build import build_columns
from tableformat.table.edit.append import Following, append_options, appended, class_digests
from tableformat.table.inference import TableInference
from tableformat.table.joined import JoinedTable
from tableformat.table.joined_entry import document_of
from tableformat.table.media_placer import MediaPlacer
from tableformat.table.reuse import kept_objects, stored_files, total_reused
from tableformat.table.sealing import Sealer
from tableformat.table.source import input_of
from tableformat.table.sources import is_rows
from tableformat.table.table import Table
from tableformat.table.writer import TableOptions, TableWriter, WrittenTable

__all__ = ["Dedup", "Staging"]

Dedup = Literal["store", "artifact", "none"]
Settle = Callable[[str, str, str, JsonObject], None]
"""Takes an entry that is complete: name, kind, content digest, fields."""
_CLASSES_FOLDER: Final = "classes/"


@dataclass(frozen=True, slots=True)
class _WaitingBlob:
    """An object whose bytes are stored and whose place is known when the pack has a name."""

    placed: Placed
    make: Callable[[JsonObject], tuple[str, str, JsonObject]]
    """From its place to kind, content digest and fields."""


@dataclass(frozen=True, slots=True)
class _WaitingMedia:
    kind: str
    schema: Schema
    row: list[pa.Array]
    placer: MediaPlacer


class Staging:
    """The writing side of one draft. `settle` is called once; `abort` any number of times."""

    def __init__(
        self, context: StoreContext, artifact: str, dedup: Dedup, settle: Settle, base_items: Mapping[str, JsonObject],
        named: NamedSession | None = None,
    ) -> None:  # fmt: skip
        self.session: WriterSession = named or WriterSession(context.backend, artifact, context.ensure)
        self._named = named
        # As the session sees the store: without what a collection condemns.
        self._context = context.with_backend(self.session.backend)
        self._artifact, self._dedup, self._settle_entry = artifact, dedup, settle
        self._base_items = base_items
        self._newest_items: Callable[[str], JsonObject | None] | None = None
        self._blobs: BlobWriter | None = None
        self._blob_report = BlobReport()
        self._writers: dict[str, TableWriter] = {}
        self._waiting: dict[str, _WaitingBlob | _WaitingMedia] = {}
        self._given: dict[str, Any] = {}
        self._tables_given: dict[str, Any] = {}  # the objects of tables, by which joined tables name their sides
        self._tables: dict[str, JsonObject] = {}
        self._written: dict[str, WrittenTable] = {}
        self._part_bytes: dict[str, int] = {}
        self._edited_rows: dict[str, int] = {}
        self._appending: dict[str, TableEntry] = {}  # what writers append to
        self._append_rejects: dict[str, tuple[tuple[int, str, str], ...]] = {}
        self._classes: dict[str, Classes] = {}
        self._named_classes: dict[str, str] = {}  # digest by name of entry
        self._sources: dict[tuple[str, str], Input] = {}
        self.open_name: Callable[[str], Any] = self._given.__getitem__
        """Opens an entry of the draft, the ones that it inherited included; set by the draft."""
        self.inherited: Callable[[str], JsonObject | None] = lambda _: None
        """The entry of the base that still stands in the draft under a name, or None; set by the draft."""
        self.find_name: Callable[[str], str | None] = lambda _: None
        """The entry of the draft that a text names, or None; set by the draft."""
        if named is not None:
            self._take_up(named)

    def _take_up(self, named: NamedSession) -> None:
        """Go on with what a session holds: its closed tables stand in the draft, and what its rows brought is known."""
        named.blobs, named.classes = (lambda: self._blobs), self._classes
        self._classes.update(
            {digest: classes for digest in named.state.classes if (classes := named.state.class_set(digest))}
        )
        self._sources.update(named.state.inputs)
        for name, sealed in named.stored():
            entry = TableEntry.from_json(sealed.entry or {}, name)
            self.put_entry(name, entry, sealed.entry_bytes, rows=sealed.entry_rows)
            if sealed.rejected:
                self._append_rejects[name] = sealed.rejected

    def reopen(self, name: str) -> None:
        """A table that stands in the draft because the session has closed it is opened again: what stood before it stands there now."""
        if self._named is not None and self._named.is_stored(name):
            self.drop(name)

    def has_sealed(self, name: str) -> bool:
        """Whether the session has rows of the table `name`, which need not stand in the draft."""
        return self._named is not None and name in self._named.state.names

    @property
    def named(self) -> NamedSession | None:
        """The session that has a name, where the draft is in one."""
        return self._named

    def forget(self, name: str) -> None:
        """`drop`, and let the session forget it, too."""
        self.drop(name)
        if self._named is not None:
            self._named.drop(name)

    def _sealer(
        self, name: str, given: Schema | None, key: Any, options: Any, after: TableEntry | None
    ) -> Sealer | None:
        """For a writer of the table `name`, which is opened so: None without a session that has a name."""
        return None if self._named is None else self._named.sealer(name, shape_of(given, key, options, after))

    def _seal_closed(self, name: str) -> None:
        if self._named is not None:
            self._writers[name].seal_entry(self._tables[name], self._part_bytes.get(name, 0))
            self._named.closed(name)

    # What it holds

    def names(self) -> Iterator[str]:
        """The names of everything staged."""
        yield from {*self._writers, *self._waiting, *self._tables}

    def has(self, name: str) -> bool:
        """Whether something is staged under `name`."""
        return name in self._writers or name in self._waiting or name in self._tables

    def get(self, name: str, default: Any) -> Any:
        """The object given under `name`, or the table that was closed; `UsageError` for one that is open."""
        if name in self._given:
            return self._given[name]
        if name in self._tables and name not in self._writers:
            return self.open_item({**self._tables[name], "kind": "table", "name": name})
        if name in self._writers:
            raise UsageError(
                message(
                    f"reading table {name!r} of a draft",
                    expected="a closed table",
                    got="one that is being written",
                    todo="close its writer first",
                )
            )
        return default

    def open_item(self, item: JsonObject) -> Any:
        """The object behind an entry."""
        address = f"{self._context.root}#{self._artifact} (draft)/{item['name']}"
        return open_item(self._context, item, address, self._classes.get, open_name=self.open_name)

    def entry_of(self, name: str) -> TableEntry | None:
        """The table that stands under `name` in the draft: staged and closed, or inherited from the base; None where there
        is none or it is no table. Raises `UsageError` for one that is being written."""
        if name in self._writers and not (name in self._appending and self.has_failed(name)):
            self.get(name, None)
        item = self._tables.get(name) or self.inherited(name)
        if item is None or item.get("kind", "table") != "table":
            return None
        return TableEntry.from_json(item, name)

    def put_entry(
        self, name: str, entry: TableEntry, new_bytes: int, inputs: Iterable[Input] = (), *, rows: int = 0
    ) -> None:
        """Stage `entry` under `name` in place of what stands there. Its files are durable; `new_bytes` of them and `rows`
        were written for it, and count in the report beside what was counted for the name before."""
        self._tables[name] = {**entry.to_json(), "content": entry.content}
        self._part_bytes[name] = self._part_bytes.get(name, 0) + new_bytes
        self._edited_rows[name] = self._edited_rows.get(name, 0) + rows
        self._tables_given.pop(name, None)
        self._given.pop(name, None)
        for source in inputs:
            self._sources.setdefault((source.artifact, source.digest), source)

    # What edits of tables ask for

    @property
    def backend(self) -> Backend:
        """Where the bytes of the store lie."""
        return self._context.backend

    def placer(self, check: Any = "header") -> MediaPlacer:
        """Where media given to an edit go."""
        return self._placer(check)

    def open_entry(self, name: str, entry: TableEntry) -> Table:
        """The table of an entry, whose class sets writers then know."""
        for digest in class_digests(entry.schema):
            self._know_classes(digest)
        table: Table = self.open_item({**entry.to_json(), "kind": "table", "name": name})
        return table

    def class_set(self, digest: str) -> Classes | None:
        """One of the class sets that writers of the draft know."""
        return self._classes.get(digest)

    def note_classes(self, schema: Schema) -> None:
        """Remember the class sets that a declared schema brings: they are stored with the draft."""
        self._note_classes(schema)

    def note_edit(self, name: str, inputs: Iterable[Input], *, rows: int) -> None:
        """Remember what rows of an edit of the table `name` were made from, and how many were written."""
        self._edited_rows[name] = self._edited_rows.get(name, 0) + rows
        for source in inputs:
            self._sources.setdefault((source.artifact, source.digest), source)

    def has_failed(self, name: str) -> bool:
        """Whether what is staged under `name` is a table whose writer failed: it can only be dropped."""
        return name in self._writers and self._writers[name].has_failed

    def drop(self, name: str) -> None:
        """Forget what is staged under `name`; its bytes stay as garbage."""
        writer = self.set_aside(name)[0]
        if writer is not None:
            writer.abort()

    def set_aside(self, name: str) -> list[Any]:
        """Take out what is staged under `name`, its writer first; `put_back` brings it back."""
        return [staged.pop(name, None) for staged in self._by_name()]

    def put_back(self, name: str, aside: list[Any]) -> None:
        """Undo `set_aside`."""
        for staged, value in zip(self._by_name(), aside, strict=True):
            if value is not None:
                staged[name] = value

    def _by_name(self) -> tuple[dict[str, Any], ...]:
        tables = (self._tables, self._written, self._part_bytes, self._edited_rows)
        appends = (self._appending, self._append_rejects)
        return (self._writers, self._waiting, self._given, *tables, self._named_classes, self._tables_given, *appends)

    def inputs(self) -> Iterable[Input]:
        """The versions that entries were copied from, or whose media were."""
        return self._sources.values()

    # Blobs

    def blobs(self) -> BlobWriter:
        """The writer that everything in the draft shares; the first call begins the session."""
        if self._blobs is None:
            self.session.begin()
            self._blobs = BlobWriter(self._context.backend, dedup=self._dedup, within=self._files_of_base())
            if self._named is not None:
                self._named.give_blobs(self._blobs)
        return self._blobs

    def _files_of_base(self) -> list[str]:
        """The packs and blobs of the version the draft was made from: where `dedup="artifact"` looks."""
        if self._dedup != "artifact":
            return []
        found = set()
        for item in self._base_items.values():
            if item.get("kind") == "table":
                found |= {
                    one["key"]
                    for one in iter_items(self._context.backend, TableEntry.from_json(item, item["name"]).objects)
                }
        return sorted(found)

    def _placer(self, check: Any = "header") -> MediaPlacer:
        return MediaPlacer(
            self.blobs,
            self._context.root,
            classes=self._classes,
            open_url=self._context.open_url,
            check=check,
            grant=self._context.outside.grant,
        )

    # Tables

    def table(self, name: str, schema: Any, key: list[str] | None, options: dict[str, Any]) -> TableWriter:
        """A writer of the table `name`. Ids of columns, layout and, where `key` is None, the key come from the version before."""
        check = options.pop("check", "header")
        try:
            settings = TableOptions(**options)
        except TypeError as error:
            raise InvalidInputError(
                message(
                    f"opening table {name!r}",
                    expected=f"options among check, {', '.join(TableOptions.__slots__)}",
                    got=str(error),
                )
            ) from error
        before = self._previous(name)
        if key is None:
            key = [] if before is None else list(before.table_key)
        declared = None if schema is None else Schema.from_user(schema)
        if declared is not None:
            self._note_classes(declared)
        sealer = self._sealer(name, declared, key, (check, settings), None)
        inherits = before is not None and settings.part_rows is None and (before.layout.cut == "key") == bool(key)
        writer = TableWriter(
            self._context.backend,
            name,
            self._placer(check),
            schema=declared,
            previous=None if before is None else before.schema,
            before=before,
            key=key,
            layout=before.layout if before is not None and inherits else None,
            options=settings,
            begin=self.session.begin,
            done=lambda written: self._take_table(name, written, before),
            sealer=sealer,
        )
        self._writers[name] = writer
        return writer

    def append(
        self, name: str, before: TableEntry, schema: Any, key: list[str] | None, options: dict[str, Any]
    ) -> TableWriter:
        """A writer of rows that follow those of `before`, the table that stands under `name`: its schema, key and layout."""
        check = options.pop("check", "header")
        settings = append_options(before, schema, key, options, name)
        for digest in class_digests(before.schema):
            self._know_classes(digest)
        given = None if schema is None else Schema.from_user(schema)
        sealer = self._sealer(name, given, before.table_key, (check, settings), before)
        following = Following(self._context.backend, before)
        writer = TableWriter(
            self._context.backend,
            name,
            self._placer(check),
            schema=before.schema,
            previous=before.schema,
            key=before.table_key,
            layout=before.layout,
            options=settings,
            after=following.continuation,
            begin=self.session.begin,
            done=lambda written: self._take_append(name, written, before, following),
            sealer=sealer,
        )
        self._writers[name], self._appending[name] = writer, before
        return writer

    def _take_append(self, name: str, written: WrittenTable, before: TableEntry, following: Following) -> None:
        """A writer of rows that follow has closed."""
        stream = written.stream
        entry = appended(
            self._context.backend, before, written.schema, stream.parts, ascending=stream.ascending,
            objects=written.objects, columns=stream.columns, name=name,
        )  # fmt: skip
        following.remember(entry)
        self.put_entry(name, entry, sum(part.stored_bytes for part in stream.parts), rows=stream.rows)
        self._given.pop(name, None)
        if written.rejected:
            self._append_rejects[name] = (*self._append_rejects.get(name, ()), *written.rejected)
        self._seal_closed(name)
        self._writers.pop(name, None)
        self._appending.pop(name, None)
        for source in written.sources:
            self._note_source(source)

    def _know_classes(self, digest: str) -> None:
        """Let writers know a class set that an entry of the draft's base holds; it is not stored again."""
        if digest not in self._classes:
            for name, item in self._base_items.items():
                if item.get("kind") == "classes" and item.get("digest") == digest:
                    self._classes[digest] = self.open_item(item)
                    self._named_classes.setdefault(name, digest)

    def _previous(self, name: str) -> TableEntry | None:
        """The table of that name in the draft's base, or in the newest version: its ids live on."""
        item = self._base_items.get(name)
        if item is None:
            if self._newest_items is None:
                manifest = self._newest_manifest()
                entries = None if manifest is None else manifest.entries
                self._newest_items = lambda wanted: (
                    None if entries is None else find_item(self._context.backend, entries, wanted)
                )
            item = self._newest_items(name)
        return TableEntry.from_json(item, name) if item is not None and item.get("kind") == "table" else None

    def _newest_manifest(self) -> Manifest | None:
        """That of the newest version, or, in a session that has a name, of the one that was the newest when it began."""
        if self._named is not None:
            return self._named.newest()
        newest = self._context.versions(self._artifact).newest()
        return None if newest is None else manifest_of(self._context, newest)

    def _take_table(self, name: str, written: WrittenTable, before: TableEntry | None) -> None:
        """A writer has closed: its table can be read, and becomes an entry."""
        backend, stream = self._context.backend, written.stream
        plain, requires = needs_of(written.schema, stream.parts)
        entry = TableEntry(
            rows=stream.rows,
            schema=written.schema,
            layout=stream.layout,
            table_key=written.key,
            sorted=stream.ascending,
            unique=written.unique,
            columns=stream.columns,
            parts=write_items(backend, (part.to_json() for part in stream.parts)),
            objects=kept_objects(backend, before, stream.reused, len(stream.parts), written.objects),
            plain=plain,
            requires=requires,
        )
        known = set() if before is None else stored_files(backend, before)
        files = {file.digest: file.size for part in stream.parts for file in part.files}
        self._part_bytes[name] = sum(size for digest, size in files.items() if digest not in known)
        self._written[name] = written
        self._tables[name] = {**entry.to_json(), "content": entry.content}
        self._seal_closed(name)
        self._writers.pop(name, None)
        for source in written.sources:
            self._note_source(source)

    def _note_classes(self, schema: Schema) -> None:
        for column in schema.columns:
            for node in walk(column):
                sources = (
                    node.type.sources
                    if isinstance(node.type, MediaType)
                    else (node.type.source,)
                    if isinstance(node.type, ClassType)
                    else ()
                )
                for classes in sources:
                    if isinstance(classes, Classes):
                        self._classes[classes.digest] = classes

    def _note_source(self, source: Any) -> None:
        found = input_of(source, self._context.root)
        if found is not None:
            self._sources.setdefault((found.artifact, found.digest), found)

    # Objects

    def add(self, obj: Any, name: str) -> None:
        """Store `obj` under `name`; see `Draft.add`."""
        if isinstance(obj, Classes):
            self._add_classes(obj, name)
        elif isinstance(obj, Table):
            self._add_table(obj, name)
            self._tables_given[name] = obj
        elif isinstance(obj, JoinedTable):
            self._add_joined(obj, name)
            return
        elif isinstance(obj, str | os.PathLike):
            self._add_path(os.fspath(obj), name)
        elif isinstance(obj, File):
            self._add_file(obj, name)
        elif isinstance(obj, Media):
            self._add_media(obj, name)
        elif is_rows(obj):
            with self.table(name, None, None, {}) as writer:
                writer.extend(obj)
            return
        else:
            raise InvalidInputError(
                message(
                    f"adding {name!r}",
                    expected="a data frame, Arrow data, a Table, a JoinedTable, media, Classes or the path of a file",
                    got=type(obj).__name__,
                )
            )
        if name not in self._tables and not isinstance(obj, str | os.PathLike):
            self._given[name] = obj

    def _add_classes(self, classes: Classes, name: str) -> None:
        self._classes[classes.digest] = classes
        self._named_classes[name] = classes.digest
        data = classes.encode()
        if len(data) <= INLINE_DOCUMENT_BYTES:
            self._settle_entry(name, "classes", classes.digest, classes_fields(classes, None))
        else:
            placed = self.blobs().put_many([data], "json")
            self._waiting[name] = _WaitingBlob(
                placed, lambda place: ("classes", classes.digest, classes_fields(classes, place))
            )

    def _add_table(self, table: Table, name: str) -> None:
        entry = table.whole_entry(self._context.root)
        if entry is not None:  # all of a table of this store: nothing moves
            self.session.take_over(self._context.versions, table.source.input)
            self._tables[name] = {**entry.to_json(), "content": entry.content}
            self._part_bytes[name] = 0
        else:
            with self.table(
                name,
                Schema(tuple(column.without_ids() for column in table.schema.columns)),
                list(table.key) or None,
                {},
            ) as writer:
                writer.extend(table)
        for classes in table.class_sets():
            self._classes[classes.digest] = classes
        self._note_source(table.source)

    def _add_joined(self, joined: JoinedTable, name: str) -> None:
        """What it names is stored, no rows. It is opened once, so that what is wrong with it is an error here."""
        document = document_of(joined, self._context.root, self._name_of, f"adding joined table {name!r}")
        opened = self.open_item({**document.fields(), "kind": "joined_table", "name": name})
        self._settle_entry(name, "joined_table", document.content, document.fields())
        self._tables_given[name] = joined
        for source in [*joined.inputs(), *opened.inputs()]:
            self._sources.setdefault((source.artifact, source.digest), source)

    def _name_of(self, obj: Any) -> str | None:
        """The entry of this draft that an object is: the one it was added as, a table of the draft, or a name."""
        if isinstance(obj, str):
            return self.find_name(obj)
        added = next((name for name, given in self._tables_given.items() if given is obj), None)
        if added is None and isinstance(obj, Table) and (entry := obj.whole_entry(self._context.root)) is not None:
            name = obj.source.name
            there = self._tables.get(name) or self._base_items.get(name) or {}
            added = name if not obj.source.artifact and there.get("content") == entry.content else None
        return added

    def _add_path(self, path: str, name: str) -> None:
        if os.path.isdir(path):
            raise InvalidInputError(
                message(
                    f"adding {name!r}",
                    path=path,
                    expected="a file",
                    got="a folder",
                    todo="add its files one by one, or import it with the command line",
                )
            )
        self._add_file(File(path), name)

    def _add_file(self, file: File, name: str) -> None:
        prepared = file.prepare(self._context.open_url)
        data = prepared.data
        if data is None and prepared.source is not None:
            data = prepared.source.read()
        if data is None and prepared.path is None:
            raise InvalidInputError(
                message(
                    f"adding {name!r}",
                    expected="a file to own",
                    got="a reference",
                    todo="put references into a column of a table",
                )
            )
        placed = (
            self.blobs().put_stream(prepared.path, prepared.ext)
            if data is None and prepared.path
            else self.blobs().put_many([data or b""], prepared.ext)
        )
        content_type, digest = prepared.content_type or "application/octet-stream", PREFIX + placed.digests[0].hex()
        self._waiting[name] = _WaitingBlob(
            placed,
            lambda place: ("file", digest, file_fields(digest, int(placed.size[0]), content_type, file.name, place)),
        )

    def put_file(self, name: str, placed: Placed, content_type: str, file_name: str | None) -> None:
        """Stage one blob as a file entry."""
        digest = PREFIX + placed.digests[0].hex()
        self._waiting[name] = _WaitingBlob(
            placed,
            lambda place: ("file", digest, file_fields(digest, int(placed.size[0]), content_type, file_name, place)),
        )

    def put_item(self, name: str, kind: str, content: str, fields: JsonObject) -> None:
        """Stage an entry that is complete; all that it names is durable."""
        self._settle_entry(name, kind, content, fields)

    def _add_media(self, media: Media, name: str) -> None:
        placer = self._placer()
        inference = TableInference()
        observed = inference.observe({"media": [media]})
        row = build_columns(observed.schema, {"media": [media]}, placer, 0, observed.ready)
        self._waiting[name] = _WaitingMedia(media.kind, observed.schema.with_ids(), row, placer)
        for source in placer.sources.values():
            self._note_source(source)

    # The end

    def close_tables(self) -> None:
        """Close the tables that are open. A row or key that does not fit is an error here, and the draft can go on."""
        for name, writer in list(self._writers.items()):
            if not writer.is_closed:
                try:
                    writer.close()
                except UsageError as error:
                    raise UsageError(
                        message(
                            f"committing with table {name!r}",
                            expected="tables that can be closed",
                            got=str(error),
                            todo=f"write it again, or remove({name!r})",
                        )
                    ) from error

    def settle(self) -> None:
        """After `close_tables`: make every entry; all that the entries name is durable then."""
        named = set(self._named_classes.values())
        for digest, classes in list(self._classes.items()):
            if digest not in named:
                self._add_classes(classes, _CLASSES_FOLDER + digest.removeprefix(PREFIX)[:16])
        if self._blobs is not None:
            self._blob_report = self._blobs.close()
        for name, fields in self._tables.items():
            self._settle_entry(name, "table", fields["content"], fields)
        for name, waiting in self._waiting.items():
            if isinstance(waiting, _WaitingBlob):
                kind, content, fields = waiting.make(self._place(waiting.placed))
            else:
                row = [waiting.placer.resolved(array) for array in waiting.row]
                kind = "media"
                content, fields = media_fields(waiting.kind, waiting.schema, row)
                fields["objects"] = waiting.placer.objects()
            self._settle_entry(name, kind, content, fields)

    def _place(self, placed: Placed) -> JsonObject:
        assert self._blobs is not None
        return {
            "offset": int(placed.offset[0]),
            "size": int(placed.size[0]),
            "uri": self._blobs.uris(placed.slot[:1])[0].as_py(),
        }

    def counts(self) -> dict[str, int]:
        """What was stored, in the words of a version file's report."""
        blobs = self._blob_report
        counts = [blobs.blobs_new, blobs.blobs_shared, blobs.bytes_new, blobs.bytes_shared]
        if self._named is not None:
            counts = self._named.counts()
        return {
            "blobs_new": counts[0],
            "blobs_shared": counts[1],
            "bytes_new": counts[2] + sum(self._part_bytes.values()),
            "bytes_shared": counts[3],
            "rows": sum(written.stream.rows for written in self._written.values()) + sum(self._edited_rows.values()),
            **total_reused(written.stream.reused for written in self._written.values()),
        }

    def rejected(self) -> dict[str, tuple[tuple[int, str, str], ...]]:
        """By table, the rows that were not stored as given."""
        whole = {name: written.rejected for name, written in self._written.items() if written.rejected}
        return {**whole, **self._append_rejects}

    def published(self, created: bool) -> None:
        """The commit is over: tell later writers of the blobs, and end the session."""
        if created and self._blobs is not None:
            self._blobs.publish_index()
        self.session.end()

    def abort(self, *, suspend: bool = False) -> None:
        """Stop writing; with `suspend`, leave a session that has a name to whoever opens it next. May be called twice."""
        for writer in self._writers.values():
            writer.abort()
        if self._blobs is not None:
            self._blobs.abort()
        if suspend and self._named is not None:
            self._named.release()
        else:
            self.session.end()
