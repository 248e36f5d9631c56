"""gcsfs as a store needs it: the JSON API alone, and fewer repetitions.

The class that gcsfs registers asks first over gRPC which kind of bucket it has, and where nobody answers waits a minute
for each bucket. Whoever needs it (zonal buckets) sets GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT=true and gets it.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any, Final

__all__ = ["BOUNDARY", "file_system_class"]

BOUNDARY: Final = b"--==0=="
"""gcsfs sends small objects in one request between lines that begin so; content that holds one arrives cut off."""
_ATTEMPTS: Final = 4


@cache
def file_system_class() -> type[Any]:
    """The class to make a file system of; raises `ImportError` where gcsfs is not there."""
    import gcsfs
    import gcsfs.core
    import gcsfs.retry

    if os.environ.get("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "").lower() in ("true", "1"):
        registered: type[Any] = gcsfs.GCSFileSystem
        return registered
    request = getattr(gcsfs.core.GCSFileSystem._request, "__wrapped__", None)
    # Six attempts last 34 seconds, and a commit that asks again does that several times.
    own = {} if request is None else {"_request": gcsfs.retry.retry_request(retries=_ATTEMPTS)(request)}
    made: type[Any] = type("JsonGcs", (gcsfs.core.GCSFileSystem,), own)
    return made
