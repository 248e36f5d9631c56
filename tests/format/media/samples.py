"""Small whole media of every format that is checked by its header, made by hand."""

from __future__ import annotations

import io
import zlib
from struct import pack

import numpy as np
from PIL import Image as PillowImage

from tableformat.format.media.png import encode_png
from tableformat.format.media.wav import encode_wav

RED = np.zeros((2, 3, 3), np.uint8)
RED[:, :, 0] = 255
PNG = encode_png(RED)
"""3 pixels across, 2 down."""


def pillow(word: str, **options: object) -> bytes:
    """The red image as Pillow writes it."""
    out = io.BytesIO()
    PillowImage.fromarray(RED).save(out, word, **options)
    return out.getvalue()


def box(name: bytes, body: bytes) -> bytes:
    """A box of an ISO media file."""
    return pack(">I", 8 + len(body)) + name + body


def ebml(name: int, body: bytes) -> bytes:
    """An element of a Matroska file."""
    return name.to_bytes((name.bit_length() + 7) // 8, "big") + (len(body) | 1 << 56).to_bytes(8, "big") + body


def ogg(packet: bytes, granule: int) -> bytes:
    """Two pages of an Ogg file: the first with a header packet, the last with the granule."""
    first = b"OggS\0\2" + pack("<qIIIB", 0, 1, 0, 0, 1) + bytes([len(packet)]) + packet
    return first + b"OggS\0\4" + pack("<qIIIB", granule, 1, 1, 0, 1) + b"\x04" + b"body"


IMAGES = {
    "png": PNG,
    "jpeg": pillow("JPEG"),
    "gif": pillow("GIF"),
    "webp": pillow("WEBP", lossless=True),
    "bmp": pillow("BMP"),
    "tiff": pillow("TIFF"),
    "svg": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="3" height="2px"><g/></svg>\n',
    "avif": box(b"ftyp", b"avif\0\0\0\0avifmif1") + box(b"meta", b"\0\0\0\x14ispe\0\0\0\0" + pack(">II", 3, 2)),
    "heic": box(b"ftyp", b"heic\0\0\0\0mif1heic") + box(b"meta", b"\0\0\0\x14ispe\0\0\0\0" + pack(">II", 3, 2)),
}
"""Format → a whole image of 3×2 pixels."""

_FLAC_INFO = pack(">HH", 4096, 4096) + bytes(6) + (8000 << 44 | 1 << 41 | 15 << 36 | 4).to_bytes(8, "big") + bytes(16)
_MVHD = bytes(12) + pack(">II", 1000, 1500) + bytes(80)
_TKHD = bytes(76) + pack(">II", 320 << 16, 240 << 16)
SOUNDS = {
    "wav": encode_wav(np.zeros((4, 2), np.int16), 8000),
    "flac": b"fLaC\x80\0\0\x22" + _FLAC_INFO + b"\xff\xf8frame",
    "ogg": ogg(b"\x01vorbis\0\0\0\0" + pack("<BI", 2, 8000) + bytes(14), 4),
    "opus": ogg(b"OpusHead\x01" + pack("<BHI", 2, 312, 48000) + bytes(3), 316),
    "mp3": b"ID3\4\0\0\0\0\0\2ab" + b"\xff\xfb\x90\x00" + bytes(32) + b"Xing\0\0\0\x01" + pack(">I", 2) + bytes(200),
    "aiff": b"FORM" + pack(">I", 4 + 26 + 24) + b"AIFF" + b"COMM" + pack(">IhIhHQ", 18, 2, 4, 16, 16383 + 12, 8000 << 51)
    + b"SSND" + pack(">I", 24) + bytes(24),
    "m4a": box(b"ftyp", b"M4A \0\0\0\0") + box(b"moov", box(b"mvhd", _MVHD) + box(b"trak", box(b"mdhd", bytes(12) + pack(">II", 8000, 4) + bytes(4))
    + b"hdlrsoun" + b"mp4a" + bytes(16) + pack(">H6xI", 2, 8000 << 16))),
}  # fmt: skip
"""Format → a whole sound of two channels."""

VIDEOS = {
    "mp4": box(b"ftyp", b"isom\0\0\0\0") + box(b"moov", box(b"mvhd", _MVHD) + box(b"trak", box(b"tkhd", _TKHD))) + box(b"mdat", b"x"),
    "mov": box(b"ftyp", b"qt  \0\0\0\0") + box(b"mdat", b"x") + box(b"moov", box(b"mvhd", _MVHD) + box(b"trak", box(b"tkhd", _TKHD))),
    "webm": ebml(0x1A45DFA3, b"\x42\x82\x84webm") + ebml(0x18538067, ebml(0x1549A966, b"\x44\x89\x84" + pack(">f", 1500.0))
    + ebml(0x1654AE6B, ebml(0xAE, ebml(0xE0, b"\xb0\x82\x01\x40\xba\x81\xf0")))),
    "mkv": ebml(0x1A45DFA3, b"\x42\x82\x88matroska") + ebml(0x18538067, ebml(0x1549A966, b"\x44\x89\x84" + pack(">f", 1500.0))
    + ebml(0x1654AE6B, ebml(0xAE, ebml(0xE0, b"\xb0\x82\x01\x40\xba\x81\xf0")))),
    "avi": b"RIFF" + pack("<I", 68) + b"AVI LIST" + pack("<I", 56) + b"hdrlavih" + pack("<I", 40)
    + pack("<10I", 100_000, 0, 0, 0, 15, 0, 1, 0, 320, 240) + bytes(4),
}  # fmt: skip
"""Format → a whole video of 320×240 pixels and 1.5 seconds."""

DOCUMENTS = {
    "html": ("html", b"<!doctype html><p>hello</p>"),
    "glb": ("object3d", b"glTF" + pack("<II", 2, 12)),
    "gltf": ("object3d", b'{"asset": {"version": "2.0"}}'),
    "pts.json": ("object3d", b"[[0, 0, 0], [1, 2, 3]]"),
    "babylon": ("object3d", b'{"meshes": []}'),
    "stl": ("object3d", bytes(80) + pack("<I", 1) + bytes(50)),
    "obj": ("object3d", b"# cube\nv 0 0 0\nv 1 0 0\n"),
    "ply": ("object3d", b"ply\nformat ascii 1.0\nelement vertex 0\nend_header\n"),
    "pdb": ("molecule", b"HEADER    WATER\nATOM      1  O   HOH A   1\nEND\n"),
    "cif": ("molecule", b"data_water\n_cell_length_a 1\n"),
    "mmcif": ("molecule", b"data_1ABC\nloop_\n_atom_site.id\n1\n"),
    "sdf": ("molecule", b"water\n\n\n  0  0  0     0  0            999 V2000\nM  END\n"),
    "mol2": ("molecule", b"@<TRIPOS>MOLECULE\nwater\n"),
    "plotly": ("plotly", b'{"data": [{"y": [1, 2.5]}], "layout": {}}'),
}
"""Format → kind and a whole document."""


def bomb(side: int) -> bytes:
    """A PNG of side × side zeros in few bytes."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return pack(">I", len(body)) + name + body + pack(">I", zlib.crc32(name + body))

    engine = zlib.compressobj(9)
    rows = b"".join(engine.compress(bytes(side + 1)) for _ in range(side)) + engine.flush()
    head = pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
