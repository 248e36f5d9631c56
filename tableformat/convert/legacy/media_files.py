"""Objects that name a file of media, such as `{"_type": "image-file", "path": …}`: to media, and what else they say."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, ClassVar, Final, NamedTuple

import xxhash

import tableformat
from tableformat.convert.legacy.class_sets import ClassSets
from tableformat.convert.legacy.manifest import ManifestEntry
from tableformat.convert.legacy.plain_images import PlainImages
from tableformat.convert.legacy.profile import media_kind
from tableformat.convert.legacy.report import ArtifactReport
from tableformat.convert.legacy.source import Library, Located, SourceArtifact
from tableformat.errors import AccessRefusedError, IllegalNameError, InvalidInputError, NotFoundError, TableformatError

__all__ = ["MEDIA_CLASSES", "Grant", "MediaCell", "MediaReader", "allow_any", "problem_of_file"]

MEDIA_CLASSES: Final[Mapping[str, type[tableformat.Media]]] = {
    "image": tableformat.Image, "audio": tableformat.Audio, "video": tableformat.Video, "html": tableformat.Html,
    "object3d": tableformat.Object3D, "molecule": tableformat.Molecule, "plotly": tableformat.Plotly, "file": tableformat.File,
}  # fmt: skip
_SAID: Final = frozenset({"_type", "path", "caption", "boxes", "masks", "classes"})
_LARGE: Final = 8 << 20
_HEX: Final = re.compile(r"[0-9a-f]{64}")


Grant = Callable[[str], object]
"""Raises `AccessRefusedError` for a URL that the store may not refer to."""


def allow_any(_url: str) -> None:
    """The `Grant` of a store that is not known."""


class MediaCell(NamedTuple):
    """One object, read."""

    media: Any
    """The media; None where there is nothing to hold or to point at."""
    path: str
    """The path it named."""
    more: dict[str, Any] | None
    """What it said that the media do not say, as it stood; None for nothing."""


class MediaReader:
    """Reads the media that files of one artifact name. Remembers which files were used, and checks each that it reads."""

    reads_many: ClassVar[bool] = True
    """Whether `PlainImages` may read what it would."""

    def __init__(
        self, artifact: SourceArtifact, library: Library, report: ArtifactReport, grant: Grant = allow_any
    ) -> None:
        self._artifact, self._library, self._report, self._grant = artifact, library, report, grant
        self.used: set[str] = set()
        """Paths of the artifact whose bytes, or references, are in some cell."""
        self.sources: dict[str, SourceArtifact] = {}
        """Other artifacts whose files were read, by label."""
        self.classes = ClassSets(self.read_file, report)
        self._compared: set[str] = set()

    @property
    def artifact(self) -> SourceArtifact:
        """The artifact whose files name the media."""
        return self._artifact

    def note_plain(self, images: PlainImages) -> None:
        """Take note of images that were read without it."""
        self.used.update(path for path in images.paths if path is not None)
        self._report.bytes_in += images.size

    def read_file(self, path: str, table_ref: str | None, place: object, limit: int | None = None) -> bytes | None:
        """The bytes of a file that an object names; None, with a warning, where they are not at hand."""
        found = self._locate(path, table_ref, place)
        data = None if found is None or found.artifact is None else self._bytes(found, place, limit)
        if found is not None and data is not None and found.entry is not None:
            self._tell(place, path, found.entry.problem_of(data))
        return data

    def open_file(self, path: str, table_ref: str | None, place: object) -> BinaryIO | None:
        """A file that an object names, opened; None where it is not at hand."""
        found = self._locate(path, table_ref, place)
        if found is None or found.artifact is None:
            return None
        if found.entry is not None and path not in self._compared:
            self._tell(place, path, problem_of_file(found, found.entry))
            self._compared.add(path)
        return found.artifact.folder.open(found.path)

    def _tell(self, place: object, path: str, problem: str | None) -> None:
        if problem is not None:
            self._report.warn(
                place, f"the file {path!r} has {problem}", "size" if "bytes where" in problem else "digest"
            )

    def read(
        self, cell: Mapping[str, Any], place: object, table_ref: str | None = None, *, bare: bool = False
    ) -> MediaCell:
        """The media of an object at `place`. With `bare`, without what is said about it, which `more` then holds."""
        kind, path = media_kind(cell), str(cell["path"])
        assert kind is not None
        more = {key: value for key, value in cell.items() if key not in _SAID}
        found = self._locate(path, table_ref, place)
        if found is None or found.is_missing:
            if found is not None:
                self._report.warn(place, f"the file {path!r} is missing", "missing-media")
            return MediaCell(None, path, {key: value for key, value in cell.items() if key != "path"})
        caption = cell.get("caption")
        if caption is not None and (bare or not _is_text(caption)):
            more["caption"] = caption
            caption = None
            if not bare:
                self._report.warn(place, "its caption is no text: kept as JSON", "surrogate")
        fields: Mapping[str, Any] = {}
        if found.artifact is None:
            media, is_told = self._refer(kind, found, cell, caption, place), False
        else:
            media, fields, is_told = self._own(kind, found, cell, caption, place)
        if media is None:
            return MediaCell(None, path, {key: value for key, value in cell.items() if key != "path"})
        self.used.add(path)
        if isinstance(media, tableformat.Image):
            if bare:
                more |= {key: cell[key] for key in ("boxes", "masks", "classes") if key in cell}
            else:
                media, said = self._annotated(media, cell, place, table_ref)
                more |= said
        else:
            more |= {key: cell[key] for key in ("boxes", "masks", "classes") if key in cell}
        return MediaCell(media, path, _unsaid(more, fields, path, is_told=is_told))

    # Bytes

    def _locate(self, path: str, table_ref: str | None, place: object) -> Located | None:
        try:
            found = self._library.locate(self._artifact, path, table_ref)
            if found.is_missing and table_ref is not None:
                return found
        except IllegalNameError as error:
            self._report.warn(place, str(error), "path")
            return None
        if found.artifact is not None and found.artifact is not self._artifact:
            self.sources[found.artifact.label] = found.artifact
        return found

    def _bytes(self, found: Located, place: object, limit: int | None = None) -> bytes | None:
        assert found.artifact is not None
        try:
            data = found.artifact.folder.read(found.path, limit)
        except TableformatError as error:
            self._report.warn(place, str(error), error.kind)
            return None
        self._report.bytes_in += len(data)
        return data

    def _own(
        self, kind: str, found: Located, cell: Mapping[str, Any], caption: str | None, place: object
    ) -> tuple[Any, Mapping[str, Any], bool]:
        """Media with the bytes of a file, the fields of its header, and whether its digests are those that were told."""
        assert found.artifact is not None
        make, is_told = MEDIA_CLASSES[kind], False
        size = found.entry.size if found.entry is not None else None
        if size is not None and size > _LARGE and (local := self._local(found)) is not None:
            media = make(local, caption=caption)
        else:
            data = self._bytes(found, place)
            if data is None:
                return None, {}, False
            is_told = self._verify(data, found, cell, place)
            name = found.path.rpartition("/")[2]
            media = (
                tableformat.File(data, name, caption=caption)
                if kind == "file"
                else make(data, caption=caption, format=_hint(kind, name))
            )
        try:
            return media, media.prepare().fields, is_told
        except (InvalidInputError, LookupError) as error:
            self._report.warn(place, f"the file {found.path!r} is kept as it is: {error}", "media")
            return media, {}, is_told

    def _local(self, found: Located) -> str | None:
        assert found.artifact is not None
        try:
            return found.artifact.folder.local(found.path)
        except TableformatError:
            return None

    def _verify(self, data: bytes, found: Located, cell: Mapping[str, Any], place: object) -> bool:
        """Compare with the strongest digest that was told: SHA-256 in the cell, else that of the manifest. Warns, and returns
        whether nothing differs."""
        told, entry = cell.get("sha256"), found.entry
        problem = None
        if isinstance(told, str) and (entry is None or entry.ref is None or found.artifact is not self._artifact):
            if hashlib.sha256(data).hexdigest() != told:
                problem = ("another SHA-256 than its cell says", "digest")
            elif entry is not None and entry.size not in (None, 0, len(data)):
                problem = (f"{len(data)} bytes where the manifest says {entry.size}", "size")
        elif entry is not None and (found_problem := entry.problem_of(data)) is not None:
            problem = (found_problem, "digest")
        if problem is not None:
            self._report.warn(place, f"the file {found.path!r} has {problem[0]}", problem[1])
        return problem is None

    def _refer(self, kind: str, found: Located, cell: Mapping[str, Any], caption: str | None, place: object) -> Any:
        """Media that stay where the manifest says they are."""
        assert found.uri is not None
        is_internal, told = found.uri.startswith("wandb-"), cell.get("sha256")
        entry = (
            ManifestEntry(found.path, "", None, found.uri)
            if found.entry is None or found.entry.ref is None
            else found.entry
        )
        more: dict[str, Any] = {"caption": caption}
        if is_internal:
            self._report.miss(place, found.uri)
            more["checksum"] = f"SHA-256:{told}" if isinstance(told, str) and _HEX.fullmatch(told) else None
        size = None if is_internal and not entry.size else entry.size
        if kind in ("image", "video"):
            more |= {
                name: cell[name]
                for name in ("width", "height")
                if type(cell.get(name)) is int and 0 <= cell[name] < 2**31
            }
        more |= self._header_of_copy(kind, found.path, size)
        try:
            media = entry.refer(MEDIA_CLASSES[kind].refer, size, **more)
            self._grant(media.reference.uri)
        except (InvalidInputError, AccessRefusedError) as error:
            self._report.warn(place, f"the reference of {found.path!r} is not kept: {error}", "reference")
            return None
        return media

    def _header_of_copy(self, kind: str, path: str, size: int | None) -> dict[str, Any]:
        """What the downloaded copy of a reference tells about it, where there is one of the right size."""
        if kind != "image" or size is None or size > _LARGE or self._artifact.folder.size(path) != size:
            return {}
        try:
            fields = tableformat.Image(self._artifact.folder.read(path)).fields
        except TableformatError:
            return {}
        return {name: value for name, value in fields.items() if value is not None}

    # Annotations

    def _annotated(
        self, image: Any, cell: Mapping[str, Any], place: object, table_ref: str | None
    ) -> tuple[Any, dict[str, Any]]:
        """The image with boxes, masks and classes, and those that could not be kept so."""
        if not any(key in cell for key in ("boxes", "masks", "classes")):
            return image, {}
        left: dict[str, Any] = {}
        classes = self.classes.of_cell(cell.get("classes"), table_ref, place, of_image=True)
        if classes is None and cell.get("classes") is not None:
            left["classes"] = cell["classes"]
        boxes = self._layers(cell.get("boxes"), _boxes, "boxes", left, place)
        paths: dict[str, Any] = {}

        def mask(value: Any, where: object) -> Any:
            return self._mask(value, table_ref, where)

        masks = self._layers(cell.get("masks"), mask, "masks", left, place)
        if masks is not None:
            paths = {layer: said for layer, (_, said) in masks.items()}
            masks = {layer: made for layer, (made, _) in masks.items()}
        try:
            made = tableformat.Image(
                image, boxes=boxes, masks=masks, caption=image.caption, classes=classes, strict=False
            )
        except InvalidInputError as error:
            self._report.warn(place, f"annotations are kept as JSON: {error}", "annotation")
            return image, {key: cell[key] for key in ("boxes", "masks", "classes") if key in cell}
        if paths:
            left.setdefault("masks", {})
            left["masks"] = {**paths, **(left["masks"] if isinstance(left["masks"], dict) else {})}
        return made, left

    def _mask(self, value: Any, table_ref: str | None, where: object) -> tuple[Any, dict[str, Any]]:
        """A mask, and what was said of it that it does not say itself."""
        path = value["path"]
        data = self.read_file(path, table_ref, where)
        if data is None:
            raise NotFoundError(f"the mask {path!r} is missing")
        made = tableformat.Mask(data)
        self.used.add(path)
        said = {key: one for key, one in value.items() if key not in ("_type", "sha256", "digest")}
        told = value.get("sha256")
        if isinstance(told, str) and hashlib.sha256(data).hexdigest() != told:
            self._report.warn(where, f"the mask {path!r} has another SHA-256 than its cell says", "digest")
            said["sha256"] = told
        return made, said

    def _layers(
        self, value: Any, make: Callable[[Any, object], Any], role: str, left: dict[str, Any], place: object
    ) -> dict[str, Any] | None:
        if value is None:
            return None
        if not isinstance(value, dict):
            self._report.warn(place, f"{role} that are no layers are kept as JSON", "annotation")
            left[role] = value
            return None
        made = {}
        for layer, item in value.items():
            try:
                layer.encode()
                made[layer] = make(item, f"{place}, {role} {layer!r}")
            except (InvalidInputError, NotFoundError, LookupError, TypeError, ValueError) as error:
                self._report.warn(f"{place}, {role} {layer!r}", f"kept as JSON: {error}", "annotation")
                left.setdefault(role, {})[layer] = item
        return made


def problem_of_file(found: Located, entry: ManifestEntry) -> str | None:
    """What is wrong with a file, of any size, by the manifest."""
    assert found.artifact is not None
    folder = found.artifact.folder
    size = folder.size(found.path) or 0
    if size <= _LARGE:
        return entry.problem_of(folder.read(found.path))
    if entry.size and entry.size != size:
        return f"{size} bytes where the manifest says {entry.size}"
    if entry.digest_kind not in ("md5", "xxh128"):
        return None
    state: Any = hashlib.md5(usedforsecurity=False) if entry.digest_kind == "md5" else xxhash.xxh3_128()
    with folder.open(found.path) as file:
        while chunk := file.read(1 << 20):
            state.update(chunk)
    return entry.problem_of_digest(state.digest())


def _boxes(value: Any, _where: object) -> list[tableformat.Box]:
    if not isinstance(value, list):
        raise TypeError("no list of boxes")
    boxes = [tableformat.Box.from_dict(item, strict=False) for item in value]
    for box in boxes:
        for text in (box.caption or "", *box.scores):
            text.encode()  # a lone surrogate is a `ValueError`: no column of text holds it
    return boxes


def _is_text(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(value.encode() or True)
    except UnicodeEncodeError:
        return False


def _hint(kind: str, name: str) -> str | None:
    """The format that the name of a file says, for kinds whose bytes do not tell."""
    extension = name.rpartition(".")[2].lower() if "." in name else ""
    if kind == "object3d" and name.endswith(".pts.json"):
        return "pts.json"
    return extension or None


def _unsaid(more: dict[str, Any], fields: Mapping[str, Any], path: str, *, is_told: bool) -> dict[str, Any] | None:
    """`more` without what the bytes and the path say as well."""
    if more.get("format") == path.rpartition(".")[2]:
        del more["format"]
    for name in ("width", "height"):
        if name in more and more[name] == fields.get(name):
            del more[name]
    if is_told:  # what differs was reported, and stays
        more.pop("sha256", None)
        more.pop("digest", None)
    return more or None
