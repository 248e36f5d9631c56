"""Media: one file for each family; what their cells hold, how they are checked, encoded and read back.

The cells are specified in spec/media.md.
"""

from tableformat.format.media.audio import Audio
from tableformat.format.media.base import Check, Media
from tableformat.format.media.boxes import Box
from tableformat.format.media.classes import Classes
from tableformat.format.media.documents import Html, Molecule, Object3D, Plotly
from tableformat.format.media.file import File
from tableformat.format.media.image import Image
from tableformat.format.media.masks import Mask
from tableformat.format.media.prepared import Cell, CellSource, OpenUrl, Prepared, Reference
from tableformat.format.media.video import Video

__all__ = [
    "Audio",
    "Box",
    "Cell",
    "CellSource",
    "Check",
    "Classes",
    "File",
    "Html",
    "Image",
    "Mask",
    "Media",
    "Molecule",
    "Object3D",
    "OpenUrl",
    "Plotly",
    "Prepared",
    "Reference",
    "Video",
]
