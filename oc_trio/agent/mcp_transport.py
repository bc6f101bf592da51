"""Transports to an MCP server: a child's standard streams or HTTP, with limits, cleaning, and a report of the end.

Every message goes through `core.json_body` before the `mcp` package sees it, and invalid tools are removed from a list
first: one of them must not hide the others. Whether a server is up is not decided here.
"""

import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from oc_trio.agent.child import MAX_LINE, LineReader, LineTooLong, StderrLog, open_child
from oc_trio.agent.mcp_convert import usable_tools
from oc_trio.classes import frozen
from oc_trio.core.json_body import BadJson, checked_value, has_more_values, read_lenient
from oc_trio.telemetry.log import get_logger

if TYPE_CHECKING:
    import httpx2
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.client._transport import TransportStreams
    from mcp.shared.message import SessionMessage

T = TypeVar("T")
R = TypeVar("R")

log = get_logger(part="mcp_transport")

# Bytes of one HTTP answer, or of one event of a stream: as much as a line of a child.
MAX_BODY = MAX_LINE
_END_SECONDS = 0.5  # between the end of a child and the end of its output, whichever comes first
# Of one run of a child; the others say the same.
_BAD_LINES_LOGGED = 5
MAX_BAD_LINES = 1000  # in a row, blank ones included: it speaks another protocol
# Parts of one result. The `mcp` package compares each with every kind of part, at up to 0.2 ms a part.
MAX_PARTS = 1000
# A message of more values, and a longer line of a child, are parsed in a thread, so that other tasks go on.
_MANY_VALUES = 10_000
_LONG_LINE = 100_000


@frozen
class Watch:
    """Callbacks of a transport: `ended` with the reason of its end, `left_out` with the unusable tools."""

    ended: Callable[[str], None]
    left_out: Callable[[tuple[str, ...]], None]


@asynccontextmanager
async def watched(
    transport: "AbstractAsyncContextManager[TransportStreams]", watch: Watch
) -> "AsyncGenerator[TransportStreams, None]":
    """`transport`, with its incoming messages cleaned and its end reported."""
    import anyio

    async with transport as (reader, writer), trio.open_nursery() as nursery:
        send: MemoryObjectSendStream[SessionMessage | Exception]
        receive: MemoryObjectReceiveStream[SessionMessage | Exception]
        send, receive = anyio.create_memory_object_stream[Any](0)

        async def pump() -> None:
            async with send, reader:
                try:
                    async for item in reader:
                        if isinstance(item, Exception):
                            await send.send(item)
                        elif (checked := await _checked(item)) is not None:
                            if checked.left_out is not None:
                                watch.left_out(checked.left_out)
                            await send.send(checked.message)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    pass  # one of the two sides is being closed
            watch.ended("it closed the connection")

        nursery.start_soon(pump)
        with send, receive:
            yield receive, writer
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_stdio(
    name: str,
    command: tuple[str, ...],
    env: Mapping[str, str],
    cwd: str,
    stop_limit: float,
    ended: Callable[[str], None],
) -> "AsyncGenerator[TransportStreams, None]":
    """A child that speaks MCP on its standard streams; its stderr goes to the operator's log. Raises OSError.

    `stop_limit` seconds are between the end of its input and SIGTERM, and between that and SIGKILL.
    """
    import anyio

    async with open_child(command, env, stop_limit, cwd=cwd or None) as process, trio.open_nursery() as nursery:
        # Without a buffer: a server that writes faster than it is read is held up at its pipe, and fills no memory.
        to_client, from_server = anyio.create_memory_object_stream[Any](0)
        to_server, from_client = anyio.create_memory_object_stream[Any](0)
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        stderr = StderrLog(name, is_private=False)
        nursery.start_soon(stderr.run, process.stderr)
        nursery.start_soon(_read_child, name, process, to_client, ended)
        nursery.start_soon(_write_child, process.stdin, from_client, stderr, ended)
        nursery.start_soon(_wait_child, process, ended)
        try:
            with to_client, from_server, to_server, from_client:
                yield from_server, to_server
        finally:
            nursery.cancel_scope.cancel()
            # A server that behaves ends when its input does.
            with trio.move_on_after(stop_limit, shield=True):
                await process.stdin.aclose()
                await process.wait()


async def _read_child(name: str, process: trio.Process, to_client: Any, ended: Callable[[str], None]) -> None:
    import anyio

    assert process.stdout is not None
    lines, bad, logged = LineReader(process.stdout), 0, 0
    reason = "it closed its standard output"
    async with to_client:
        try:
            while (line := await lines.next()) is not None:
                message = await _in_thread(_parsed, line) if len(line) > _LONG_LINE else _parsed(line)
                if message is not None:
                    bad = 0
                    await to_client.send(message)
                    continue
                bad += 1
                if bad >= MAX_BAD_LINES:
                    ended(f"it wrote {bad} lines in a row that are no message")
                    return
                if line.strip() and logged < _BAD_LINES_LOGGED:
                    logged += 1
                    log.warning("an MCP server wrote a line that is no message", server=name, bytes=len(line))
        except LineTooLong as problem:
            reason = f"it wrote {problem}"
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the pipe is gone, as is the child
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return  # our side is closed: the server is being stopped
        # The exit status says more than the end of the output, so wait for it.
        with trio.move_on_after(_END_SECONDS):
            await process.wait()
            reason = _exit_text(process)
        ended(reason)


async def _write_child(
    stdin: trio.abc.SendStream, from_client: Any, stderr: StderrLog, ended: Callable[[str], None]
) -> None:
    async with from_client:
        try:
            async for item in from_client:
                # From its first call on it has received what people wrote.
                stderr.is_private |= getattr(item.message, "method", "") == "tools/call"
                text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                await stdin.send_all(f"{text}\n".encode())
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            ended("it closed its standard input")


async def _wait_child(process: trio.Process, ended: Callable[[str], None]) -> None:
    """Report the end after the last output was read, unless another process holds the pipe open."""
    await process.wait()
    await trio.sleep(_END_SECONDS)
    ended(_exit_text(process))


def _exit_text(process: trio.Process) -> str:
    return f"it ended (exit status {process.returncode})"


def _parsed(line: bytes) -> "SessionMessage | None":
    """The message in a line. An unreadable response becomes an error response, so that its request ends."""
    from mcp.shared.message import SessionMessage
    from mcp.types import ErrorData, JSONRPCError, jsonrpc_message_adapter

    try:
        return SessionMessage(jsonrpc_message_adapter.validate_python(read_lenient(line), by_name=False))
    except ValueError:  # BadJson and pydantic's ValidationError
        id_ = _id_of(line)
    if id_ is None:
        return None
    error = ErrorData(code=-32603, message="the server's answer can't be read")
    return SessionMessage(JSONRPCError(jsonrpc="2.0", id=id_, error=error))


def _id_of(line: bytes) -> int | None:
    """The id of the request that a line answers; ours are numbers."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    id_ = value.get("id") if isinstance(value, dict) and "method" not in value else None
    return id_ if isinstance(id_, int) and 0 <= id_ < 2**53 else None


@frozen
class _Checked:
    """A message that the `mcp` package may see; of a list of tools, `left_out` says which were dropped, if any."""

    message: "SessionMessage"
    left_out: tuple[str, ...] | None = None


async def _checked(item: "SessionMessage") -> _Checked | None:
    """None for a request or notification that is too large: nothing that we serve needs one."""
    from mcp.types import JSONRPCError, JSONRPCResponse

    message = item.message
    if isinstance(message, JSONRPCError):
        return _cleaned(item)
    if isinstance(message, JSONRPCResponse):
        is_large = has_more_values(message.result, _MANY_VALUES)
        return await _in_thread(_cleaned, item) if is_large else _cleaned(item)
    if has_more_values(message.params, _MANY_VALUES):
        log.warning("a message of an MCP server is too large and was dropped", method=message.method[:80])
        return None
    return _cleaned(item)


async def _in_thread(work: Callable[[T], R], argument: T) -> R:
    """Run `work` in a thread. It only computes a value, so after a cancellation it may run to its end."""
    return await trio.to_thread.run_sync(work, argument, abandon_on_cancel=True)


def _cleaned(item: "SessionMessage") -> _Checked:
    from mcp.types import ErrorData, JSONRPCError, JSONRPCResponse

    message, left_out = item.message, None
    if isinstance(message, JSONRPCResponse):
        try:
            result = checked_value(message.result)
        except BadJson as problem:
            error = ErrorData(code=-32603, message=f"the server's answer can't be used: {problem}")
            item.message = JSONRPCError(jsonrpc="2.0", id=message.id, error=error)
            return _Checked(item)
        if isinstance(result.get("tools"), list):
            result["tools"], left_out = usable_tools(result["tools"])
        parts = result.get("content")
        if isinstance(parts, list) and len(parts) > MAX_PARTS:
            rest = {"type": "text", "text": f"[{len(parts) - MAX_PARTS} more parts were left out]"}
            result["content"] = [*parts[:MAX_PARTS], rest]
        message.result = result
    elif isinstance(message, JSONRPCError):
        # Only code and message are used.
        message.error = ErrorData(code=message.error.code, message=_text_of(message.error.message))
    return _Checked(item, left_out)


def _text_of(value: Any) -> str:
    text = checked_value(value)
    return text if isinstance(text, str) else json.dumps(text)


@asynccontextmanager
async def open_http(
    url: str, headers: Mapping[str, str], connect_limit: float
) -> "AsyncGenerator[TransportStreams, None]":
    """A server on streamable HTTP."""
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    # Reads have no limit here: a call's limit is the toolbox's, and the event stream is silent for hours.
    times = httpx2.Timeout(connect_limit, read=None)
    # A decompressed body would have no bound, so no compression is asked for.
    plain = {**headers, "Accept-Encoding": "identity"}
    async with (
        httpx2.AsyncClient(headers=plain, timeout=times, transport=_bounded_transport()) as http,
        streamable_http_client(url, http_client=http) as streams,
    ):
        yield streams[0], streams[1]


@cache
def _trusted() -> ssl.SSLContext:
    """The transport by itself would read the certificates for each server, which takes 20 ms."""
    import httpx2

    # Not `network.tls.client_tls`, which trusts others: with SSL_CERT_FILE the system's folder besides that file, where
    # this trusts the file alone; on macOS and Windows what OpenSSL was built with, where this asks the system.
    return httpx2.create_ssl_context()


def _bounded_transport() -> "httpx2.AsyncBaseTransport":
    import httpx2

    class BoundedStream(httpx2.AsyncByteStream):
        def __init__(self, stream: Any, *, is_events: bool) -> None:
            self._stream = stream
            self._is_events = is_events

        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            chunks = aiter(self._stream)
            try:
                async for chunk in chunks:
                    size += len(chunk)
                    # A stream of events has no end: the limit holds for each of its events.
                    if self._is_events and (b"\n\n" in chunk or b"\r\n\r\n" in chunk):
                        size = 0
                    if size > MAX_BODY:
                        raise httpx2.ReadError(f"an answer of more than {MAX_BODY} bytes")
                    yield chunk
            finally:
                await chunks.aclose()

        async def aclose(self) -> None:
            await self._stream.aclose()

    class Bounded(httpx2.AsyncBaseTransport):
        def __init__(self) -> None:
            self._inner = httpx2.AsyncHTTPTransport(verify=_trusted())

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            response = await self._inner.handle_async_request(request)
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                await response.aclose()
                raise httpx2.RemoteProtocolError("a compressed answer, which was not asked for")
            length = response.headers.get("content-length", "")
            # Cut before it is read: int() raises for thousands of digits.
            if length.isdecimal() and int(length[:20]) > MAX_BODY:
                await response.aclose()
                raise httpx2.RemoteProtocolError(f"an answer of {length[:20]} bytes")
            is_events = response.headers.get("content-type", "").lower().startswith("text/event-stream")
            response.stream = BoundedStream(response.stream, is_events=is_events)
            return response

        async def aclose(self) -> None:
            await self._inner.aclose()

    return Bounded()
