"""The library's logger: `logging.getLogger("tableformat")`, which is never configured here."""

from __future__ import annotations

import logging
from typing import Final

__all__ = ["logger"]

logger: Final = logging.getLogger("tableformat")
