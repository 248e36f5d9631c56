"""One version of an artifact of old into one draft: tables first, then what they did not use."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, Final

import pyarrow as pa

import tableformat
from tableformat.convert.legacy.class_sets import classes_of_set
from tableformat.convert.legacy.manifest import ManifestEntry, parse_ref, plain_text
from tableformat.convert.legacy.media_files import Grant, MediaReader, allow_any, problem_of_file
from tableformat.convert.legacy.names import entry_name_of, unique_name
from tableformat.convert.legacy.report import ArtifactReport, EntryReport
from tableformat.convert.legacy.source import Library, Located, SourceArtifact
from tableformat.convert.legacy.survey import Found, Survey, survey
from tableformat.convert.legacy.tables import TableFile, TableJob
from tableformat.convert.legacy.text import TableText
from tableformat.errors import AccessRefusedError, IllegalNameError, InvalidInputError, TableformatError

__all__ = ["ArtifactJob", "Step"]

_LARGE: Final = 8 << 20
_MODELS: Final = "-model-file.json"
Step = Callable[[int], None]


@dataclass(slots=True)
class ArtifactJob:
    """Fills a draft with what an artifact of old holds."""

    artifact: SourceArtifact
    library: Library
    draft: tableformat.Draft
    report: ArtifactReport
    step: Step
    """Called with the number of files that are done."""
    only: str | None = None
    """The path of the one table that is wanted; None for all that there is."""
    taken: set[str] = field(default_factory=set)
    """Names of entries, folded."""
    names: dict[str, str] = field(default_factory=dict)
    """The entry of each file that became one."""
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    """For metadata: the tables by entry."""
    others: dict[str, dict[str, Any]] = field(default_factory=dict)
    """For metadata: all other entries."""
    used: set[str] = field(default_factory=set)
    """Files that became part of some entry."""
    make_reader: Callable[[SourceArtifact, Library, ArtifactReport, Grant], MediaReader] = MediaReader
    """Makes what reads the media of an artifact."""
    open_text: Callable[[Callable[[], BinaryIO], str], TableText] = TableText
    """Opens the text of a table."""
    grant: Grant = allow_any
    """Raises `AccessRefusedError` for a URL that the store may not refer to."""
    check_tables: bool = True
    """Whether tables are compared with their digests, which reads them once more."""
    reader: MediaReader = field(init=False)
    """Reads media that the artifact's own files name."""
    _readers: dict[str, MediaReader] = field(init=False)

    def __post_init__(self) -> None:
        self.reader = self._reader_of(self.artifact)
        self._readers = {self.artifact.label: self.reader}

    def _reader_of(self, owner: SourceArtifact) -> MediaReader:
        return self.make_reader(owner, self.library, self.report, self.grant)

    def run(self) -> None:
        """Add everything. What is wrong with one file does not stop the others."""
        self.report.warn_all(self.artifact.problems)
        if self.only is not None:
            self._table(self.only, [Found(self.only, self.library.locate(self.artifact, self.only))])
            return
        found = survey(self.artifact, self.library, self.report)
        self._increments(found)
        self._partitioned(found)
        for path in list(found.tables):
            self._guarded(path, partial(self._table, path, [found.tables[path]]))
        self._name_tables_of_keys()
        for path, one in found.classes.items():
            self._guarded(path, partial(self._classes, path, one))
        for path, one in found.media.items():
            self._guarded(path, partial(self._media, path, one))
        for path, one in found.joined.items():
            self._guarded(path, partial(self._joined, path, one))
        self.used |= self.reader.used
        self._rest(found)

    def source_labels(self) -> set[str]:
        """The other artifacts of which files were used."""
        return {label for reader in self._readers.values() for label in reader.sources} - {self.artifact.label}

    def _guarded(self, path: str, work: Callable[[], None]) -> None:
        """Run `work` on a file; where that fails, it is carried over as a file."""
        if path in self.used:
            return
        try:
            work()
        except TableformatError as error:
            self.report.warn(path, f"carried over as a file: {error}", error.kind)
        self.step(1)

    def _name(self, path: str, *, strip: bool = True) -> str:
        name = self.names[path] = entry_name_of(path, self.taken, strip=strip)
        if not _is_unicode(path):
            self.report.warn(path, f"lone surrogates in its path: it is {name!r} now", "surrogate")
        return name

    # Tables

    def _open(self, one: Found) -> TableFile:
        """A table, with the reader of the artifact that its paths speak of."""
        located = one.located
        assert located.artifact is not None
        entry = self.artifact.entry(one.path)
        table_ref = None
        owner = located.artifact
        if entry is not None and entry.ref is not None and parse_ref(entry.ref) is not None:
            if owner is self.artifact:
                table_ref = entry.ref  # a copy was downloaded, the artifact it came from is not at hand
            else:
                self.reader.sources[owner.label] = owner
        if self.check_tables:
            self._check(one.path, located)
        if owner.label not in self._readers:
            self._readers[owner.label] = self._reader_of(owner)
        text = self.open_text(lambda: owner.folder.open(located.path), one.path)
        self.report.bytes_in += owner.folder.size(located.path) or 0
        return TableFile(one.path, text, self._readers[owner.label], table_ref)

    def _check(self, path: str, located: Located) -> None:
        """Compare a file with the manifest's digest."""
        assert located.artifact is not None
        entry = self.artifact.entry(path) or located.entry
        if entry is None or entry.digest_kind not in ("md5", "xxh128"):
            return
        problem = problem_of_file(located, entry)
        if problem is not None:
            self.report.warn(path, problem, "size" if "bytes where" in problem else "digest")

    def _table(self, path: str, parts: Sequence[Found], *, name: str | None = None, increments: bool = False) -> None:
        files = [self._open(one) for one in parts]
        columns = files[0].columns
        for file in files[1:]:
            if file.columns != columns or [type(one) for one in file.columns] != [type(one) for one in columns]:
                raise InvalidInputError(
                    f"its parts have different columns: {columns!r:.200} in {files[0].path!r}, {file.columns!r:.200} in {file.path!r}"
                )
        if not columns:
            self.report.note(path, "a table without columns: carried over as a file", "empty")
            return
        entry = entry_name_of(name, self.taken, strip=False) if name is not None else entry_name_of(path, self.taken)
        job = TableJob(entry, files, self.report, increments=increments)
        told = job.write(self.draft)
        self.report.entries.append(told)
        if path not in {part.path for part in parts}:
            self.names[path] = entry
            self.used.add(path)
        for part in parts:
            self.names.setdefault(part.path, entry)
            self.used.add(part.path)
        self.tables[entry] = self._described(path, job, told, files)

    def _described(self, path: str, job: TableJob, told: EntryReport, files: Sequence[TableFile]) -> dict[str, Any]:
        described: dict[str, Any] = {"path": path, "columns": job.describe()}
        if len(files) > 1 or files[0].path != path:
            described["parts"] = [{"path": part, "rows": [start, end]} for part, start, end in job.ranges]
        if files[0].log_mode != "IMMUTABLE":
            described["log_mode"] = files[0].log_mode
        keys = self._keys(files[0], told)
        if keys:
            described["keys"] = keys
        return described

    @staticmethod
    def _keys(file: TableFile, told: EntryReport) -> list[dict[str, Any]]:
        """Primary and foreign keys, and foreign indices, by the names that columns have now."""
        keys = []
        for column in told.columns:
            one = file.declared.get(str(column.original))
            if one is None or one.name not in ("primaryKey", "foreignKey", "foreignIndex"):
                continue
            key = {
                "column": column.name,
                "kind": {"primaryKey": "primary", "foreignKey": "foreign", "foreignIndex": "index"}[one.name],
            }
            if isinstance(one.params.get("table"), str):
                key["table_path"] = one.params["table"]
            if isinstance(one.params.get("col_name"), str):
                key["table_column"] = one.params["col_name"]
            keys.append(key)
        return keys

    def _name_tables_of_keys(self) -> None:
        """Once all tables have names: those that foreign keys and indices point into."""
        for told in self.tables.values():
            for key in told.get("keys", ()):
                if (name := self.names.get(key.get("table_path", ""))) in self.tables:
                    key["table"] = name

    def _increments(self, found: Survey) -> None:
        """Incremental tables: the files of one key, joined in their order."""
        for key, paths in found.increments.items():
            parts = [found.tables[path] for path in paths]
            self._guarded(f"{key} (increments)", partial(self._table, paths[0], parts, name=key, increments=True))

    def _partitioned(self, found: Survey) -> None:
        """Partitioned tables: every table below a folder, in the order of the manifest; all of them are one."""
        for path, one in found.partitioned.items():
            folder = one.value["parts_path"].strip("/")
            below = [other for other in found.order if other.startswith(f"{folder}/")]
            parts = [other for other in below if other in found.tables]
            for other in below:
                if other not in found.tables:
                    self.report.note(other, f"no table, and so no part of {path!r}", "partition")
            if self.artifact.manifest is None:
                self.report.note(path, "without a manifest, its parts are in the order of their names", "partition")
            if not parts:
                self.report.note(path, "a partitioned table without parts: carried over as a file", "partition")
                continue
            self._guarded(path, partial(self._table, path, [found.tables[part] for part in parts]))

    # Other objects

    def _classes(self, path: str, one: Found) -> None:
        classes = classes_of_set(one.value["class_set"], path, self.report)
        if classes is None:
            return
        name = self._name(path)
        self.draft.add(classes, name)
        self._added(path, name, "classes")

    def _media(self, path: str, one: Found) -> None:
        assert one.located.artifact is not None
        owner = one.located.artifact
        entry = self.artifact.entry(path)
        reader = self._readers.setdefault(owner.label, self._reader_of(owner))
        cell = reader.read(
            one.value,
            path,
            entry.ref if entry is not None and owner is self.artifact and parse_ref(entry.ref) else None,
        )
        if cell.media is None:
            raise InvalidInputError("its media are not at hand")
        name = self._name(path)
        if cell.media.reference is not None:
            # Only tables hold references; that of one object becomes a table of one row.
            with self.draft.table(name, schema={"media": type(cell.media), "media_path": str}, check="none") as table:
                table.append({"media": cell.media, "media_path": cell.path})
        else:
            self.draft.add(cell.media, name)
        self._added(path, name, "media", {"media_path": cell.path, **({"more": cell.more} if cell.more else {})})

    def _joined(self, path: str, one: Found) -> None:
        value = one.value
        sides = [self.names.get(value["table1"]), self.names.get(value["table2"])]
        key = value["join_key"]
        on: Any = key if isinstance(key, str) else key[0] if len(key) == 1 else (key[0], key[1])
        missing = [
            value[name]
            for name, side in zip(("table1", "table2"), sides, strict=True)
            if side is None or side not in self.tables
        ]
        if missing:
            raise InvalidInputError(f"it joins {', '.join(map(repr, missing))}, which did not become tables")
        pair = on if isinstance(on, tuple) else (on, on)
        columns = []
        for side, original in zip(sides, pair, strict=True):
            assert side is not None
            names = [column["name"] for column in self.tables[side]["columns"] if column["original"] == original]
            if len(names) != 1:
                raise InvalidInputError(f"its key {original!r} is no column of {side!r}, or more than one")
            columns.append(names[0])
        name = self._name(path)
        made = tableformat.JoinedTable(
            sides[0], sides[1], on=columns[0] if columns[0] == columns[1] else (columns[0], columns[1]), how="outer"
        )
        self.draft.add(made, name)
        self._added(path, name, "joined", {"table1": value["table1"], "table2": value["table2"], "join_key": key})

    def _added(self, path: str, name: str, kind: str, more: dict[str, Any] | None = None) -> None:
        self.used.add(path)
        self.report.entries.append(EntryReport([path], name, kind))
        self.others[name] = {"path": path, **(more or {})}

    # Files and references

    def _rest(self, found: Survey) -> None:
        """Every path that nothing used: a file of its own, or a line in the table of references."""
        references: list[ManifestEntry] = []
        for path in found.order:
            entry = self.artifact.entry(path)
            if path in self.used:
                if entry is not None and entry.ref is not None and parse_ref(entry.ref) is None:
                    references.append(entry)
                continue
            try:
                self._file(path, entry, references)
            except IllegalNameError as error:
                self.report.warn(path, str(error), "path")
                self.report.leave_out(path, "its path leads out of the artifact", "path")
            except TableformatError as error:
                self.report.warn(path, str(error), error.kind)
                self.report.leave_out(path, "its bytes could not be read")
            self.step(1)
        if references:
            self._references(references)

    def _file(self, path: str, entry: ManifestEntry | None, references: list[ManifestEntry]) -> None:
        located = self.library.locate(self.artifact, path)
        if located.artifact is None:
            if entry is not None and entry.ref is not None:
                references.append(entry)
                if parse_ref(entry.ref) is not None:
                    self.report.miss(path, entry.ref)
            else:
                self.report.warn(path, "the manifest names it, and it is not there", "missing-file")
                self.report.leave_out(path, "its bytes are not at hand", "missing-file")
            return
        if located.artifact is not self.artifact:
            self.reader.sources[located.artifact.label] = located.artifact
        size = located.artifact.folder.size(located.path)
        if size is None:
            self.report.warn(path, "no regular file, or a link that leaves the artifact", "path")
            self.report.leave_out(path, "it is no file of the artifact", "path")
            return
        if path.endswith((_MODELS, ".pkl", ".pickle", ".joblib")) or path.startswith(".wb_data/"):
            self.report.warn(
                path, "a saved model, which may be a pickle: carried over as a file, never loaded", "pickle"
            )
        self._check(path, located)
        name = self._name(path, strip=False)
        self._add_file(located, name, path.rpartition("/")[2], size)
        self.report.bytes_in += size
        self._added(path, name, "file")

    def _add_file(self, located: Located, name: str, label: str, size: int) -> None:
        assert located.artifact is not None
        folder = located.artifact.folder
        label = label if "\0" not in label and _is_unicode(label) else name.rpartition("/")[2]
        if size <= _LARGE:
            self.draft.add(tableformat.File(folder.read(located.path), label), name)
            return
        local = folder.local(located.path)
        if local is not None:
            self.draft.add(tableformat.File(local, label), name)
            return
        with tempfile.NamedTemporaryFile(prefix="tableformat-") as spool, folder.open(located.path) as file:
            while chunk := file.read(1 << 20):
                spool.write(chunk)
            spool.flush()
            self.draft.add(tableformat.File(spool.name, label), name)

    def _references(self, entries: Sequence[ManifestEntry]) -> None:
        """The table of the entries that point elsewhere."""
        name = unique_name("references", self.taken)
        schema = {
            "path": pa.string(), "uri": tableformat.FileType(), "ref": pa.string(), "size": pa.int64(),
            "digest": pa.string(), "digest_kind": pa.string(), "version_id": pa.string(),
        }  # fmt: skip
        with self.draft.table(name, schema=schema) as table:
            for entry in entries:
                table.append(
                    path=plain_text(entry.path), uri=self._refer(entry), ref=plain_text(entry.ref or ""), size=entry.size,
                    digest=plain_text(entry.digest), digest_kind=entry.digest_kind, version_id=entry.version_id,
                )  # fmt: skip
        self.report.entries.append(EntryReport([entry.path for entry in entries], name, "references", len(entries)))
        self.others[name] = {"references": len(entries)}

    def _refer(self, entry: ManifestEntry) -> Any:
        try:
            made = entry.refer(tableformat.File.refer, entry.size)
            self.grant(made.reference.uri)
        except (InvalidInputError, AccessRefusedError) as error:
            self.report.warn(entry.path, f"its reference is kept as text alone: {error}", "reference")
            return None
        return made


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
