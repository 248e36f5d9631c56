"""From other people's files to a store and back; what `tableformat import` and `tableformat export` run.

Everything here uses `tableformat` as its users do.
"""

from tableformat.convert.exporting import Exported, export_table
from tableformat.convert.importing import import_file, import_files, import_folder
from tableformat.convert.legacy import ConversionReport, ExportedWandb, export_wandb, read_wandb_table
from tableformat.convert.legacy import convert_wandb as wandb
from tableformat.convert.outcome import Imported, Outcome

__all__ = [
    "ConversionReport",
    "Exported",
    "ExportedWandb",
    "Imported",
    "Outcome",
    "export_table",
    "export_wandb",
    "import_file",
    "import_files",
    "import_folder",
    "read_wandb_table",
    "wandb",
]
