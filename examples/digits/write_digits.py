"""Write the digits of `images/` again: `python examples/digits/write_digits.py`, with scikit-learn installed.

The first 600 images of the test set of "Optical Recognition of Handwritten Digits", as scikit-learn bundles it, become
`images/<digit>/<number in the set>.png`: 8 × 8 pixels of 8-bit greyscale, the set's 0..16 scaled to 0..255 and nothing
else changed. The PNGs are written without an image library, so that the same bytes come out everywhere.
"""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path

COUNT = 600
"""How many images of the set's 1,797: enough for each digit to occur about 60 times."""


def encode_png(rows: list[bytes]) -> bytes:
    """The PNG of 8-bit greyscale `rows` of equal length, one byte a pixel."""
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    # Each row begins with its filter; 0 keeps the pixels as they are. Stored, not compressed: zlib libraries differ in
    # the bytes that they make of the same pixels, and 72 bytes gain nothing.
    pixels = zlib.compress(b"".join(b"\x00" + row for row in rows), 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def main(folder: Path) -> None:
    """Write all images below `folder`, one sub-folder for each digit."""
    from sklearn.datasets import load_digits  # only this program needs it: the images lie in the repository

    digits = load_digits()
    for number, (image, label) in enumerate(zip(digits.images[:COUNT], digits.target[:COUNT], strict=True)):
        rows = [bytes((int(value) * 255 + 8) // 16 for value in row) for row in image]
        path = folder / str(label) / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("images"))
