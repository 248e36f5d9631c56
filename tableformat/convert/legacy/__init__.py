"""Artifacts of Weights & Biases, of every release since 2020, as versions of a store; nothing of its library is needed.

text.py types.py profile.py times.py json_text.py cells.py   one table.json: text to columns
arrays.py array_columns.py media_files.py class_sets.py      what lies beside it
folder.py manifest.py source.py survey.py                    an artifact, and those it refers to
names.py tables.py artifact.py convert.py report.py          into a draft
"""

from tableformat.convert.legacy.convert import convert_wandb, source_document
from tableformat.convert.legacy.export import ExportedWandb, export_wandb
from tableformat.convert.legacy.reading import read_wandb_table
from tableformat.convert.legacy.report import ArtifactReport, ColumnReport, ConversionReport, EntryReport

__all__ = [
    "ArtifactReport",
    "ColumnReport",
    "ConversionReport",
    "EntryReport",
    "ExportedWandb",
    "convert_wandb",
    "export_wandb",
    "read_wandb_table",
    "source_document",
]
