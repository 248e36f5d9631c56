"""A small server of Google Cloud Storage's JSON API, in memory, for tests: `python -m tableformat.testing.gcs_server PORT`.

None that can be installed honours `ifGenerationMatch`, on which commits rest. One process and one event loop: between the
look at a condition and the store no other request is served, so a creation has one winner. Bodies of the multipart sort are
cut at the boundary that the client named, as the service does, so that content which holds the boundary is stored cut off.
Buckets, objects with generations, ranges, simple, multipart and resumable uploads, listings, rewrites, batched deletions;
everything else is answered 404. It checks no credentials. Needs aiohttp, which gcsfs brings.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import google_crc32c
from aiohttp import web

__all__ = ["make_app"]

_CONDITIONS = {"ifGenerationMatch": ("generation", True), "ifGenerationNotMatch": ("generation", False),
               "ifMetagenerationMatch": ("metageneration", True)}  # fmt: skip
_MAX_NAME_BYTES = 1024
_MAX_BODY_BYTES = 2 << 30


class _RefusalError(Exception):
    def __init__(self, status: int, text: str, reason: str = "invalid") -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.reason = reason


@dataclass(slots=True)
class _Object:
    """One generation of an object."""

    resource: dict[str, Any]
    data: bytes


@dataclass(slots=True)
class _Upload:
    """A resumable upload under way."""

    bucket: str
    name: str
    resource: dict[str, Any]
    query: dict[str, str]
    data: bytearray = field(default_factory=bytearray)
    done: _Object | None = None


class _Store:
    """The buckets: for each name its generations, newest last; None where it was deleted."""

    def __init__(self) -> None:
        self.buckets: dict[str, dict[str, list[_Object | None]]] = {}
        self.uploads: dict[str, _Upload] = {}
        self._generations = itertools.count(int(time.time() * 1e6))

    def bucket(self, name: str) -> dict[str, list[_Object | None]]:
        if name not in self.buckets:
            raise _RefusalError(404, f"no bucket {name}", "notFound")
        return self.buckets[name]

    def live(self, bucket: str, name: str) -> _Object | None:
        generations = self.bucket(bucket).get(name)
        return generations[-1] if generations else None

    def find(self, bucket: str, name: str, generation: str | None) -> _Object:
        if generation is None:
            found = self.live(bucket, name)
        else:
            old = self.bucket(bucket).get(name, [])
            found = next((one for one in old if one is not None and one.resource["generation"] == generation), None)
        if found is None:
            raise _RefusalError(404, f"No such object: {bucket}/{name}", "notFound")
        return found

    def put(self, bucket: str, name: str, data: bytes, given: dict[str, Any], query: Any) -> _Object:
        if not name or "\n" in name or "\r" in name or len(name.encode()) > _MAX_NAME_BYTES:
            raise _RefusalError(400, "bad object name")
        _check_conditions(query, self.live(bucket, name))
        sums = {
            "md5Hash": base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode(),
            "crc32c": base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode(),
        }
        if any(given.get(key, value) != value for key, value in sums.items()):
            raise _RefusalError(400, "the checksum does not match")
        generation = str(next(self._generations))
        now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{int(time.time() * 1000) % 1000:03d}Z"
        resource = {
            "kind": "storage#object", "id": f"{bucket}/{name}/{generation}", "name": name, "bucket": bucket,
            "generation": generation, "metageneration": "1", "size": str(len(data)), **sums,
            "etag": base64.b64encode(generation.encode()).decode(), "metadata": given.get("metadata", {}),
            "contentType": given.get("contentType", "application/octet-stream"), "timeCreated": now, "updated": now,
            "storageClass": "STANDARD",
        }  # fmt: skip
        made = _Object(resource, data)
        self.bucket(bucket).setdefault(name, []).append(made)
        return made

    def delete(self, bucket: str, name: str) -> None:
        if self.live(bucket, name) is None:
            raise _RefusalError(404, f"No such object: {bucket}/{name}", "notFound")
        self.bucket(bucket)[name].append(None)


def _check_conditions(query: Any, found: _Object | None) -> None:
    for key, (what, equal) in _CONDITIONS.items():
        if key in query:
            current = int(found.resource[what]) if found is not None else 0
            if (int(query[key]) == current) is not equal:
                raise _RefusalError(
                    412, "At least one of the pre-conditions you specified did not hold.", "conditionNotMet"
                )


class _Api:
    """The handlers of requests."""

    def __init__(self) -> None:
        self.store = _Store()

    async def make_bucket(self, request: web.Request) -> web.Response:
        name = (await request.json())["name"]
        if name in self.store.buckets:
            raise _RefusalError(409, "You already own this bucket.", "conflict")
        self.store.buckets[name] = {}
        return web.json_response({"kind": "storage#bucket", "name": name})

    async def get_bucket(self, request: web.Request) -> web.Response:
        name = request.match_info["bucket"]
        self.store.bucket(name)
        return web.json_response({"kind": "storage#bucket", "name": name, "timeCreated": "2026-01-01T00:00:00Z"})

    async def list_objects(self, request: web.Request) -> web.Response:
        query = request.query
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        most, token = int(query.get("maxResults", 1000)), query.get("pageToken", "")
        items: list[dict[str, Any]] = []
        prefixes: list[str] = []
        answer: dict[str, Any] = {"kind": "storage#objects"}
        last = ""
        for name, folder in self._names(request.match_info["bucket"], prefix, delimiter):
            if (folder or name) <= token or (folder and prefixes and prefixes[-1] == folder):
                continue
            if len(items) + len(prefixes) >= most:
                answer["nextPageToken"] = last
                break
            last = folder or name
            if folder:
                prefixes.append(folder)
            else:
                found = self.store.live(request.match_info["bucket"], name)
                assert found is not None
                items.append(found.resource)
        return web.json_response({**answer, **({"items": items} if items else {}), **({"prefixes": prefixes} if prefixes else {})})  # fmt: skip

    def _names(self, bucket: str, prefix: str, delimiter: str) -> Iterator[tuple[str, str]]:
        """Each live name with `prefix`, sorted, and the common prefix it stands for, or nothing."""
        for name in sorted(self.store.bucket(bucket)):
            if name.startswith(prefix) and self.store.live(bucket, name) is not None:
                end = name.find(delimiter, len(prefix)) if delimiter else -1
                yield name, name[: end + len(delimiter)] if end >= 0 else ""

    async def get_object(self, request: web.Request) -> web.Response:
        found = self.store.find(
            request.match_info["bucket"], unquote(request.match_info["name"]), request.query.get("generation")
        )
        _check_conditions(request.query, found)
        if request.query.get("alt") != "media":
            return web.json_response(found.resource)
        return _media(request, found)

    async def delete_object(self, request: web.Request) -> web.Response:
        bucket, name = request.match_info["bucket"], unquote(request.match_info["name"])
        _check_conditions(request.query, self.store.find(bucket, name, request.query.get("generation")))
        self.store.delete(bucket, name)
        return web.Response(status=204)

    async def upload(self, request: web.Request) -> web.Response:
        if "upload_id" in request.query:
            return await self._resume(request)
        bucket, query = request.match_info["bucket"], request.query
        kind = query.get("uploadType", "media")
        self.store.bucket(bucket)
        if kind == "resumable":
            return await self._begin(request)
        body = await request.read()
        if kind == "multipart":
            resource, data = _split_multipart(body, request.headers["Content-Type"])
            name = resource.get("name") or query.get("name", "")
        else:
            resource, data, name = {"contentType": request.content_type}, body, query["name"]
        return web.json_response(self.store.put(bucket, name, data, resource, query).resource)

    async def _begin(self, request: web.Request) -> web.Response:
        bucket, query = request.match_info["bucket"], request.query
        resource = json.loads(await request.read() or b"{}")
        name = query.get("name") or resource.get("name", "")
        _check_conditions(query, self.store.live(bucket, name))
        key = uuid.uuid4().hex
        self.store.uploads[key] = _Upload(bucket, name, resource, dict(query))
        place = f"http://{request.host}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={key}"
        return web.Response(headers={"Location": place})

    async def _resume(self, request: web.Request) -> web.Response:
        upload = self.store.uploads.get(request.query["upload_id"])
        if upload is None:
            raise _RefusalError(404, "no such upload", "notFound")
        if request.method == "DELETE":
            del self.store.uploads[request.query["upload_id"]]
            return web.Response(status=499)
        data = await request.read()
        told = request.headers.get("Content-Range", f"bytes 0-{len(data) - 1}/{len(data)}" if data else "bytes */0")
        place = re.match(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", told)
        if place is None:
            raise _RefusalError(400, "bad Content-Range")
        if upload.done is None:
            if place[1] is not None:
                first = int(place[1])
                if first > len(upload.data):
                    raise _RefusalError(503, "a gap before this piece")
                upload.data += data[len(upload.data) - first :]
            if place[3] != "*" and len(upload.data) >= int(place[3]):
                upload.done = self.store.put(upload.bucket, upload.name, bytes(upload.data), upload.resource, upload.query)  # fmt: skip
        if upload.done is not None:
            return web.json_response(upload.done.resource)
        return web.Response(status=308, headers={"Range": f"bytes=0-{len(upload.data) - 1}"} if upload.data else {})

    async def rewrite(self, request: web.Request) -> web.Response:
        match = request.match_info
        found = self.store.find(match["bucket"], unquote(match["name"]), None)
        given = {key: found.resource[key] for key in ("contentType", "metadata")}
        made = self.store.put(match["bucket2"], unquote(match["name2"]), found.data, given, request.query).resource
        answer = {"kind": "storage#rewriteResponse", "done": True, "totalBytesRewritten": made["size"], "objectSize": made["size"]}  # fmt: skip
        return web.json_response({**answer, "resource": made})

    async def batch(self, request: web.Request) -> web.Response:
        answers = []
        for match in re.finditer(r"DELETE /storage/v1/b/([^/]+)/o/([^ ?]+)(?:\?\S*)? HTTP", await request.text()):
            status, text = "204 No Content", ""
            try:
                self.store.delete(unquote(match[1]), unquote(match[2]))
            except _RefusalError as refusal:
                status = f"{refusal.status} refused"
                text = json.dumps({"error": {"code": refusal.status, "message": refusal.text}})
            answers.append(
                f"--batch_x\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\n\r\n{text}\r\n"
            )
        return web.Response(text="".join(answers) + "--batch_x--", headers={"Content-Type": "multipart/mixed; boundary=batch_x"})  # fmt: skip


def _split_multipart(body: bytes, content_type: str) -> tuple[dict[str, Any], bytes]:
    """The resource and the content between lines of the boundary, wherever one stands."""
    named = re.search(r"boundary=[\"']?([^\"';]+)", content_type)
    if named is None:
        raise _RefusalError(400, "no boundary")
    parts = re.split(rb"(?:^|\r?\n)--" + re.escape(named[1].encode()) + rb"(?:--)?[ \t]*(?:\r?\n|$)", body)[1:]
    if len(parts) < 2:
        raise _RefusalError(400, "the multipart body is malformed")
    resource, content = (re.split(rb"\r?\n\r?\n", part, maxsplit=1) for part in parts[:2])
    return json.loads(resource[1]), content[1] if len(content) > 1 else b""


def _media(request: web.Request, found: _Object) -> web.Response:
    data, told = found.data, found.resource
    headers = {
        "X-Goog-Hash": f"crc32c={told['crc32c']},md5={told['md5Hash']}", "X-Goog-Generation": told["generation"],
        "ETag": told["etag"], "Content-Type": told["contentType"],
    }  # fmt: skip
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", ""))
    if asked is None or not (asked[1] or asked[2]):
        return web.Response(body=data, headers=headers)
    first = int(asked[1]) if asked[1] else max(0, len(data) - int(asked[2]))
    last = min(int(asked[2]), len(data) - 1) if asked[1] and asked[2] else len(data) - 1
    if first >= len(data):
        return web.Response(status=416, headers={"Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
    return web.Response(status=206, body=data[first : last + 1], headers=headers)


@web.middleware
async def _refusals(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except _RefusalError as refusal:
        told = {"reason": refusal.reason, "message": refusal.text, "domain": "global"}
        error = {"code": refusal.status, "message": refusal.text, "errors": [told]}
        return web.json_response({"error": error}, status=refusal.status)


def make_app() -> web.Application:
    """The application, with no bucket."""
    api = _Api()
    app = web.Application(middlewares=[_refusals], client_max_size=_MAX_BODY_BYTES)
    objects, name = "/storage/v1/b/{bucket}/o", "/storage/v1/b/{bucket}/o/{name:.+}"
    app.router.add_post("/storage/v1/b", api.make_bucket)
    app.router.add_get("/storage/v1/b/{bucket}", api.get_bucket)
    app.router.add_get(objects, api.list_objects)
    app.router.add_post("/storage/v1/b/{bucket}/o/{name:[^/]+}/rewriteTo/b/{bucket2}/o/{name2:.+}", api.rewrite)
    app.router.add_get(name, api.get_object)
    app.router.add_delete(name, api.delete_object)
    app.router.add_get(f"/download{name}", api.get_object)
    for method in ("POST", "PUT", "DELETE"):
        app.router.add_route(method, f"/upload{objects}", api.upload)
    app.router.add_post("/batch/storage/v1", api.batch)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
