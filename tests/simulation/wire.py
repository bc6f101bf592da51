"""Faults of a model's server: garbage on the wire, read by the real readers of both chat APIs.

What an answer is made of is known, what becomes of it on its way is drawn. Nothing leaves the process.
"""

import copy
import itertools
import json
import random
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import trio
from attrs import frozen

from oc_trio.agent.anthropic import AnthropicAgent, AnthropicSettings
from oc_trio.agent.http_stream import Deadlines
from oc_trio.agent.openai import OpenAIAgent, OpenAISettings
from oc_trio.agent.port import Agent, TurnRequest
from oc_trio.core.model_apis import ModelApi
from oc_trio.core.turn_events import AgentEvent
from tests.wires.mutation import ODD, places_in

_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_DEADLINES = Deadlines(connect=5.0, first_token=20.0, idle=20.0)
_URL = "http://model.test/v1"

Frames = list[tuple[str, Any]]


def _chunk(delta: Any, finish: str | None = None, **more: Any) -> tuple[str, Any]:
    return "", {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def _call(at: int, call_id: str, arguments: Any, **more: Any) -> dict[str, Any]:
    function = {"name": "look", "arguments": arguments}
    return {"index": at, "id": call_id, "type": "function", "function": function, **more}


_A, _B = '{"at": "a"}', '{"at": "b"}'
# In between the words of an answer; some of it ends one.
_ODD_CHUNKS: tuple[Frames, ...] = (
    [_chunk({"tool_calls": [_call(0, "call_a", '{"emoji":"\\ud83d"}')]})],
    [_chunk({"tool_calls": [_call(0, "call_a", _A + _B)]})],
    [_chunk({"tool_calls": [_call(0, "call_a", _A)]}), _chunk({"tool_calls": [_call(0, "call_b", _B)]})],
    [_chunk({"tool_calls": [_call(0, "", _A), _call(0, "", _B)]})],
    [_chunk({"tool_calls": [_call(0, "call_a", [1])]})],
    [_chunk({"tool_calls": [_call(0, "call_a", _A, extra_content={"google": {"thought_signature": "SIG"}})]})],
    [_chunk({"tool_calls": [None]})],
    [_chunk({"tool_calls": {"0": None}})],
    [_chunk("text")],
    [_chunk({"content": [{"type": "text", "text": "in parts"}]})],
    [_chunk({"reasoning_content": "hm \ud83d"})],
    [_chunk({"content": "<think>never closed"})],
    [_chunk({"content": "a thought\n</think>\n"})],
    [_chunk({}, usage={"prompt_tokens": 1000.0, "completion_tokens": -1})],
    [_chunk({}, usage={"prompt_tokens": 10**30})],
    [("", {"choices": {"0": {"delta": {"content": "x"}}}})],
    [("", {"choices": None}), ("", None), ("", [1]), ("", "text")],
    [("", {"error": {"message": "Upstream idle timeout", "code": 502}})],
    [("", {"object": "error", "message": "out of memory"})],
    [_chunk({}, "error", error={"message": "provider"})],
    [("error", "the server is on fire")],
)


def _delta(at: int, delta: Any) -> tuple[str, Any]:
    return "content_block_delta", {"type": "content_block_delta", "index": at, "delta": delta}


def _block(at: int, block: Any) -> tuple[str, Any]:
    return "content_block_start", {"type": "content_block_start", "index": at, "content_block": block}


_ODD_EVENTS: tuple[Frames, ...] = (
    [("error", {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})],
    [_block(0, None)],
    [_delta(9, {"type": "text_delta", "text": "x"})],
    [_delta(0, {"type": "text_delta"})],
    [_delta(0, "text")],
    [("content_block_stop", {"type": "content_block_stop", "index": "0"})],
    [("ping", {"type": "ping"}), ("nobody_knows", {"type": "nobody_knows"})],
    [("message_start", {"type": "message_start", "message": {"usage": {"input_tokens": -(10**30)}}})],
    [
        _block(1, {"type": "tool_use", "id": "", "name": "look"}),
        _delta(1, {"type": "input_json_delta", "partial_json": '{"emoji":"\\ud83d"'}),
        ("", {"type": "content_block_stop", "index": 1}),
    ],
)
_REFUSALS = (
    (400, {"error": {"message": "registry/gemma3:1b does not support tools"}}),
    (400, {"error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."}}),
    (400, {"error": {"message": "no such thing", "param": "nonsense"}}),
    (401, {"error": "a bad key"}),
    (429, "slow down"),
    (500, None),
    (502, "<html>Bad Gateway</html>"),
    (200, {"error": {"message": "no such model"}}),
    (200, "no JSON at all"),
    (204, None),
)


def _openai(pieces: Sequence[str]) -> Frames:
    return [*(_chunk({"content": piece}) for piece in pieces), _chunk({}, "stop")]


def _anthropic(pieces: Sequence[str]) -> Frames:
    def delta(text: str) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}

    values: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"id": "msg", "role": "assistant", "usage": {"input_tokens": 9}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *map(delta, pieces),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]
    return [(str(value["type"]), value) for value in values]


# What each API has here: its agent, an answer in its form, and what is odd in it.
AGENTS: Mapping[ModelApi, Callable[[httpx.AsyncClient], Agent]] = {
    ModelApi.OPENAI: lambda http: OpenAIAgent(OpenAISettings(_URL, "one", deadlines=_DEADLINES), http),
    ModelApi.ANTHROPIC: lambda http: AnthropicAgent(
        AnthropicSettings("one", base_url=_URL, deadlines=_DEADLINES), http
    ),
}
FRAMES: Mapping[ModelApi, Callable[[Sequence[str]], Frames]] = {
    ModelApi.OPENAI: _openai,
    ModelApi.ANTHROPIC: _anthropic,
}
ODD_FRAMES = {ModelApi.OPENAI: _ODD_CHUNKS, ModelApi.ANTHROPIC: _ODD_EVENTS}


@frozen(eq=False)
class Wire:
    """What a server sends in one run of a model, request by request; `note` hears what it does."""

    rng: random.Random
    text: str
    note: Callable[[str], None]
    api: ModelApi

    @asynccontextmanager
    async def run(self, request: TurnRequest) -> AsyncIterator[AsyncIterator[AgentEvent]]:
        """The turn, as the real reader of this wire makes it of what comes."""
        http = httpx.AsyncClient(transport=_Transport(self), verify=_NO_TLS, trust_env=False)
        async with http, self._agent(http).run(request) as events:
            yield events

    def _agent(self, http: httpx.AsyncClient) -> Agent:
        return AGENTS[self.api](http)

    def answer(self, number: int) -> httpx.Response:
        """What the request of that number is answered with; later ones are answered well."""
        rng = self.rng
        if number < 3 and rng.random() < 0.15:
            status, value = rng.choice(_REFUSALS)
            self.note(f"refuses with {status}")
            body = value if isinstance(value, str) else "" if value is None else json.dumps(value)
            return httpx.Response(status, stream=_Body([body.encode()], 0.0, "well"))
        frames = self._frames(number)
        pieces = [_encoded(*frame) for frame in frames]
        if self.api is ModelApi.OPENAI and rng.random() < 0.8:
            pieces.append(b"data: [DONE]\n\n")
        kind = rng.choice(("text/event-stream",) * 4 + ("application/json", "text/plain", ""))
        headers = {"content-type": kind}
        ends = "well"
        if number < 3:
            pieces, ends = self._damaged(pieces)
        if rng.random() < 0.1:
            packer = zlib.compressobj(wbits=31)
            pieces = [packer.compress(b"".join(pieces)), packer.flush()]
            headers["content-encoding"] = "gzip"
        pause = rng.choice((0.0, 0.0, 0.05, 0.3))
        return httpx.Response(200, headers=headers, stream=_Body(pieces, pause, ends))

    def _frames(self, number: int) -> Frames:
        rng = self.rng
        cuts = sorted({0, len(self.text), *(rng.randint(0, len(self.text)) for _ in range(rng.randint(0, 5)))})
        pieces = [self.text[start:end] for start, end in itertools.pairwise(cuts)]
        frames = FRAMES[self.api](pieces)
        if number >= 3:
            return frames
        for _ in range(rng.choice((0, 1, 1, 2))):
            odd = rng.choice(ODD_FRAMES[self.api])
            self.note(f"sends {json.dumps(odd)[:70]}")
            at = rng.randint(0, len(frames))
            frames[at:at] = odd
        return [(name, self._mutated(value)) for name, value in frames]

    def _mutated(self, value: Any) -> Any:
        """The value, of which something is now and then something else, or left out."""
        rng = self.rng
        if rng.random() >= 0.08:
            return value
        value = copy.deepcopy(value)
        places = [place for place in places_in(value) if place]
        odd = copy.deepcopy(rng.choice(ODD))
        if not places:
            return odd
        *way, last = rng.choice(places)
        holder = value
        for key in way:
            holder = holder[key]
        if rng.random() < 0.3:
            del holder[last]
        else:
            holder[last] = odd
        self.note(f"changes {'.'.join(map(str, (*way, last)))}")
        return value

    def _damaged(self, pieces: list[bytes]) -> tuple[list[bytes], str]:
        rng, at = self.rng, self.rng.randint(0, len(pieces))
        match rng.choice(("",) * 6 + ("cut", "reset", "hang", "not UTF-8", "BOM", "torn", "empty")):
            case "cut":
                self.note("ends before the end")
                return pieces[:at], "well"
            case "reset":
                self.note("is cut off")
                return pieces[:at], "reset"
            case "hang":
                self.note("hangs")
                return pieces[:at], "hang"
            case "not UTF-8":
                self.note("sends what is no UTF-8")
                return [*pieces[:at], b"data: \xff\xed\xa0\x80\n\n", *pieces[at:]], "well"
            case "BOM":
                return [b"\xef\xbb\xbf", *pieces], "well"
            case "torn":
                whole = b"".join(pieces)
                return [whole[start : start + 7] for start in range(0, len(whole), 7)][:400], "well"
            case "empty":
                self.note("sends nothing")
                return [], "well"
        return pieces, "well"


def _encoded(name: str, value: Any) -> bytes:
    data = value if isinstance(value, str) else json.dumps(value)
    return (f"event: {name}\n" if name else "").encode() + b"data: " + data.encode("utf-8", "replace") + b"\n\n"


class _Transport(httpx.AsyncBaseTransport):
    def __init__(self, wire: Wire) -> None:
        self._wire, self._requests = wire, 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await trio.sleep(0.01)
        self._requests += 1
        answer = self._wire.answer(self._requests)
        answer.request = request
        return answer


class _Body(httpx.AsyncByteStream):
    def __init__(self, pieces: list[bytes], pause: float, ends: str) -> None:
        self._pieces, self._pause, self._ends = pieces, pause, ends

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await trio.sleep(self._pause)
            yield piece
        if self._ends == "reset":
            raise httpx.ReadError("connection reset by peer")
        if self._ends == "hang":
            await trio.sleep(60.0)
