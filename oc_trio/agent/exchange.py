"""One streaming HTTP exchange with a model's server: request out, server-sent events in, deadlines on every wait.

It knows nothing of any provider's vocabulary. httpx's response iterators are nested async generators: leaving them
half-read makes Python warn, so an exchange always ends them, by reading to the end or by cancelling the read.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

import httpx
import trio
from attrs import frozen

from oc_trio.agent.failures import BROKEN, TOO_SLOW, Endpoint, from_status, from_transport
from oc_trio.agent.sse import ServerSentEvent, SseDecoder, SseOverflow
from oc_trio.errors import AgentError, AgentFailed, AgentUnavailable

_ERROR_BODY = 64 * 1024
_WHOLE_BODY = 16 * 1024 * 1024


@frozen
class Deadlines:
    """Seconds: to connect, from the request to the first event, and between two chunks after that.

    Local models read a long prompt for minutes before their first token; hosted ones send a sign of life.
    """

    connect: float = 10.0
    first_token: float = 300.0
    idle: float = 120.0
    linger: float = 1.0  # after the last event, for the end of the body, so that the connection can be reused


class Exchange(Protocol):
    """An answer that is being read."""

    @property
    def content_type(self) -> str: ...

    async def next_events(self) -> tuple[ServerSentEvent, ...] | None: ...

    async def read_whole(self) -> bytes: ...

    async def finish(self) -> None: ...


class _Reader:
    def __init__(self, response: httpx.Response, endpoint: Endpoint, deadlines: Deadlines, first_by: float) -> None:
        self._response = response
        self._chunks = response.aiter_bytes()
        self._decoder = SseDecoder()
        self._endpoint = endpoint
        self._deadlines = deadlines
        self._first_by = first_by
        self._started = False
        self._ended = False

    @property
    def content_type(self) -> str:
        return str(self._response.headers.get("content-type", "")).partition(";")[0].strip().lower()

    async def next_events(self) -> tuple[ServerSentEvent, ...] | None:
        """The events of the next chunk that completes any; None at the end of the body."""
        while not self._ended:
            chunk = await self._next_chunk()
            try:
                events = self._decoder.feed(chunk) if chunk is not None else self._decoder.end()
            except SseOverflow as exc:
                raise AgentFailed(f"{self._endpoint.name}: {exc}", for_user=BROKEN) from exc
            if events:
                self._started = True
                return events
        return None

    async def read_whole(self) -> bytes:
        """The body of an answer that is no stream. Raises `AgentFailed` past 16 MiB."""
        body = bytearray()
        while (chunk := await self._next_chunk()) is not None:
            body += chunk
            if len(body) > _WHOLE_BODY:
                raise AgentFailed(f"{self._endpoint.name}: the answer is too big", for_user=BROKEN)
        return bytes(body)

    async def finish(self) -> None:
        """Read to the end of the body after the last event, within the linger."""
        with trio.move_on_after(self._deadlines.linger):
            while await self._next_chunk() is not None:
                pass

    async def abandon(self) -> None:
        """End a half-read body: the deadline is now, so the read inside is cancelled and its generators unwind."""
        if not self._ended:
            with trio.move_on_after(0, shield=True):
                async for _ in self._chunks:
                    pass

    async def _next_chunk(self) -> bytes | None:
        by = trio.current_time() + self._deadlines.idle if self._started else self._first_by
        try:
            with trio.fail_at(by):
                chunk = await anext(self._chunks, None)
        except trio.TooSlowError as exc:
            self._ended = True
            wait = self._deadlines.idle if self._started else self._deadlines.first_token
            raise AgentUnavailable(f"{self._endpoint.name}: nothing for {wait:g} s", for_user=TOO_SLOW) from exc
        except httpx.HTTPError as exc:
            self._ended = True
            raise from_transport(self._endpoint, exc) from exc
        self._ended = chunk is None
        return chunk


@asynccontextmanager
async def open_exchange(
    http: httpx.AsyncClient,
    endpoint: Endpoint,
    url: str,
    body: Mapping[str, Any],
    headers: Mapping[str, str],
    deadlines: Deadlines,
) -> AsyncIterator[Exchange]:
    """POST `body` as JSON and yield the answer once its status is 200; anything else is raised as `AgentError`."""
    first_by = trio.current_time() + deadlines.first_token
    response = await _send(http, endpoint, url, body, headers, deadlines)
    reader = _Reader(response, endpoint, deadlines, first_by)
    try:
        if response.status_code != 200:
            raise await _refusal(response, endpoint, reader)
        yield reader
    finally:
        with trio.move_on_after(deadlines.linger, shield=True):
            await reader.abandon()
            await response.aclose()


async def _send(
    http: httpx.AsyncClient,
    endpoint: Endpoint,
    url: str,
    body: Mapping[str, Any],
    headers: Mapping[str, str],
    deadlines: Deadlines,
) -> httpx.Response:
    try:
        with trio.fail_after(deadlines.first_token):
            # Only the connect phase can't be told apart from outside; every other wait has a scope of ours.
            request = http.build_request(
                "POST", url, json=body, headers=dict(headers), timeout=httpx.Timeout(None, connect=deadlines.connect)
            )
            return await http.send(request, stream=True, follow_redirects=False)
    except trio.TooSlowError as exc:
        raise AgentUnavailable(f"{endpoint.name}: no answer in {deadlines.first_token:g} s", for_user=TOO_SLOW) from exc
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        raise from_transport(endpoint, exc) from exc


async def _refusal(response: httpx.Response, endpoint: Endpoint, reader: _Reader) -> AgentError:
    body = bytearray()
    while len(body) < _ERROR_BODY and (chunk := await reader._next_chunk()) is not None:
        body += chunk
    return from_status(endpoint, response.status_code, bytes(body), response.headers)
