"""Every wire that strangers write to: what may come over it, and what reads it. Only the edge's own errors may leave,
and what is read must be clean: text that can be encoded, without NUL, and values that can be written as JSON.
"""

import json
import math
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import attrs
import httpx
import trio
import trio.testing
from attrs import frozen
from hypothesis import strategies as st

from oc_trio.agent.anthropic import AnthropicAgent, AnthropicSettings
from oc_trio.agent.command_wire import ContractBroken, ToolCallLine, read_line
from oc_trio.agent.mcp_convert import result_text, tool_specs
from oc_trio.agent.openai import OpenAIAgent, OpenAISettings
from oc_trio.agent.port import Agent, Message, Role, ToolCall, ToolResult, ToolSpec, TurnRequest
from oc_trio.agent.sse import ServerSentEvent, SseDecoder, SseOverflow
from oc_trio.core import decode_entities, interactions, questions, slash
from oc_trio.core.decode import decode_frame, decode_post
from oc_trio.core.event_check import checked
from oc_trio.core.hooks import HookKind, read_hook
from oc_trio.core.json_body import BadJson, read_lenient
from oc_trio.core.text import is_clean
from oc_trio.core.turn_events import Final
from oc_trio.errors import AgentError, CallbackRefused, MattermostError, PayloadError
from oc_trio.ids import AgentId, SessionKey
from oc_trio.mattermost.rest.responses import error_from_response, read_json
from oc_trio.signing import sign_context
from tests.wires import picture, recorded
from tests.wires.mutation import bodies, chunked, damaged, mutated, written


@frozen
class Wire:
    """`inputs` are the arguments for `read`, which gives whether something was read; whatever it raises is a defect."""

    inputs: st.SearchStrategy[Any]
    read: Callable[[Any], bool]


def assert_clean(value: Any) -> None:
    """Every text in `value` can be encoded and holds no NUL; every number is finite."""
    if isinstance(value, str):
        assert is_clean(value), ascii(value)
    elif isinstance(value, float):
        assert math.isfinite(value), value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            assert_clean(key)
            assert_clean(item)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            assert_clean(item)
    elif attrs.has(type(value)):
        for field in attrs.fields(type(value)):
            assert_clean(getattr(value, field.name))


# Models: the agent as the gateway runs it, over a transport that plays one answer and then a plain end.


@frozen
class _Pieces(httpx.AsyncByteStream):
    pieces: tuple[bytes, ...]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece


@frozen
class Played:
    """One answer of a model's server."""

    pieces: tuple[bytes, ...]
    status: int = 200
    content_type: str = "text/event-stream"


class _Server(httpx.AsyncBaseTransport):
    def __init__(self, first: Played, end: Played) -> None:
        self._first: Played | None = first
        self._end = end

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        await trio.lowlevel.checkpoint()
        played, self._first = self._first or self._end, None
        headers = {"content-type": played.content_type}
        return httpx.Response(played.status, headers=headers, stream=_Pieces(played.pieces), request=request)


class _Tools:
    """Takes only what could be written down, as the transcript does."""

    specs = (ToolSpec("look", "Looks something up.", {"type": "object", "properties": {}}),)

    async def call(self, call: ToolCall) -> ToolResult:
        await trio.lowlevel.checkpoint()
        assert_clean(call)
        json.dumps(dict(call.arguments), allow_nan=False).encode()
        return ToolResult("found")


_REQUEST = TurnRequest(AgentId("main"), SessionKey("s"), "Be kind.", (Message(Role.USER, "hello"),), tools=_Tools())


def _sse(events: Any, *, named: bool) -> bytes:
    lines = []
    for event in events if isinstance(events, list) else [events]:
        if named and isinstance(event, dict) and isinstance(event.get("type"), str):
            lines.append(f"event: {event['type']}\n")
        lines.append(f"data: {json.dumps(event)}\n\n")
    return "".join(lines).encode("utf-8", "surrogatepass")


@st.composite
def _streams(draw: st.DrawFn, streams: tuple[list[Any], ...], *, named: bool, done: bytes = b"") -> Played:
    events = draw(st.sampled_from(streams).flatmap(mutated))
    body = _sse(events, named=named) + draw(st.sampled_from((done, done, b"")))
    body = body.replace(b"\n", draw(st.sampled_from((b"\n", b"\n", b"\r\n", b"\r"))))
    kind = draw(st.sampled_from(("text/event-stream", "text/event-stream", "text/plain", "application/json")))
    return Played(draw(damaged(body).flatmap(chunked)), 200, kind)


@st.composite
def _wholes(draw: st.DrawFn, *answers: Any) -> Played:
    body = draw(bodies(*answers).flatmap(chunked))
    return Played(body, draw(st.sampled_from((200, 400, 404, 429, 500))), "application/json")


def _ask(make: Callable[[httpx.AsyncClient], Agent], played: Played, end: Played) -> bool:
    async def main() -> bool:
        event: object = None
        async with httpx.AsyncClient(transport=_Server(played, end), trust_env=False) as client:
            try:
                async with make(client).run(_REQUEST) as events:
                    async for event in events:
                        assert_clean(event)
                        checked(event)
            except AgentError as problem:
                str(problem).encode("utf-8", "backslashreplace")
        return isinstance(event, Final)

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


_OPENAI_END = Played((_sse(recorded.OPENAI_STREAMS[0], named=False) + b"data: [DONE]\n\n",))
_ANTHROPIC_END = Played((_sse(recorded.ANTHROPIC_STREAMS[0], named=True),))


def _openai(played: Played) -> bool:
    return _ask(lambda http: OpenAIAgent(OpenAISettings("http://m.test/v1", "m"), http), played, _OPENAI_END)


def _anthropic(played: Played) -> bool:
    return _ask(lambda http: AnthropicAgent(AnthropicSettings("m", "key"), http), played, _ANTHROPIC_END)


def _framing(pieces: tuple[bytes, ...]) -> bool:
    """The same events however the network cuts them."""
    decoder, whole = SseDecoder(), SseDecoder()
    try:
        events = [event for piece in pieces for event in decoder.feed(piece)] + list(decoder.end())
        at_once = [*whole.feed(b"".join(pieces)), *whole.end()]
    except SseOverflow:
        return False
    assert events == at_once == _decoded_together(pieces)
    for event in events:
        event.data.encode()
    return bool(events)


def _decoded_together(pieces: tuple[bytes, ...]) -> list[ServerSentEvent]:
    decoder, events = SseDecoder(), list[ServerSentEvent]()
    for piece in pieces:
        together, rest = decoder.take_lines(piece)
        events += together.events() if together is not None else ()
        events += decoder.feed(rest)
    return [*events, *decoder.end()]


@st.composite
def _framed(draw: st.DrawFn) -> tuple[bytes, ...]:
    parts = (
        b"data: a",
        b"data:",
        b"data:  b",
        b"data: {}",
        b"data:{c",
        b"event: x",
        b": comment",
        b"id: 1",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\0",
        b"x",
    )
    lines = draw(
        st.lists(st.tuples(st.sampled_from(parts), st.sampled_from((b"\n", b"\r", b"\r\n", b"\n\n"))), max_size=9)
    )
    return draw(chunked(b"".join(part for line in lines for part in line)))


# Programs and tools.


def _command(line: bytes) -> bool:
    try:
        event = read_line(line)
    except ContractBroken as problem:
        assert len(str(problem)) < 300  # noqa: PT017 - the log is not to hold the program's words
        return False
    assert_clean(event)
    if not isinstance(event, ToolCallLine):
        assert checked(event) == event
    return True


def _mcp(body: bytes) -> bool:
    types = __import__("mcp.types").types
    try:
        value = read_lenient(body)
        tools = types.ListToolsResult.model_validate(value).tools if "tools" in value else ()
        result = types.CallToolResult.model_validate(value)
    except (BadJson, ValueError, TypeError):  # pydantic's refusal is a ValueError; the session knows it
        return False
    assert_clean(result_text(result))
    assert_clean(tool_specs("files", tools))
    return True


# Callers.


def _refusable(read: Callable[[], Any]) -> bool:
    try:
        assert_clean(read())
    except CallbackRefused as problem:
        assert 400 <= problem.status_hint < 500  # noqa: PT017
        problem.reason.encode()
        return False
    return True


def _hook(case: tuple[str, bytes]) -> bool:
    return _refusable(lambda: read_hook(HookKind(case[0]), case[1]))


def _slash_json(body: bytes) -> bool:
    return _refusable(lambda: slash.parse_call(body, "application/json; charset=utf-8"))


def _slash_form(body: bytes) -> bool:
    return _refusable(lambda: slash.parse_call(body, "application/x-www-form-urlencoded"))


def _click(body: bytes) -> bool:
    return _refusable(lambda: interactions.read_button_callback(body, bot_token=recorded.BOT_TOKEN))


def _dialog(body: bytes) -> bool:
    return _refusable(lambda: questions.read_dialog(body, bot_token=recorded.BOT_TOKEN))


def _form(fields: Any) -> bytes:
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in fields.items()}
    return urlencode(texts, errors="surrogatepass").encode()


def _signed(click: Any) -> bytes:
    try:
        return written({**click, "context": sign_context(recorded.BOT_TOKEN, click["context"])})
    except (ValueError, TypeError, KeyError, AttributeError):
        return written(click)


def _dialog_body(parts: tuple[Any, Any, bool]) -> bytes:
    dialog, state, is_text = parts
    return written({**dialog, "state": json.dumps(state) if is_text else state} if isinstance(dialog, dict) else dialog)


# Mattermost.


def _frame(body: bytes) -> bool:
    try:
        assert_clean(decode_frame(body.decode("utf-8", "replace")))
    except PayloadError as problem:
        str(problem).encode()
        return False
    return True


def _event_frame(case: tuple[str, Any, bool]) -> bytes:
    name, data, wrapped = case
    if wrapped and isinstance(data, dict):  # the server puts some objects into strings
        data = {key: json.dumps(item) if isinstance(item, (dict, list)) else item for key, item in data.items()}
    return written({"event": name, "data": data, "broadcast": {"channel_id": "c1", "user_id": "u2"}, "seq": 3})


_DECODERS: Mapping[str, Callable[[object], Any]] = {
    "post": decode_post,
    "page": decode_entities.decode_page,
    "user": decode_entities.decode_user,
    "team": decode_entities.decode_team,
    "channel": decode_entities.decode_channel,
    "file": decode_entities.decode_file,
    "command": decode_entities.decode_command,
}


def _rest(case: tuple[str, bytes]) -> bool:
    (kind, body), is_read = case, True
    try:
        value = read_json(body, "GET /x")
        assert_clean(value)
        if kind in _DECODERS:
            assert_clean(_DECODERS[kind](value))
    except PayloadError as problem:
        str(problem).encode()
        is_read = False
    for status in (400, 429, 502):
        problem_ = error_from_response(status, {"retry-after": "1e999"}, body, "GET /x", writes=True, now=0.0)
        assert isinstance(problem_, MattermostError)
        assert_clean(str(problem_))
    return is_read


def _named(table: Mapping[str, Any]) -> st.SearchStrategy[tuple[str, bytes]]:
    return st.sampled_from(sorted(table)).flatmap(lambda name: st.tuples(st.just(name), bodies(table[name])))


_FRAMES = st.sampled_from(sorted(recorded.EVENTS)).flatmap(
    lambda name: st.tuples(st.just(name), mutated(recorded.EVENTS[name]), st.booleans())
)

WIRES: Mapping[str, Wire] = {
    "openai": Wire(_streams(recorded.OPENAI_STREAMS, named=False, done=b"data: [DONE]\n\n"), _openai),
    "openai whole": Wire(_wholes(*recorded.OPENAI_WHOLE), _openai),
    "anthropic": Wire(_streams(recorded.ANTHROPIC_STREAMS, named=True), _anthropic),
    "sse framing": Wire(_framed(), _framing),
    "command": Wire(bodies(*recorded.COMMAND_LINES), _command),
    "mcp": Wire(bodies(*recorded.MCP_TOOLS, *recorded.MCP_RESULTS), _mcp),
    "hook": Wire(_named(recorded.HOOKS), _hook),
    "slash json": Wire(bodies(recorded.SLASH), _slash_json),
    "slash form": Wire(mutated(recorded.SLASH).map(_form).flatmap(damaged), _slash_form),
    "click": Wire(bodies(recorded.CLICK), _click),
    "signed click": Wire(mutated(recorded.CLICK).map(_signed), _click),
    "dialog": Wire(
        st.tuples(
            mutated(recorded.DIALOG), st.just(recorded.DIALOG_STATE) | mutated(recorded.DIALOG_STATE), st.booleans()
        )
        .map(_dialog_body)
        .flatmap(damaged),
        _dialog,
    ),
    "websocket": Wire(_FRAMES.map(_event_frame).flatmap(damaged), _frame),
    "rest": Wire(_named(recorded.REST), _rest),
    "picture": Wire(picture.INPUTS, picture.read_picture),
}
