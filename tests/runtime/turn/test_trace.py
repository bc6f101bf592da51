"""The trace of a turn: its spans, as a collector gets them from a whole gateway before a model's server."""

from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
import trio
from attrs import define, field
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, StatusCode

from oc_trio.telemetry.otel import QUEUE, OtelTracer
from tests.logbook import Logbook
from tests.runtime.harness import Harness
from tests.runtime.model_harness import Answer, Serve, insist_openai, tables
from tests.runtime.model_harness import Server as ModelServer
from tests.runtime.turn.test_model_cases import END, call, calls, data, ok, results, text

SECRET = "the words of a person"


async def at_once(send: Callable[[], object]) -> object:
    await trio.lowlevel.checkpoint()
    return send()


def context(span: ReadableSpan) -> SpanContext:
    """The span's ids."""
    found = span.get_span_context()
    assert found is not None
    return found


@define
class TracedServer(ModelServer):
    """Keeps the header by which a server joins the trace."""

    parents: list[str] = field(factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.parents.append(request.headers.get("traceparent", ""))
        return await super().handle_async_request(request)


@define(eq=False)
class Collector:
    """A gateway that exports to memory, before a model's server."""

    harness: Harness
    server: TracedServer
    exporter: InMemorySpanExporter
    tracer: OtelTracer

    async def spans(self) -> list[ReadableSpan]:
        assert self.harness.gateway is not None
        await self.tracer.flush(self.harness.gateway.metrics)
        return sorted(self.exporter.get_finished_spans(), key=lambda span: (span.start_time or 0, span.name))

    async def one_turn(self) -> tuple[ReadableSpan, list[ReadableSpan]]:
        """The root of the only trace, and its children in order."""
        spans = await self.spans()
        [root] = [span for span in spans if span.parent is None]
        children = [span for span in spans if span is not root]
        assert {span.parent.span_id for span in children if span.parent} == {context(root).span_id}
        assert {context(span).trace_id for span in spans} == {context(root).trace_id}
        return root, children


async def start(harness: Harness, serve: Serve, **more: Any) -> Collector:
    exporter = InMemorySpanExporter()
    harness.tracer = tracer = OtelTracer(
        exporter, None, now_ms=harness.now_ms, resource=Resource({}), send=at_once, **more
    )
    server = TracedServer(serve, insist_openai, ok("well"))
    harness.make_agent = server.agent
    values = tables("openai-completions", "http://model.test:8000/v1")
    await harness.start(**values, gateway={"drainSeconds": 0})
    return Collector(harness, server, exporter, tracer)


def uses_a_tool(body: Mapping[str, Any]) -> Answer:
    if not results(dict(body)):
        return Answer(calls(call('{"action":"read"}')))
    used = data({"choices": [], "model": "m-2026", "usage": {"prompt_tokens": 40, "completion_tokens": 7}})
    return Answer((text("do"), text("ne") + used + END))


async def test_a_turn_with_a_tool_call(harness: Harness) -> None:
    """One trace: the wait, the prompt, each request, the call, the delivery; with ids and numbers, and no words."""
    collector = await start(harness, uses_a_tool)
    post = harness.say(f"@helper {SECRET}")
    await harness.settled()
    assert harness.answers() == ["done"]

    root, children = await collector.one_turn()
    assert sorted(span.name for span in children) == [
        "build the prompt",
        "chat m",
        "chat m",
        "deliver",
        "execute_tool message",
        "wait for a place",
        "wait for the model's endpoint",
        "wait in the queue",
    ]
    assert root.name == "invoke_agent main"
    obligation = await harness.obligation(post)
    assert obligation is not None
    assert dict(root.attributes or {}) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.id": "main",
        "gen_ai.conversation.id": obligation.session,
        "oc_trio.account": "default",
        "oc_trio.turn": obligation.turn,
        "oc_trio.channel.kind": "open",
        "oc_trio.source": "live",
        "oc_trio.messages": 1,
        "oc_trio.resumed": False,
        "oc_trio.outcome": "delivered",
        "oc_trio.posts": 1,
    }
    assert [event.name for event in root.events] == ["first text shown"]
    assert root.status.status_code is StatusCode.UNSET

    [tool] = [span for span in children if span.name.startswith("execute_tool")]
    assert (tool.attributes or {})["gen_ai.tool.name"] == "message"
    assert (tool.attributes or {})["oc_trio.tool.status"] in ("completed", "failed")
    asked, answered = [span for span in children if span.name == "chat m"]
    assert (asked.attributes or {})["oc_trio.tool_calls"] == 1
    assert {name: (answered.attributes or {})[name] for name in (answered.attributes or {})} == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.response.model": "m-2026",
        "gen_ai.usage.input_tokens": 40,
        "gen_ai.usage.output_tokens": 7,
        "oc_trio.tool_calls": 0,
        "server.address": "model.test",
        "server.port": 8000,
    }
    assert [event.name for event in answered.events] == ["first token"]
    # The server is told which request it serves.
    sent = [parent.split("-")[1:3] for parent in collector.server.parents]
    assert sent == [[f"{context(span).trace_id:032x}", f"{context(span).span_id:016x}"] for span in (asked, answered)]
    everything = str([span.to_json() for span in (root, *children)])
    assert SECRET not in everything
    assert "done" not in everything
    assert "sk-secret-key" not in everything


async def test_a_turn_that_fails(harness: Harness) -> None:
    """The request and the turn say which kind of error; what the server said of it stays in the log."""
    collector = await start(harness, lambda _body: Answer("no such words", 400))
    harness.say("@helper hello")
    await harness.settled()

    root, children = await collector.one_turn()
    assert (root.attributes or {})["oc_trio.outcome"] == "failed"
    assert (root.attributes or {})["error.type"] == "agent_failed"
    assert root.status.status_code is StatusCode.ERROR
    [asked] = [span for span in children if span.name == "chat m"]
    assert (asked.attributes or {})["error.type"] == "AgentFailed"
    assert "no such words" not in str([span.to_json() for span in (root, *children)])


async def test_retries_are_events(harness: Harness) -> None:
    """Each request that failed is a span of its own, and each pause before the next an event of the turn."""
    answers = [Answer("busy", 503), Answer("busy", 503)]
    collector = await start(harness, lambda _body: answers.pop() if answers else ok("there"))
    harness.say("@helper hello")
    await harness.settled()
    assert harness.answers() == ["there"]

    root, children = await collector.one_turn()
    assert [event.name for event in root.events] == ["retry", "retry", "first text shown"]
    requests = [(span.attributes or {}).get("error.type") for span in children if span.name == "chat m"]
    assert requests == ["AgentUnavailable", "AgentUnavailable", None]
    assert root.status.status_code is StatusCode.UNSET


async def test_a_turn_that_is_interrupted(harness: Harness) -> None:
    """A stop ends the trace with all its spans; the run after the restart has one of its own, of the same turn."""
    collector = await start(harness, lambda _body: Answer((text("one"), *[text(" more")] * 40, END)))
    post = harness.say("@helper hello")
    await harness.until(harness.answers)
    await harness.stop()
    [first] = [span for span in collector.exporter.get_finished_spans() if span.parent is None]
    assert (first.attributes or {})["oc_trio.outcome"] == "interrupted"
    [asked] = [span for span in collector.exporter.get_finished_spans() if span.name == "chat m"]
    assert (asked.attributes or {})["oc_trio.cancelled"] is True

    collector = await start(harness, lambda _body: ok("one more"))
    await harness.settled()
    assert await harness.state(post) == "delivered"
    root, _ = await collector.one_turn()
    assert (root.attributes or {})["oc_trio.resumed"] is True
    assert (root.attributes or {})["oc_trio.turn"] == (first.attributes or {})["oc_trio.turn"]


@define(eq=False)
class Refusing(InMemorySpanExporter):
    """A collector that is away until it `answers`."""

    answers: bool = False

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    def export(self, spans: Any) -> SpanExportResult:
        return super().export(spans) if self.answers else SpanExportResult.FAILURE


async def test_a_collector_that_is_away(harness: Harness, logbook: Logbook) -> None:
    """Said once, not for every batch; counted; and answers go on."""
    exporter = Refusing()
    harness.tracer = OtelTracer(exporter, None, now_ms=harness.now_ms, resource=Resource({}), send=at_once)
    await harness.start()
    assert harness.gateway is not None
    for _ in range(3):
        harness.say("@helper hello")
        await harness.settled()
        await trio.sleep(30)
    assert len(harness.answers()) == 3
    assert len(logbook.find("OpenTelemetry data can't be exported")) == 1
    assert "oc_trio_otel_dropped_spans_total" in harness.gateway.metrics.render().decode()
    exporter.answers = True
    harness.say("@helper hello")
    await harness.settled()
    await trio.sleep(30)
    assert len(logbook.find("OpenTelemetry data is exported again")) == 1
    assert exporter.get_finished_spans()


async def test_a_collector_that_hangs_holds_up_nothing(harness: Harness) -> None:
    """Neither an answer nor, for more than a few seconds, the end of the process."""

    async def hang(_send: Callable[[], object]) -> object:
        await trio.sleep_forever()

    harness.tracer = OtelTracer(InMemorySpanExporter(), None, now_ms=harness.now_ms, resource=Resource({}), send=hang)
    await harness.start()
    harness.say("@helper hello")
    await harness.settled()
    assert len(harness.answers()) == 1
    await trio.sleep(60)
    began = trio.current_time()
    await harness.stop()
    assert trio.current_time() - began < 5


@pytest.mark.slow
async def test_the_queue_is_bounded(harness: Harness, logbook: Logbook) -> None:
    """More spans than it holds are dropped and counted, in one line."""
    exporter = InMemorySpanExporter()
    tracer = OtelTracer(exporter, None, now_ms=harness.now_ms, resource=Resource({}), send=at_once)
    harness.tracer = tracer
    gateway = await harness.start()
    for _ in range(QUEUE + 5):
        tracer.turn("main", {}).end()
    await tracer.flush(gateway.metrics)
    assert len(exporter.get_finished_spans()) == QUEUE
    assert 'oc_trio_otel_dropped_spans_total{why="queue"} 5.0' in gateway.metrics.render().decode()
    assert len(logbook.find("more spans than can be exported")) == 1
