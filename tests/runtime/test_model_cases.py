"""Whatever a model's server answers, the person reads an answer or a sentence, and the next person is answered.

Each case is one that users of comparable systems reported: a whole gateway, and a server that plays raw bytes.
"""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import trio
from attrs import define, field

from oc_trio.agent.build import AgentSpec, build_agent
from oc_trio.agent.port import Agent
from tests.logbook import Logbook
from tests.runtime.town import Town

FAILED = "(failed, in words)"
SSE = "text/event-stream"


@define
class Answer:
    """What the server sends: `pieces` one second apart, then a reset if `is_reset`."""

    body: str | tuple[str, ...]
    status: int = 200
    content_type: str = SSE
    is_reset: bool = False

    async def stream(self) -> AsyncIterator[bytes]:
        pieces = (self.body,) if isinstance(self.body, str) else self.body
        for at, piece in enumerate(pieces):
            await trio.sleep(1 if at else 0)
            yield piece.encode()
        if self.is_reset:
            raise httpx.ReadError("connection reset by peer")


class Body(httpx.AsyncByteStream):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._answer.stream()


Serve = Callable[[dict[str, Any]], Answer]


@define
class Server(httpx.AsyncBaseTransport):
    """Answers a request by `serve`, given its body; a request that says "well" is answered well."""

    serve: Serve
    seen: list[dict[str, Any]] = field(factory=list)
    urls: list[str] = field(factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        body = json.loads(await request.aread())
        self.seen.append(body)
        self.urls.append(request.url.raw_path.decode())
        answer = ok("well, too") if "are you well" in json.dumps(body["messages"][-1]) else self.serve(body)
        return httpx.Response(answer.status, headers={"content-type": answer.content_type}, stream=Body(answer))

    def agent(self, spec: AgentSpec, _http: httpx.AsyncClient) -> Agent:
        return build_agent(spec, httpx.AsyncClient(transport=self, trust_env=False, verify=False))


def chunk(delta: Any, finish: str | None = None, **more: Any) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, **more}
    return f"data: {json.dumps({'choices': [choice]})}\n\n"


def text(content: str) -> str:
    return chunk({"content": content})


END = chunk({}, "stop") + "data: [DONE]\n\n"


def ok(words: str) -> Answer:
    return Answer(text(words) + END)


def call(arguments: Any, call_id: str = "call_a", index: int = 0, **more: Any) -> str:
    function = {"name": "message", "arguments": arguments}
    return chunk({"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function, **more}]})


def calls(*entries: str) -> str:
    return "".join(entries) + chunk({}, "tool_calls") + "data: [DONE]\n\n"


def results(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [message for message in body["messages"] if message["role"] == "tool"]


def then(first: str, check: Callable[[dict[str, Any]], bool] = lambda _body: True) -> Serve:
    """`first`, and an answer once its calls have results that satisfy `check`."""

    def serve(body: dict[str, Any]) -> Answer:
        if not results(body):
            return Answer(first)
        return ok("done") if check(body) else Answer('{"error": {"message": "refused"}}', 400)

    return serve


def refusing(words: str, field_name: str) -> Serve:
    refusal = Answer(json.dumps({"error": {"message": words}}), 400, "application/json")
    return lambda body: refusal if field_name in body else ok("done")


def always(body: str | tuple[str, ...], **more: Any) -> Serve:
    return lambda _body: Answer(body, **more)


def assistant(body: dict[str, Any]) -> dict[str, Any]:
    return next(message for message in reversed(body["messages"]) if message["role"] == "assistant")


A, B = '{"action":"read"}', '{"action":"react"}'
WHOLE = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "done"}, "finish_reason": "stop"}]}
SIGNED = {"google": {"thought_signature": "SIG"}}
THINK = "I will think.\n</think>\n\nThe answer is 4."
USAGE = f"data: {json.dumps({'choices': [], 'usage': {'prompt_tokens': 1000.0, 'completion_tokens': -1}})}\n\n"

CASES: list[Any] = [
    pytest.param(then(calls(call('{"action":"react","emoji":"\\ud83d"}'))), "done", id="1-half-a-character"),
    pytest.param(then(calls(call('{"action":"react","emoji":"a\\u0000b"}'))), "done", id="1-a-nul"),
    pytest.param(
        always('data: {"choices": [{"index": 0, "delta": "text"}]}\n\n' + text("after") + END),
        "textafter",
        id="2-text-for-a-delta",
    ),
    pytest.param(always(chunk(None) + text("after") + END), "after", id="2-null"),
    pytest.param(always(chunk([1]) + text("after") + END), "after", id="2-list"),
    pytest.param(always(chunk({"tool_calls": [None]}) + text("after") + END), "after", id="3-null-call"),
    pytest.param(always(chunk({"tool_calls": "x"}) + text("after") + END), "after", id="3-text-for-calls"),
    pytest.param(
        always('data: {"choices": {"0": {"delta": {"content": "x"}}}}\n\n' + text("after") + END), "after", id="4"
    ),
    pytest.param(always("data: [1]\n\n" + text("after") + END), FAILED, id="4-a-list"),
    pytest.param(always(text("done") + USAGE + END), "done", id="5-odd-usage"),
    pytest.param(then(calls(call([1]))), "done", id="6-a-list-for-arguments"),
    pytest.param(then(calls(call("[1]"))), "done", id="6-a-list-in-arguments"),
    pytest.param(then(calls(call("{nonsense"))), "done", id="6-no-json"),
    pytest.param(always((text("one "), text("two "), text("three")), is_reset=True), "one two three\n\n", id="7-reset"),
    pytest.param(
        always(text("one") + 'data: {"error": {"message": "Upstream idle timeout", "code": 502}}\n\n'),
        "one\n\n",
        id="8",
    ),
    pytest.param(
        always(text("one") + chunk({}, "error", error={"message": "Upstream", "code": 502})), "one\n\n", id="9"
    ),
    pytest.param(always("data: [DONE]\n\n"), FAILED, id="10-nothing"),
    pytest.param(always(END), FAILED, id="10-stop-without-text"),
    pytest.param(always(text("<think>Hello! How are you?") + END), "Hello! How are you?", id="11-unclosed-thought"),
    pytest.param(refusing("registry/gemma3:1b does not support tools", "tools"), "done", id="12-no-tools"),
    pytest.param(
        refusing('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set', "tools"),
        "done",
        id="13",
    ),
    pytest.param(
        refusing(
            "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.", "max_tokens"
        ),
        "done",
        id="14-max-tokens",
    ),
    pytest.param(
        then(
            calls(call(A, extra_content=SIGNED)), lambda b: assistant(b)["tool_calls"][0].get("extra_content") == SIGNED
        ),
        "done",
        id="15-signature",
    ),
    pytest.param(
        then(
            chunk({"reasoning_content": "hm"}) + calls(call(A)), lambda b: assistant(b).get("reasoning_content") == "hm"
        ),
        "done",
        id="16-reasoning",
    ),
    pytest.param(then(calls(call(A + B)), lambda b: len(results(b)) == 2), "done", id="17-two-in-one"),
    pytest.param(
        then(calls(call(A), call(B, "call_b")), lambda b: len(results(b)) == 2), "done", id="18-one-index-two-calls"
    ),
    pytest.param(always("".join(map(text, THINK)) + END), "The answer is 4.", id="19-thought-without-a-beginning"),
    pytest.param(always(text("done") + END, content_type="application/json"), "done", id="20-stream-as-json"),
    pytest.param(always(json.dumps(WHOLE), content_type="text/plain"), "done", id="21-json-as-text"),
    pytest.param(always("<html>nginx</html>", content_type="text/html"), FAILED, id="21-a-page"),
    pytest.param(
        always(json.dumps({"error": {"message": "nope"}}), content_type="application/json"), FAILED, id="21-an-error"
    ),
]


async def start(town: Town, serve: Serve, base_url: str = "http://model.test/v1", **more: Any) -> Server:
    server = Server(serve)
    town.make_agent = server.agent
    entry = {"id": "m", "maxTokens": 500, **more}
    provider = {"api": "openai-completions", "baseUrl": base_url, "apiKey": "sk-secret-key", "models": [entry]}
    await town.start(
        models={"providers": {"live": provider}},
        agents={"defaults": {"model": {"primary": "live/m"}, "maxTokens": 500}},
    )
    return server


@pytest.mark.parametrize(("serve", "expected"), CASES)
async def test_what_a_server_may_answer(town: Town, logbook: Logbook, serve: Serve, expected: str) -> None:
    """The person reads `expected` or begins to, the thread goes on, another person is answered, nothing restarts."""
    await start(town, serve)
    first = town.say("@helper hello")
    await town.settled()
    [answer] = town.answers()
    if expected == FAILED:
        assert answer.endswith((".", "…"))
        assert "well" not in answer
    elif expected.endswith("\n\n"):
        assert answer.startswith(expected)
        assert len(answer) > len(expected)
    else:
        assert answer == expected
    town.say("@helper are you well", by=town.bob)
    await town.settled()
    town.say("@helper are you well", root=first)
    await town.settled()
    assert town.answers()[1:] == ["well, too", "well, too"]
    assert not logbook.said("restart")
    assert not any("sk-secret-key" in str(event) for event in logbook.events)


async def test_no_answer_is_said_and_the_roles_alternate_afterwards(town: Town) -> None:
    """The next question is taken by a server that insists on alternating roles."""
    server = await start(town, always("data: [DONE]\n\n"))
    post = town.say("@helper hello")
    await town.settled()
    assert town.answers() == ["The model gave no answer."]
    town.say("@helper are you well", root=post)
    await town.settled()
    roles = [message["role"] for message in server.seen[-1]["messages"] if message["role"] != "system"]
    assert roles == ["user", "assistant", "user"][-len(roles) :]


async def test_a_thought_stays_out_of_later_prompts(town: Town) -> None:
    """What came before the end of a thought is not repeated to the model."""
    server = await start(town, always("".join(map(text, THINK)) + END))
    post = town.say("@helper hello")
    await town.settled()
    town.say("@helper are you well", root=post)
    await town.settled()
    assert "I will think" not in json.dumps(server.seen[-1])


async def test_a_query_of_the_base_url_stays_behind_the_path(town: Town) -> None:
    """As deployments of Azure are addressed."""
    base_url = "http://model.test/openai/deployments/d?api-version=2024-10-21"
    server = await start(town, lambda _body: ok("done"), base_url)
    town.say("@helper hello")
    await town.settled()
    assert server.urls == ["/openai/deployments/d/chat/completions?api-version=2024-10-21"]


async def test_a_table_of_120_rows(town: Town) -> None:
    """Each further post begins with the header rows."""
    head = "| name | what it is |\n|---|---|\n"
    rows = "".join(f"| row {number} | {'words ' * 9}|\n" for number in range(120))
    await start(town, lambda _body: ok(head + rows))
    town.say("@helper hello")
    await town.settled()
    answers = town.answers()
    assert len(answers) > 1
    assert all(answer.startswith(head) for answer in answers)
    assert sum(answer.count("| row ") for answer in answers) == 120


@pytest.mark.parametrize(
    ("status", "words", "expected"),
    [
        pytest.param(400, "image exceeds 5 MB maximum", "The picture is too large for this model.", id="too-large"),
        pytest.param(400, "m is not a multimodal model", "The model's server refused", id="other-words"),
    ],
)
async def test_a_picture_that_the_server_refuses(town: Town, status: int, words: str, expected: str) -> None:
    """It is named as the cause where the server says so; the thread goes on without it either way."""

    def serve(body: dict[str, Any]) -> Answer:
        has_picture = "image_url" in json.dumps(body["messages"])
        return (
            Answer(json.dumps({"error": {"message": words}}), status, "application/json") if has_picture else ok("done")
        )

    await start(town, serve, images=True)
    file = town.world.files.add(town.alice.id, town.square.id, "a.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
    post = town.say("@helper look", file_ids=(file.id,))
    await town.settled()
    assert town.answers()[0].startswith(expected)
    town.say("@helper then something else", root=post)
    await town.settled()
    assert town.answers()[1:] == ["done"]
