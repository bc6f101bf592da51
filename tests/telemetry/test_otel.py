"""What leaves the process: OTLP over HTTP at a real port, the metrics among it; and nothing at all when it is off."""

import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics.export import Histogram, NumberDataPoint, Sum
from opentelemetry.sdk.resources import Resource

from oc_trio.telemetry.metrics import Metrics
from oc_trio.telemetry.otel import open_tracer
from oc_trio.telemetry.otel_metrics import metrics_data


class Collector(HTTPServer):
    """Keeps what it is sent, by path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: dict[str, tuple[Mapping[str, str], bytes]] = {}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.seen[self.path] = (dict(self.headers), body)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing on standard error."""


async def test_a_collector_gets_both() -> None:
    """Spans and metrics, each at its path, with the headers of the configuration and the service's name."""
    collector = Collector()
    thread = Thread(target=partial(collector.serve_forever, poll_interval=0.01))
    thread.start()
    try:
        tracer = open_tracer(
            endpoint=f"http://127.0.0.1:{collector.server_port}/",
            headers={"authorization": "Bearer abc"},
            service_name="ours",
            sample_ratio=1.0,
            environ={},
            now_ms=lambda: 1_700_000_000_000,
        )
        metrics = Metrics()
        metrics.restarts.labels("default").inc(3)
        tracer.turn("main", {"oc_trio.turn": "t"}).end()
        await tracer.flush(metrics)
    finally:
        collector.shutdown()
        thread.join()
        collector.server_close()
    headers, body = collector.seen["/v1/traces"]
    assert {name.lower(): value for name, value in headers.items()}["authorization"] == "Bearer abc"
    [resource] = ExportTraceServiceRequest.FromString(body).resource_spans
    assert {item.key: item.value.string_value for item in resource.resource.attributes}["service.name"] == "ours"
    assert [span.name for span in resource.scope_spans[0].spans] == ["invoke_agent main"]
    sent = ExportMetricsServiceRequest.FromString(collector.seen["/v1/metrics"][1])
    [scope] = sent.resource_metrics[0].scope_metrics
    assert "oc_trio_account_restarts" in {metric.name for metric in scope.metrics}


@pytest.mark.parametrize(("ratio", "expected"), [(0.0, False), (1.0, True)])
def test_the_share_that_is_traced(ratio: float, expected: bool) -> None:
    """A server is told whether its part is wanted."""
    tracer = open_tracer(
        endpoint="http://c.test", headers={}, service_name="", sample_ratio=ratio, environ={}, now_ms=lambda: 1
    )
    flags = int(tracer.turn("main", {}).headers["traceparent"][-2:], 16)
    assert bool(flags & 1) is expected


def test_metrics_keep_names_and_values() -> None:
    """Counters are sums since the start, histograms have counts between bounds in place of up to them."""
    metrics = Metrics()
    metrics.obligations.labels("default", "failed").inc(2)
    for seconds in (0.07, 0.2, 0.2, 1000):
        metrics.turn_seconds.labels("default", "delivered").observe(seconds)
    [resource] = metrics_data(metrics.registry, Resource({}), 1, 2).resource_metrics
    by_name = {metric.name: metric.data for metric in resource.scope_metrics[0].metrics}
    total = by_name["oc_trio_obligations"]
    assert isinstance(total, Sum)
    assert list(total.data_points) == [NumberDataPoint({"account": "default", "state": "failed"}, 1, 2, 2.0)]
    times = by_name["oc_trio_turn_seconds"]
    assert isinstance(times, Histogram)
    [point] = times.data_points
    assert point.count == 4
    assert point.sum == pytest.approx(1000.47)
    assert list(point.bucket_counts[:4]) == [0, 1, 2, 0]
    assert point.bucket_counts[-1] == 1
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1


@pytest.mark.slow
def test_nothing_is_imported_while_it_is_off() -> None:
    """What runs a gateway imports no package of OpenTelemetry's, nor requests and protobuf."""
    code = "import sys, oc_trio.runtime.process.start, oc_trio.agent.openai; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = {name.partition(".")[0] for name in done.stdout.split()}
    assert "trio" in names
    assert not {"opentelemetry", "requests", "google"} & names
