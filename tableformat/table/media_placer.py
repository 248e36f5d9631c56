"""`MediaPlacer`: bytes of media go to their tier, and their cells say where they lie.

A pack's name is known only when the pack is sealed. Until then a cell holds, in `offset`, the number of its file above
`_SLOT_SHIFT` and the true offset below, and no `uri`; `resolver` puts both right once the packs have their names.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tableformat.digest import hex_of
from tableformat.errors import InvalidInputError, MediaError, UsageError, message
from tableformat.format.cells import CellRewriter, fields_of
from tableformat.format.frame import FRAME_EXT, encode_frame
from tableformat.format.media import (
    Audio,
    Cell,
    Check,
    Classes,
    File,
    Html,
    Image,
    Media,
    Molecule,
    Object3D,
    OpenUrl,
    Plotly,
    Prepared,
    Video,
)
from tableformat.format.media.base import CHECKS
from tableformat.format.media.cells import build_cells, checksums
from tableformat.format.media.headers import check_headers
from tableformat.format.media.kinds import COMMON_FIELDS, FILE_TYPE, OUTER_FIELDS, cell_type
from tableformat.format.media.links import check_url
from tableformat.format.media.prepared import CHECKSUM_PREFIX
from tableformat.format.types import Where
from tableformat.storage.blobs import BlobWriter, Placed
from tableformat.storage.locations import DATA, is_owned_uri
from tableformat.table.reference_cells import are_plain_references

__all__ = ["INLINE_BYTES", "MEDIA_CLASSES", "MediaPlacer"]

INLINE_BYTES: Final = 1024
"""Media up to this many bytes stand in the cell: a pointer to them costs about 300 bytes, and a request when read."""
MEDIA_CLASSES: Final[dict[str, type[Media]]] = {
    media.kind: media for media in (Image, Audio, Video, Html, Object3D, Molecule, Plotly, File)
}
"""The class of each kind of media."""
_FILE_FIELDS: Final = tuple(field.name for field in FILE_TYPE)
_SLOT_SHIFT: Final = 40  # above the offset of any byte in a pack (64 MiB); single blobs begin at 0
_OFFSET_MASK: Final = (1 << _SLOT_SHIFT) - 1
_COMPRESSIBLE: Final = (
    "text/", "application/json", "application/vnd.plotly", "application/xml", "model/", "chemical/", "image/svg", "image/bmp",
)  # fmt: skip
# Formats that are not compressed themselves. Others are never tried: a JPEG costs time and gains nothing.


class _Here:
    """Says of cells that their blobs lie in this store. Such cells are copied as they are, and not read."""

    def __init__(self, root: str) -> None:
        self.root = root

    def read(self, cell: Cell, /) -> bytes:
        raise UsageError(message("reading a cell while it is copied", path=cell.uri))

    def open(self, cell: Cell, /) -> BinaryIO:
        raise UsageError(message("reading a cell while it is copied", path=cell.uri))


class MediaPlacer:
    """Turns media into cells for one writer; implements `table.placer.Placer`.

    `blobs` gives the writer that the tables of a draft share, when bytes are first placed. The cells of a batch are
    resolved when the files they point at have names: `take_pending` gives the token, `is_ready` tells.
    """

    def __init__(
        self,
        blobs: Callable[[], BlobWriter],
        root: str,
        *,
        classes: dict[str, Classes] | None = None,
        open_url: OpenUrl | None = None,
        check: Check = "header",
        inline_bytes: int = INLINE_BYTES,
        grant: Callable[[str], None] = lambda url: None,  # noqa: ARG005
    ) -> None:
        self._blobs = blobs
        self._root = root
        self._classes: dict[str, Classes] = {} if classes is None else classes
        self._open_url = open_url
        if check not in CHECKS:
            raise InvalidInputError(
                message("opening a table", expected="check " + " | ".join(CHECKS), got=repr(check)[:40])
            )
        self._check: Check = check
        self._inline_bytes = inline_bytes
        self._grant = grant
        self._pending: list[Placed] = []
        self._slots: set[int] = set()
        self._uris: set[str] = set()
        self.refers = False
        """Whether media of tables of other stores, given as they are, become references to them; set by the writer."""
        self.sources: dict[int, Any] = {}
        """Readers of the cells that were copied from other tables, by identity: what this table was made from."""

    @property
    def root(self) -> str:
        """The root of the store in which the media are placed."""
        return self._root

    def prepare(self, media: Media) -> tuple[Media, int]:
        """Read and check media in the call that was given them; returns them, and how many bytes they hold in memory.

        An object that was prepared before and is not placed yet may have other bytes by now: then a copy is returned.
        """
        if self.refers:
            media.leave()
        prepared = media.prepare(self._open_url, self._check)
        if media.ready is not None:
            media = copy.copy(media)
        media.ready = prepared
        data = prepared[0]
        return media, 0 if data is None else len(data)

    def forget(self, values: Iterable[Any]) -> None:
        """Drop what was prepared of these media: their row is not taken. Values of other kinds are passed over."""
        for value in values:
            if isinstance(value, Media):
                value.ready = None

    # What `Placer` asks

    def place(self, kind: str, values: Sequence[Any], where: Where) -> pa.StructArray:
        """Cells of media, or of bytes and paths from which media are made; None is null."""
        try:
            prepared: list[Prepared | None] = [value.ready for value in values]
        except AttributeError:  # nulls, bytes and paths among the media
            prepared = [getattr(value, "ready", None) for value in values]
        if None in prepared:
            for index, value in enumerate(values):
                if value is not None and prepared[index] is None:
                    prepared[index] = self._read(kind, value, where, index)
        self.forget(values)
        return self._cells(kind, prepared)

    def place_binary(self, kind: str, array: pa.Array, where: Where) -> pa.StructArray:
        """Cells of encoded media in an Arrow array, whose bytes are not copied on the way to their pack."""
        columns = check_headers(kind, array, check=self._check)
        if columns.errors:
            index, error = next(iter(columns.errors.items()))
            raise MediaError(f"{error} · column {where.column!r}, row {where.row(index)}")
        if self._check == "decode":
            return self.place(kind, array.to_pylist(), where)
        present = np.asarray(array.is_valid()) if array.null_count else None
        dense = array.drop_null() if array.null_count else array
        if not len(dense):
            return pa.nulls(len(array), cell_type(kind))
        offsets = np.frombuffer(dense.buffers()[1], np.int32, len(dense) + 1, dense.offset * 4)
        if int(np.diff(offsets).min()) > self._inline_bytes and not any(
            map(_is_compressible, set(columns.content_types))
        ):
            placed = self._put(self._blobs().put_binary(dense, columns.exts))
            cells = self._packed(kind, placed, columns.content_types, columns.fields)
        else:
            exts = [columns.exts] * len(dense) if isinstance(columns.exts, str) else list(columns.exts)
            cells = self._tiered(kind, dense.to_pylist(), list(columns.content_types), exts, columns.fields)
        return cells if present is None else _spread(cells, present)

    def place_strings(self, kind: str, array: pa.Array, uris: str, where: Where) -> pa.StructArray:
        """Cells of paths and URLs: read and stored where `uris` is `own`, pointed at where it is `refer`."""
        make = MEDIA_CLASSES[kind] if uris == "own" else MEDIA_CLASSES[kind].refer
        values = []
        for index, text in enumerate(array.to_pylist()):
            try:
                values.append(None if text is None else make(text))
            except InvalidInputError as error:
                raise InvalidInputError(f"{error} · column {where.column!r}, row {where.row(index)}") from error
        return self.place(kind, values, where)

    def place_struct(self, kind: str, array: pa.Array, where: Where) -> pa.StructArray:
        """Cells of structs `{bytes, path}`, or of cells of this format, which are owned again or stay references."""
        if array.type == cell_type(kind) and are_plain_references(array):
            return array
        values: list[Any] = []
        make = MEDIA_CLASSES[kind]
        for row in array.to_pylist():
            if row is None:
                values.append(None)
            elif "file" in row:
                values.append(self._from_struct(kind, row, where, len(values)))
            else:
                data = row.get("bytes")
                values.append(
                    make(data if data is not None else row["path"]) if data is not None or row.get("path") else None
                )
        return self.place(kind, values, where)

    def _from_struct(self, kind: str, row: dict[str, Any], where: Where, index: int) -> Media:
        """The media of a cell as `to_arrow` gives it: inline, a reference, or, by its absolute uri, a blob of this store."""
        uri = (row["file"] or {}).get("uri")
        home = f"{self._root}/{DATA}"
        if uri is not None and uri.startswith(home) and is_owned_uri(uri[len(home) :]):
            return Media.from_cell(kind, {**row, "file": {**row["file"], "uri": uri[len(home) :]}}, _Here(self._root))
        media = Media.from_cell(kind, row)
        cell = media.cell
        if cell is not None and cell.inline is None and not cell.is_reference:
            where.fail(
                index,
                expected="a reference with an absolute uri, inline bytes, or a blob of this store",
                got=cell.uri,
                todo="pass the media objects of the table instead",
            )
        return media

    def place_masks(self, masks: Sequence[Any], images: Sequence[Any], where: Where) -> pa.StructArray:  # noqa: ARG002 - sizes were compared when the images were prepared
        """Image cells of masks."""
        return self.place("image", masks, where)

    def place_classes(self, values: Sequence[Any], where: Where) -> list[str | None]:
        """Digests of class sets given as `Classes` or digests; sets are remembered, to be stored with the table."""
        digests: list[str | None] = []
        for index, value in enumerate(values):
            if isinstance(value, Classes):
                self._classes.setdefault(value.digest, value)
                digests.append(value.digest)
            elif value is None or isinstance(value, str):
                digests.append(value)
            else:
                where.fail(index, expected="Classes", got=type(value).__name__)
        return digests

    def known_ids(self, digest: str) -> Container[int] | None:
        """The ids of a class set; None where the set is not known here."""
        classes = self._classes.get(digest)
        return None if classes is None else classes.names.keys()

    def _read(self, kind: str, value: Any, where: Where, index: int) -> Prepared:
        media = value if isinstance(value, Media) else MEDIA_CLASSES[kind](value)
        if self.refers:
            media.leave()
        try:
            return media.prepare(self._open_url, self._check)
        except MediaError as error:
            raise MediaError(f"{error} · column {where.column!r}, row {where.row(index)}") from error

    # Cells

    def _cells(self, kind: str, prepared: Sequence[Prepared | None]) -> pa.StructArray:
        present = [item for item in prepared if item is not None]
        if not present:
            return pa.nulls(len(prepared), cell_type(kind))
        datas, _, _, types, exts, fields, _, sources, _ = zip(
            *present, strict=True
        )  # as columns: there is one row per image
        simple = None not in datas and sources.count(None) == len(present)
        array = self._owned(kind, datas, types, exts, fields) if simple else self._mixed(kind, present)
        return (
            array
            if len(present) == len(prepared)
            else _spread(array, np.array([item is not None for item in prepared]))
        )

    def _owned(
        self,
        kind: str,
        datas: Sequence[Any],
        types: Sequence[str | None],
        exts: Sequence[str],
        outer: Sequence[Mapping[str, Any]],
    ) -> pa.Array:
        """Cells of media whose bytes are in memory: the hot path."""
        fields = {name: _column_of(name, outer) for name in OUTER_FIELDS[kind]}
        if min(map(len, datas)) <= self._inline_bytes or any(map(_is_compressible, set(types))):
            return self._tiered(kind, list(datas), list(types), list(exts), fields)
        placed = self._put(self._blobs().put_many(datas, exts[0] if len(set(exts)) == 1 else exts))
        return self._packed(kind, placed, list(types), fields)

    @staticmethod
    def _packed(kind: str, placed: Placed, types: list[str | None], fields: dict[str, Any]) -> pa.Array:
        """Cells of bytes that are in packs, as they are."""
        told = {name: _repeated(values) for name, values in fields.items()}
        return build_cells(
            kind,
            len(placed),
            offset=_pack(placed),
            size=placed.size,
            content_type=_repeated(types),
            checksum=checksums(placed.digests),
            **told,
        )

    def _tiered(
        self, kind: str, datas: list[bytes], types: list[str | None], exts: list[str], fields: dict[str, Any]
    ) -> pa.Array:
        """Cells of media of which some are inline or compressed."""
        count = len(datas)
        digest: list[str | None] = [None] * count
        encoding: list[str | None] = [None] * count
        for index, data in enumerate(datas):
            frame = encode_frame(data) if len(data) > self._inline_bytes and _is_compressible(types[index]) else None
            if frame is not None:
                digest[index], encoding[index] = CHECKSUM_PREFIX + hex_of(data), "zstd"
                datas[index], types[index], exts[index] = frame, "application/zstd", f"{exts[index]}.{FRAME_EXT}"
        offset: list[int | None] = [None] * count
        checks: list[str | None] = [None] * count
        outside = [index for index, data in enumerate(datas) if len(data) > self._inline_bytes]
        if outside:
            placed = self._put(self._blobs().put_many([datas[i] for i in outside], [exts[i] for i in outside]))
            for index, place, name in zip(outside, _pack(placed).tolist(), placed.digests, strict=True):
                offset[index], checks[index] = place, CHECKSUM_PREFIX + name.hex()
        inline = [data if len(data) <= self._inline_bytes else None for data in datas]
        return build_cells(
            kind,
            count,
            offset=pa.array(offset, pa.int64()),
            size=np.fromiter(map(len, datas), np.int64, count),
            content_type=types,
            checksum=[check or CHECKSUM_PREFIX + hex_of(data) for check, data in zip(checks, datas, strict=True)],
            inline=pa.array(inline, pa.binary()),
            digest=pa.array(digest, pa.string()),
            encoding=pa.array(encoding, pa.string()),
            **fields,
        )

    def _mixed(self, kind: str, items: Sequence[Prepared]) -> pa.Array:
        """Cells of which some are references, cells of other tables, or files too large to be held."""
        made: dict[int, dict[str, Any]] = {}
        owned: dict[int, Prepared] = {}
        for index, item in enumerate(items):
            source = item.source
            if source is not None and source.reader is not None:
                self.sources[id(source.reader)] = source.reader
            if source is not None and (source.is_reference or getattr(source.reader, "root", None) == self._root):
                if source.is_reference and source.uri is not None:
                    check_url(source.uri, "copying a reference")
                made[index] = self._copied(kind, item)
            elif item.refer is not None:
                self._grant(item.refer.uri)  # whoever refers to it may read it again
                made[index] = _cell_row(kind, item, **item.refer._asdict())
                if source is not None:  # of another store, where it may be stored as a frame
                    made[index] |= {"digest": source.digest, "encoding": source.encoding}
                    made[index]["file"]["content_type"] = source.content_type
            elif item.path is not None:
                placed = self._put(self._blobs().put_stream(item.path, item.ext))
                place = {
                    "offset": int(_pack(placed)[0]),
                    "size": int(placed.size[0]),
                    "checksum": CHECKSUM_PREFIX + placed.digests[0].hex(),
                }
                made[index] = _cell_row(kind, item, **place)
            else:
                owned[index] = item if item.data is not None else item._replace(data=source.read() if source else b"")
        arrays = [pa.array(list(made.values()), cell_type(kind))]
        if owned:
            datas, _, _, types, exts, fields, _, _, _ = zip(*owned.values(), strict=True)
            arrays.append(self._owned(kind, datas, types, exts, fields))
        order = np.argsort(np.array([*made, *owned]), kind="stable")
        return pa.concat_arrays(arrays).take(pa.array(order))

    def _copied(self, kind: str, item: Prepared) -> dict[str, Any]:
        """A cell of another table of this store: it points where that one does."""
        cell = item.source
        assert cell is not None
        if cell.uri is not None and not cell.is_reference:
            self._uris.add(cell.uri)
        fields = {name: item.fields.get(name, cell.fields.get(name)) for name in OUTER_FIELDS[kind]}
        file = {name: getattr(cell, name) for name in _FILE_FIELDS}
        return {"file": file, **{name: getattr(cell, name) for name in COMMON_FIELDS}, **fields}

    # Packs that have no name yet

    def _put(self, placed: Placed) -> Placed:
        self._pending.append(placed)
        self._slots.update(np.unique(placed.slot).tolist())
        return placed

    def take_pending(self) -> list[Placed]:
        """What was placed since the last call: the token of a batch."""
        pending, self._pending = self._pending, []
        return pending

    def is_ready(self, token: Iterable[Placed]) -> bool:
        """Whether every file that the batch points at has its name."""
        return all(self._blobs().is_sealed(placed) for placed in token)

    def seal(self) -> None:
        """Give every file its name: ends the open pack."""
        self._blobs().seal()

    def resolved(self, array: pa.Array) -> pa.Array:
        """A column with its cells put right, once the files they point at have their names; others as they are."""
        rewriter = self.resolver(array.type)
        return array if rewriter is None else rewriter.convert(array)

    def resolver(self, type_: pa.DataType) -> CellRewriter | None:
        """What puts the cells of a column right; None for a column without cells."""
        return CellRewriter.plan(type_, lambda cell: cell, self._resolve)

    def _resolve(self, array: pa.Array, type_: pa.DataType) -> pa.Array:
        fields = fields_of(array)
        file = fields_of(fields["file"])
        pending = pc.and_(file["uri"].is_null(), file["offset"].is_valid())
        if not pc.any(pending).as_py():
            return array
        mask = np.asarray(pending)
        packed = np.where(mask, np.asarray(pc.fill_null(file["offset"], 0)), 0)
        slots = (packed >> _SLOT_SHIFT).astype(np.int32)
        if not mask.all():  # a place that is surely named stands in where nothing is pending
            slots = np.where(mask, slots, slots[np.argmax(mask)])
        uris, offset = self._blobs().uris(slots), pa.array(packed & _OFFSET_MASK, pa.int64())
        if not mask.all():
            uris, offset = pc.if_else(pending, uris, file["uri"]), pc.if_else(pending, offset, file["offset"])
        settled = {**file, "uri": uris, "offset": offset}
        whole = pa.StructArray.from_arrays(
            [settled[name] for name in _FILE_FIELDS], fields=list(FILE_TYPE), mask=_nulls(fields["file"])
        )
        return pa.StructArray.from_arrays(
            [whole, *(fields[f.name] for f in list(type_)[1:])], fields=list(type_), mask=_nulls(array)
        )

    def named_objects(self) -> list[str]:
        """Those of `objects` that have names by now, in no order. At any time."""
        blobs = self._blobs() if self._slots else None
        named = [slot for slot in self._slots if blobs is not None and blobs.has_name(slot)]
        uris = blobs.uris(np.array(named, np.int32)).to_pylist() if blobs is not None and named else []
        return [*uris, *self._uris]

    def restore(self, uris: Iterable[str]) -> None:
        """What the cells of rows point at that another placer of this table has placed."""
        self._uris.update(uris)

    def objects(self) -> list[str]:
        """The relative uris of all packs and single blobs that the cells point at, sorted. After the last `seal`."""
        slots = np.array(sorted(self._slots), np.int32)
        named = self._blobs().uris(slots).to_pylist() if len(slots) else []
        return sorted({*named, *self._uris})


def _nulls(array: pa.Array) -> pa.Array | None:
    return array.is_null() if array.null_count else None


def _pack(placed: Placed) -> npt.NDArray[np.int64]:
    packed: npt.NDArray[np.int64] = (placed.slot.astype(np.int64) << _SLOT_SHIFT) | placed.offset
    return packed


def _is_compressible(content_type: str | None) -> bool:
    return content_type is not None and content_type.startswith(_COMPRESSIBLE)


def _column_of(name: str, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """One field of each row, None where it is missing; most have it, and are then not asked one by one."""
    try:
        return list(map(itemgetter(name), rows))
    except KeyError:
        return [row.get(name) for row in rows]


def _repeated(values: Any) -> Any:
    """A column that is mostly one and the same object, such as content types and formats, as the array of it."""
    first = values[0] if isinstance(values, list) and values else None
    if isinstance(first, str) and values.count(first) == len(values):
        return pa.repeat(first, len(values))
    return values


def _spread(array: pa.Array, present: npt.NDArray[np.bool_]) -> pa.Array:
    """`array` with nulls where `present` is false."""
    return array.take(pa.array(np.cumsum(present) - 1, pa.int64(), mask=~present))


def _cell_row(kind: str, item: Prepared, **file: Any) -> dict[str, Any]:
    """One cell as a dict, for the few that are made singly."""
    version_id = file.pop("version_id", None)
    fields = {name: item.fields.get(name) for name in OUTER_FIELDS[kind]}
    return {"file": {"content_type": item.content_type, **file}, "version_id": version_id, **fields}
