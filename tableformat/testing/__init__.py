"""For those who bring a backend of their own, or test what they build on this library. Needs pytest.

`BackendTests` is the suite that every backend has to pass; `FaultBackend` makes any backend fail on purpose.
"""

from __future__ import annotations

from tableformat.testing.backend import BackendTests
from tableformat.testing.faults import Fault, FaultBackend

__all__ = ["BackendTests", "Fault", "FaultBackend"]
