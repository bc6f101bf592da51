"""A whole gateway before a model's server that plays raw bytes and insists on well-formed conversations.

`check` plays one case: what the person reads, that others are answered, that the thread goes on, that nothing was
started again, and what the log says.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import httpx
import trio
from attrs import define, field

from oc_trio.agent.build import AgentSpec, build_agent
from oc_trio.agent.port import Agent
from tests.logbook import Logbook
from tests.runtime.harness import Harness

FAILED = "(failed, in words)"
SSE = "text/event-stream"
KEY = "sk-secret-key"
OPENAI, ANTHROPIC = "openai-completions", "anthropic-messages"
_WELL = "are you well"


@define
class Answer:
    """What the server sends: `pieces` one second apart, then `error`, if any, in place of the end."""

    body: str | bytes | tuple[str | bytes, ...]
    status: int = 200
    content_type: str = SSE
    error: Exception | None = None
    headers: tuple[tuple[str, str], ...] = ()

    async def stream(self) -> AsyncIterator[bytes]:
        pieces = self.body if isinstance(self.body, tuple) else (self.body,)
        for at, piece in enumerate(pieces):
            await trio.sleep(1 if at else 0)
            yield piece.encode() if isinstance(piece, str) else piece
        if self.error is not None:
            raise self.error


class Body(httpx.AsyncByteStream):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._answer.stream()


Serve = Callable[[dict[str, Any]], Answer]


@define
class Server(httpx.AsyncBaseTransport):
    """Answers a request by `serve`, given its body; one whose last message asks whether it is well gets `well`.

    `malformed` says what the strictest server would not have taken; such a request is refused.
    """

    serve: Serve
    insist: Callable[[Mapping[str, Any]], Iterator[str]]
    well: Answer
    requests: list[dict[str, Any]] = field(factory=list)
    urls: list[str] = field(factory=list)
    malformed: list[str] = field(factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        body = json.loads(await request.aread())
        self.requests.append(body)
        self.urls.append(request.url.raw_path.decode())
        if wrong := list(self.insist(body)):
            self.malformed += wrong
            return httpx.Response(400, text="malformed")
        answer = self.well if _WELL in json.dumps(body["messages"][-1]) else self.serve(body)
        headers = [("content-type", answer.content_type), *answer.headers]
        return httpx.Response(answer.status, headers=headers, stream=Body(answer))

    def agent(self, spec: AgentSpec, _http: httpx.AsyncClient) -> Agent:
        return build_agent(spec, httpx.AsyncClient(transport=self, trust_env=False, verify=False))


def insist_openai(body: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a conversation: one system message, alternating roles, every call answered, no empty words."""
    yield from _not_text(body)
    messages = list(body["messages"])
    if messages and messages[0]["role"] == "system":
        messages = messages[1:]
    last, waiting = "assistant", list[str]()
    for message in messages:
        role = message["role"]
        if role == "tool":
            if message["tool_call_id"] not in waiting:
                yield f"a result without its call: {message['tool_call_id']}"
                continue
            waiting.remove(message["tool_call_id"])
            last = "user"
            continue
        if waiting:
            yield f"calls without a result: {waiting}"
        if role not in ("user", "assistant") or role == last:
            yield f"{role} after {last}"
        if not message.get("content") and not message.get("tool_calls"):
            yield f"an empty message of {role}"
        if not all(
            isinstance(json.loads(each["function"]["arguments"]), dict) for each in message.get("tool_calls", ())
        ):
            yield "arguments that are no object"
        waiting, last = [call["id"] for call in message.get("tool_calls", ())], role
        if len(set(waiting)) < len(waiting):
            yield f"an id twice: {waiting}"
    if waiting or last != "user":
        yield f"the end is no question: {last}, {waiting}"


def insist_anthropic(body: Mapping[str, Any]) -> Iterator[str]:
    """As `insist_openai`, for the Messages API."""
    yield from _not_text(body)
    if not isinstance(body.get("max_tokens"), int) or body["max_tokens"] < 1:
        yield "no max_tokens"
    last, waiting, call_ids = "assistant", list[str](), set[str]()
    for message in body["messages"]:
        role, blocks = message["role"], message["content"]
        if role not in ("user", "assistant") or role == last:
            yield f"{role} after {last}"
        if not blocks:
            yield f"an empty message of {role}"
        given = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if given != waiting or any(block["type"] != "tool_result" for block in blocks[: len(given)]):
            yield f"results {given} for calls {waiting}"
        if any(block["type"] == "text" and not block["text"].strip() for block in blocks):
            yield "an empty text"
        waiting, last = [block["id"] for block in blocks if block["type"] == "tool_use"], role
        if call_ids & set(waiting) or len(set(waiting)) < len(waiting):
            yield f"an id twice: {waiting}"
        call_ids |= set(waiting)
    if waiting or last != "user":
        yield f"the end is no question: {last}, {waiting}"


INSIST = {OPENAI: insist_openai, ANTHROPIC: insist_anthropic}


def _not_text(body: Mapping[str, Any]) -> Iterator[str]:
    try:
        text = json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError as problem:
        yield str(problem)
    else:
        if b"\\u0000" in text:
            yield "NUL"


async def start(
    harness: Harness,
    serve: Serve,
    well: Answer,
    *,
    api: str = OPENAI,
    base_url: str = "http://model.test/v1",
    mattermost: Mapping[str, Any] | None = None,
    **more: Any,
) -> Server:
    """The gateway, with one model at this server; `more` is of its entry in `models`."""
    server = Server(serve, INSIST[api], well)
    harness.make_agent = server.agent
    await harness.start(mattermost, **tables(api, base_url, **more))
    return server


def tables(api: str, base_url: str, **more: Any) -> dict[str, Any]:
    entry = {"id": "m", "maxTokens": 500, **more}
    provider = {"api": api, "baseUrl": base_url, "apiKey": KEY, "models": [entry]}
    return {
        "models": {"providers": {"live": provider}},
        "agents": {"defaults": {"model": {"primary": "live/m"}, "maxTokens": 500}},
    }


async def check(harness: Harness, logbook: Logbook, server: Server, expected: str, log: str = "") -> None:
    """The person reads `expected` (with two line ends: it, and a sentence below it), and nobody else suffers."""
    starts = _starts(harness)
    first = harness.say("@helper hello")
    await harness.settled()
    [answer] = harness.answers()
    if expected == FAILED:
        assert answer.endswith((".", "…"))
        assert "well" not in answer
    elif expected.endswith("\n\n"):
        assert answer.startswith(expected)
        assert len(answer) > len(expected)
        assert answer.endswith(".")
    else:
        assert answer == expected
    if log:
        assert log in str([event for event in logbook.events if event.get("level") != "debug"])
        assert log not in answer
    harness.say(f"@helper {_WELL}", by=harness.bob)
    await harness.settled()
    harness.say(f"@helper {_WELL}", root=first)
    await harness.settled()
    assert harness.answers()[1:] == ["well, too", "well, too"]
    assert server.malformed == []
    # The account was not started again, nor was its connection.
    assert len(harness.streams) == 1
    assert _starts(harness) == starts
    assert not [event for event in logbook.events if event.get("level") in ("error", "critical")]
    assert KEY not in str(logbook.events)


def _starts(harness: Harness) -> int:
    """How often an account asked who it is: at its start, and at each connection."""
    return sum(request.path == "/api/v4/users/me" for request in harness.world.requests)
