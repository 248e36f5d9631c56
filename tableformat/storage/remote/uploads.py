"""Uploads to S3 that were never completed: what a writer leaves that is killed while it sends a long object in pieces.

A client that fails gives its upload up by itself. Google's and Azure's end by themselves after a week.
"""

from __future__ import annotations

from typing import Any

__all__ = ["abort_uploads"]


def abort_uploads(fs: Any, base: str, older_than: float) -> int:
    """Give up the uploads below `base`, in the file system `fs` of s3fs, that began before `older_than`; how many there were.

    One request, and one for each thousand of uploads and for each that is given up. What a server refuses is left to it.
    """
    bucket, _, prefix = base.partition("/")
    place: dict[str, str] = {}
    count = 0
    while True:
        try:
            found = fs.call_s3(
                "list_multipart_uploads", Bucket=bucket, Prefix=f"{prefix}/data/" if prefix else "data/", **place
            )
        except Exception:  # noqa: BLE001 - a right that is missing, or a server without them; of whatever class
            return count
        begun = (upload for upload in found.get("Uploads", []) if upload["Initiated"].timestamp() < older_than)
        count += sum(_abort(fs, bucket, upload) for upload in begun)
        following = {"KeyMarker": found.get("NextKeyMarker"), "UploadIdMarker": found.get("NextUploadIdMarker")}
        if not found.get("IsTruncated") or not following["KeyMarker"] or following == place:
            return count
        place = {name: marker for name, marker in following.items() if marker}


def _abort(fs: Any, bucket: str, upload: dict[str, Any]) -> bool:
    try:
        fs.call_s3("abort_multipart_upload", Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    except Exception:  # noqa: BLE001 - ended meanwhile, or for the next time
        return False
    return True
