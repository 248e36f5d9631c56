"""For those who bring a backend of their own, or test what they build on this library. Needs pytest.

`BackendTests` is the suite that every backend has to pass (`ReadOnlyBackendTests` where it cannot write); `FaultBackend`
makes any backend fail on purpose. `testing.servers` starts object stores, `testing.proxy` stands in front of them, counts
requests and makes them fail or wait.
"""

from __future__ import annotations

from tableformat.testing.backend import BackendTests, ReadOnlyBackendTests
from tableformat.testing.faults import Fault, FaultBackend

__all__ = ["BackendTests", "Fault", "FaultBackend", "ReadOnlyBackendTests"]
