"""Listing what lies below a prefix, page by page: paths in ascending order, with what the listing tells, no request per object.

S3 and Google pages are asked for here one by one, through the clients' public calls, because fsspec's `find` holds the whole
listing; other file systems are listed by `find`, and held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from tableformat.errors import BackendError, message
from tableformat.format.reference import Known, normal_etag
from tableformat.format.reference_leaf import Listed
from tableformat.storage.faults import fault

__all__ = ["known_of_info", "list_below"]

_PAGE: Final = 1000
_GCS_PAGE: Final = 5000
_DOING: Final = "listing what lies below a prefix"
_GCS_FIELDS: Final = "items(name,size,etag,generation,updated),nextPageToken"


def list_below(fs: Any, path: str, shown: str, after: str | None = None) -> Iterator[Listed]:
    """The objects of `fs` below the folder `path`, sorted by path; only those that come after `after`. Placeholders of folders
    (keys that end in `/`) are left out.

    Holds a page (S3, Google), or the listing (others). Raises the errors of `tableformat.errors`; a page that fails ends it.
    """
    last = after
    for one in _pages(fs, path.rstrip("/") + "/", shown, after):
        if after is not None and one.path <= after:
            continue
        if last is not None and one.path <= last:
            raise BackendError(
                message(
                    _DOING, path=shown, expected="a listing in order", got=f"{one.path[:200]!r} behind {last[:200]!r}"
                )
            )
        last = one.path
        yield one


def _pages(fs: Any, folder: str, shown: str, after: str | None) -> Iterator[Listed]:
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
    bucket, _, prefix = folder.partition("/")
    if "s3" in protocols and hasattr(fs, "call_s3") and not bucket.endswith("--x-s3"):  # those buckets are not in order
        yield from _s3(fs, bucket, prefix, shown, after)
    elif "gs" in protocols and hasattr(fs, "call"):
        yield from _gcs(fs, bucket, prefix, shown, after)
    else:
        yield from _found(fs, folder, shown)


def _s3(fs: Any, bucket: str, prefix: str, shown: str, after: str | None) -> Iterator[Listed]:
    aware = bool(getattr(fs, "version_aware", False))
    method, key, marker = (
        ("list_object_versions", "Versions", "KeyMarker") if aware else ("list_objects_v2", "Contents", "StartAfter")
    )
    options: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": _PAGE}
    if after is not None:
        options[marker] = prefix + after
    while True:
        page = _asked(lambda: fs.call_s3(method, **options), shown)  # noqa: B023 - called before the next turn
        for item in page.get(key, []):
            if item["Key"].endswith("/") or (aware and not item.get("IsLatest")):
                continue
            version = item.get("VersionId") if aware else None
            yield Listed(
                item["Key"][len(prefix) :],
                Known(
                    int(item["Size"]),
                    normal_etag(item.get("ETag")),
                    None if version in (None, "null") else version,
                    _microseconds(item.get("LastModified")),
                ),
            )
        if not page.get("IsTruncated"):
            return
        if aware:
            options |= {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page.get("NextVersionIdMarker", "")}
        else:
            options["ContinuationToken"] = page["NextContinuationToken"]


def _gcs(fs: Any, bucket: str, prefix: str, shown: str, after: str | None) -> Iterator[Listed]:
    options: dict[str, Any] = {"prefix": prefix, "maxResults": _GCS_PAGE, "fields": _GCS_FIELDS}
    if after is not None:
        options["startOffset"] = prefix + after
    while True:
        page = _asked(lambda: fs.call("GET", "b/{}/o", bucket, json_out=True, **options), shown)
        for item in page.get("items", []):
            if not item["name"].endswith("/"):
                yield Listed(item["name"][len(prefix) :], known_of_info({**item, "size": int(item.get("size", 0))}))
        if not (token := page.get("nextPageToken")):
            return
        options["pageToken"] = token


def _found(fs: Any, folder: str, shown: str) -> Iterator[Listed]:
    found: dict[str, dict[str, Any]] = _asked(lambda: fs.find(folder.rstrip("/"), detail=True), shown)
    for name in sorted(found):
        info = found[name]
        if name.startswith(folder) and info.get("type", "file") == "file" and name != folder:
            yield Listed(name[len(folder) :], known_of_info(info))


def _asked(ask: Callable[[], Any], shown: str) -> Any:
    try:
        return ask()
    except Exception as error:  # of whatever class the client has; mapped
        raise fault(error, _DOING, shown) from error


def known_of_info(info: Mapping[str, Any]) -> Known:
    """What a file system of fsspec tells of an object, in whatever words."""
    etag = next((info[name] for name in ("ETag", "etag", "e_tag") if isinstance(info.get(name), str)), None)
    version = next((info[name] for name in ("VersionId", "version_id", "generation") if info.get(name)), None)
    size = info.get("size")
    written = next(
        (
            moment
            for name in ("LastModified", "last_modified", "updated", "mtime", "modified", "created")
            if (moment := _microseconds(info.get(name))) is not None
        ),
        None,
    )
    return Known(
        int(size) if isinstance(size, int | float) else None,
        normal_etag(etag),
        None if version in (None, "null") else str(version),
        written,
    )


def _microseconds(value: Any) -> int | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return round(value * 1e6)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        # Not through a float, which loses the last digit of microseconds.
        whole = moment.astimezone(UTC)
        return int(whole.replace(microsecond=0).timestamp()) * 1_000_000 + whole.microsecond
    return None
