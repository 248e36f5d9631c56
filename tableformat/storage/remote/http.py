"""Reading over HTTP(S): ranges that are what was asked for, whatever the server makes of the question."""

from __future__ import annotations

from typing import Any

from fsspec.implementations.http import HTTPFileSystem

__all__ = ["RangedHttp"]


class RangedHttp(HTTPFileSystem):  # type: ignore[misc]  # fsspec publishes no types
    """fsspec's file system, with reads of our own.

    A server may ignore `Range` and send the whole object: it is cut here, where the status still tells. It may compress:
    that is refused, for lengths and offsets are those of the stored bytes. It may answer the name of a folder by leading to
    a page that lists it: that is no object.
    """

    async def _cat_file(self, url: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        options = {**self.kwargs, **kwargs}
        headers = {**options.pop("headers", {}), "Accept-Encoding": "identity"}
        if start is not None or end is not None:
            headers["Range"] = f"bytes={start or 0}-{'' if end is None else end - 1}"
        session = await self.set_session()
        async with session.get(self.encode_url(url), headers=headers, **options) as answer:
            if answer.status == 416:
                answer.raise_for_status()
            self._raise_not_found_for_status(answer, url)
            if answer.url.path.endswith("/") and not url.partition("?")[0].endswith("/"):
                raise FileNotFoundError(url)
            data = bytes(await answer.read())
            return data if answer.status == 206 else data[start or 0 : end]
