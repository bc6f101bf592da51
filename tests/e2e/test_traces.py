"""`oc-trio run` with a collector of OpenTelemetry: one that takes what comes, and one that never answers."""

import os
import signal
import socket
from pathlib import Path

import h11
import pytest
import trio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from oc_trio.telemetry.otel import FLUSH_SECONDS
from tests.e2e.deployment import Child, open_deployment

pytestmark = pytest.mark.e2e


def complaints(child: Child) -> list[str]:
    """Lines of the log that an operator would look into."""
    return [str(event) for event in child.events if event.get("level") in ("warning", "error", "critical")]


async def take_all(stream: trio.SocketStream, seen: list[tuple[str, bytes]]) -> None:
    """Answer every request of one connection with 200 and keep path and body."""
    connection, target, body = h11.Connection(h11.SERVER), "", b""
    async with stream:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await stream.receive_some(65536))
            elif isinstance(event, h11.Request):
                target, body = event.target.decode(), b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                seen.append((target, body))
                answer = h11.Response(status_code=200, headers=[("content-length", "0")])
                await stream.send_all((connection.send(answer) or b"") + (connection.send(h11.EndOfMessage()) or b""))
                connection.start_next_cycle()
            else:
                return


async def test_a_turn_arrives_at_the_collector(tmp_path: Path, nursery: trio.Nursery) -> None:
    """Switched on by the standard variable alone; what is left is sent at SIGTERM."""
    seen: list[tuple[str, bytes]] = []
    listeners = await nursery.start(trio.serve_tcp, lambda stream: take_all(stream, seen), 0)
    port = listeners[0].socket.getsockname()[1]
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_SERVICE_NAME": "helper"}
    async with open_deployment(tmp_path) as deployment:
        async with deployment.gateway(deployment.config(), env=env) as gateway:
            post = await deployment.alice.say("@bot hello")
            await deployment.alice.wait_answer(post, deployment.last_word)
            assert await gateway.end(signal.SIGTERM) == 0
        assert complaints(gateway) == []
    nursery.cancel_scope.cancel()
    requests = [ExportTraceServiceRequest.FromString(body) for path, body in seen if path == "/v1/traces"]
    spans = [span for each in requests for span in each.resource_spans[0].scope_spans[0].spans]
    assert {"invoke_agent main", "build the prompt", "deliver"} <= {span.name for span in spans}
    assert len({span.trace_id for span in spans}) == 1
    assert "/v1/metrics" in {path for path, _ in seen}


async def test_a_collector_that_never_answers(tmp_path: Path) -> None:
    """People are answered, and a stop takes little longer."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{deaf.getsockname()[1]}"}
        async with open_deployment(tmp_path) as deployment:
            async with deployment.gateway(deployment.config(), env=env) as gateway:
                post = await deployment.alice.say("@bot hello")
                await deployment.alice.wait_answer(post, deployment.last_word)
                began = os.times().elapsed
                assert await gateway.end(signal.SIGTERM) == 0
                assert os.times().elapsed - began < FLUSH_SECONDS + 10
            # On a slow machine its silence is noticed before.
            told = complaints(gateway)
            assert told
            assert all("the collector did not answer in time" in line or "can't be exported" in line for line in told)
