"""Traces and metrics over OpenTelemetry: the only module that imports its packages (extra `otel`).

The SDK makes spans; the rest is ours. Its batch processors have threads, queues and exit handlers of their own, in
which a collector that hangs would hold up the end of the process. Here ended spans wait in a bounded queue, and one
Trio task sends them, each batch in a worker thread. Nothing waits for that task.

No span is ever the current one of OpenTelemetry's context: each is given its parent, so that there is nothing to detach
in generators that are left half-way.
"""

import logging
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import trio
from attrs import field
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import oc_trio
from oc_trio.classes import define
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.metrics import Metrics
from oc_trio.telemetry.otel_metrics import metrics_data
from oc_trio.telemetry.tracing import NOTHING, Attributes, Span, Tracer

T = TypeVar("T")

# The defaults of OpenTelemetry's own exporters: OTEL_BSP_SCHEDULE_DELAY and OTEL_METRIC_EXPORT_INTERVAL.
EXPORT_SECONDS = 5.0
METRICS_SECONDS = 60.0
# The longest that a stop waits for a collector.
FLUSH_SECONDS = 3.0
# Spans that wait; a turn has some ten. More are dropped and counted.
QUEUE = 4096
# As OTEL_BSP_MAX_EXPORT_BATCH_SIZE where it is not set.
_BATCH = 512
# Of a collector's refusal, which may quote the request.
_SHOWN = 300
_LIBRARY = "opentelemetry"

log = get_logger(part="otel")


class _OtelSpan(Span):
    def __init__(self, tracer: "OtelTracer", span: trace.Span) -> None:
        self._tracer, self._span = tracer, span
        # Those that are open: they end with this one.
        self._children: list[_OtelSpan] = []
        self._is_over = False

    @property
    def headers(self) -> Mapping[str, str]:  # type: ignore[override]
        headers: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(headers, trace.set_span_in_context(self._span))
        return headers

    def child(self, name: str, attributes: Attributes = NOTHING, *, began_ms: int | None = None) -> Span:
        return self._begin(name, attributes, SpanKind.INTERNAL, began_ms)

    def request(self, name: str, attributes: Attributes) -> Span:
        return self._begin(name, attributes, SpanKind.CLIENT, None)

    def set(self, attributes: Attributes) -> None:
        if not self._is_over:
            self._span.set_attributes(attributes)

    def event(self, name: str, attributes: Attributes = NOTHING) -> None:
        if not self._is_over:
            self._span.add_event(name, attributes, self._tracer.now_ns())

    def end(self, error: str = "") -> None:
        if self._is_over:
            return
        self._is_over = True
        for child in self._children:
            child.end()
        if error:
            self._span.set_attribute("error.type", error)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end(self._tracer.now_ns())

    def _begin(self, name: str, attributes: Attributes, kind: SpanKind, began_ms: int | None) -> Span:
        # A turn of many hours calls hundreds of tools: those that are over are not kept.
        self._children = [child for child in self._children if not child._is_over]
        span = self._tracer.begin(name, attributes, kind, began_ms, parent=self._span)
        self._children.append(span)
        return span


@define(eq=False)
class _Queue(SpanProcessor):
    """Ended spans that wait for the exporter."""

    ended: deque[ReadableSpan] = field(factory=deque)
    dropped: int = 0

    def on_end(self, span: ReadableSpan) -> None:
        context = span.get_span_context()
        if context is None or not context.trace_flags.sampled:
            return
        if len(self.ended) < QUEUE:
            self.ended.append(span)
        else:
            self.dropped += 1

    def take(self) -> list[ReadableSpan]:
        return [self.ended.popleft() for _ in range(min(_BATCH, len(self.ended)))]


async def _in_thread(send: Callable[[], T]) -> T:
    # Abandoned on a stop: the exporter waits up to ten seconds for a collector.
    return await trio.to_thread.run_sync(send, abandon_on_cancel=True)


class _LibraryLines(logging.Handler):
    """Keeps the library's newest lines, one of which it would otherwise log for each batch and try."""

    def __init__(self) -> None:
        super().__init__()
        self.newest: deque[str] = deque(maxlen=2)  # the last try's reason, and that there is no other

    def emit(self, record: logging.LogRecord) -> None:
        self.newest.append(record.getMessage()[:_SHOWN])


class OtelTracer(Tracer):
    """`spans` and `metrics` send to a collector, None for nothing; `send` calls them."""

    def __init__(
        self,
        spans: SpanExporter | None,
        metrics: MetricExporter | None,
        *,
        now_ms: Callable[[], int],
        resource: Resource,
        sampler: Sampler | None = None,
        send: Callable[[Callable[[], object]], Awaitable[object]] = _in_thread,
    ) -> None:
        self._spans, self._metrics, self._now_ms, self._send = spans, metrics, now_ms, send
        self._resource = resource
        self._queue = _Queue()
        # Without exit handlers: `flush` is called where the gateway ends.
        provider = TracerProvider(ALWAYS_OFF if spans is None else sampler, resource, shutdown_on_exit=False)
        provider.add_span_processor(self._queue)
        self._tracer = provider.get_tracer("oc_trio", oc_trio.__version__)
        self._began_ns = self.now_ns()
        # The signals ("traces", "metrics") whose newest export failed: a backend may take one of them only.
        self._failing: set[str] = set()
        self._lock = trio.Lock()
        self._lines = _LibraryLines()
        self._in_flight = 0
        library = logging.getLogger(_LIBRARY)
        library.addHandler(self._lines)
        library.propagate = False

    def now_ns(self) -> int:
        return self._now_ms() * 1_000_000

    def begin(
        self, name: str, attributes: Attributes, kind: SpanKind, began_ms: int | None, parent: trace.Span | None
    ) -> _OtelSpan:
        # An empty context in place of the current one: there may be spans of an installed agent.
        context = (
            trace.set_span_in_context(parent) if parent is not None else trace.set_span_in_context(trace.INVALID_SPAN)
        )
        start = self.now_ns() if began_ms is None else began_ms * 1_000_000
        return _OtelSpan(self, self._tracer.start_span(name, context, kind, attributes, start_time=start))

    def turn(self, agent: str, attributes: Attributes, *, began_ms: int | None = None) -> Span:
        known: dict[str, str | int | float | bool] = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.id": agent,
            **attributes,
        }
        return self.begin(f"invoke_agent {agent}", known, SpanKind.INTERNAL, began_ms, parent=None)

    async def export(self, metrics: Metrics) -> None:
        """As in `Tracer`: spans every `EXPORT_SECONDS`, metrics every `METRICS_SECONDS`."""
        due = trio.current_time() + METRICS_SECONDS
        while True:
            await trio.sleep(EXPORT_SECONDS)
            is_due = trio.current_time() >= due
            async with self._lock:
                await self._send_all(metrics, with_metrics=is_due)
            if is_due:
                due = trio.current_time() + METRICS_SECONDS

    async def flush(self, metrics: Metrics) -> None:
        # One that was away is not waited for.
        with trio.move_on_after(0 if self._failing else FLUSH_SECONDS):
            async with self._lock:
                await self._send_all(metrics, with_metrics=True)
                return
        left = self._in_flight + len(self._queue.ended)
        metrics.otel_dropped.labels("refused").inc(left)
        log.warning("the collector did not answer in time", left=left)

    async def _send_all(self, metrics: Metrics, *, with_metrics: bool) -> None:
        queue = self._queue
        lost, queue.dropped = queue.dropped, 0
        if lost:
            metrics.otel_dropped.labels("queue").inc(lost)
            log.warning("more spans than can be exported: dropped", spans=lost)
        while self._spans is not None and queue.ended:
            batch, exporter = queue.take(), self._spans
            self._in_flight = len(batch)
            is_sent = await self._send(lambda: exporter.export(batch)) is SpanExportResult.SUCCESS  # noqa: B023
            self._in_flight = 0
            if not is_sent:
                metrics.otel_dropped.labels("refused").inc(len(batch))
            self._note("traces", is_sent)
            if not is_sent:
                break  # the collector is away: one try at a time
        if with_metrics and self._metrics is not None:
            data = metrics_data(metrics.registry, self._resource, self._began_ns, self.now_ns())
            sender = self._metrics
            self._note("metrics", await self._send(lambda: sender.export(data)) is MetricExportResult.SUCCESS)

    def _note(self, signal: str, is_sent: bool) -> None:
        """Log the first failure and the first success after it."""
        was_failing = signal in self._failing
        if is_sent and was_failing:
            self._failing.discard(signal)
            log.info("OpenTelemetry data is exported again", signal=signal)
        elif not is_sent and not was_failing:
            self._failing.add(signal)
            problem = "; ".join(self._lines.newest)
            log.warning("OpenTelemetry data can't be exported; it is dropped meanwhile", signal=signal, problem=problem)
        self._lines.newest.clear()


def open_tracer(
    *,
    endpoint: str,
    headers: Mapping[str, str],
    service_name: str,
    sample_ratio: float | None,
    environ: Mapping[str, str],
    now_ms: Callable[[], int],
) -> OtelTracer:
    """A tracer that sends OTLP over HTTP to `endpoint`, which the paths of the signals are appended to.

    What is empty here is taken from the OTEL_* variables, which the exporters read themselves.
    """
    base = endpoint.rstrip("/")
    own_headers = dict(headers) or None

    def address(signal: str) -> str | None:
        return f"{base}/v1/{signal}" if base else None

    def wants(signal: str) -> bool:
        return environ.get(f"OTEL_{signal}_EXPORTER", "").strip().lower() != "none"

    spans = OTLPSpanExporter(endpoint=address("traces"), headers=own_headers) if wants("TRACES") else None
    metrics = OTLPMetricExporter(endpoint=address("metrics"), headers=own_headers) if wants("METRICS") else None
    return OtelTracer(
        spans,
        metrics,
        now_ms=now_ms,
        resource=_resource(service_name),
        sampler=None if sample_ratio is None else ParentBased(TraceIdRatioBased(sample_ratio)),
    )


def _resource(service_name: str) -> Resource:
    names = {SERVICE_NAME: service_name} if service_name else {}
    found = Resource.create({"service.version": oc_trio.__version__, "service.instance.id": str(uuid.uuid4()), **names})
    # The SDK's own name for a service that nobody has named.
    if str(found.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return found.merge(Resource({SERVICE_NAME: "oc-trio"}))
    return found
