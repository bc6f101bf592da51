"""The responses to probes, Prometheus and operators, and who gets none."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
import trio
import trio.testing
from attrs import evolve

from oc_trio.admin.app import AdminApp, build_admin_app
from oc_trio.core.membership import LeaseRow, Membership
from oc_trio.errors import StoreError
from oc_trio.ids import AccountId
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.log_tail import LogTail
from oc_trio.telemetry.membership_status import MembershipStatus
from oc_trio.telemetry.metrics import Metrics

NOON = 1_700_000_000_000
MAIN = AccountId("default")


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> int:
        return self.now


def make(
    journal: Callable[[], Awaitable[Mapping[str, Any]]] | None = None, **more: Any
) -> tuple[AdminApp, Health, Clock]:
    clock = Clock()
    health = Health(clock)
    return build_admin_app(health, Metrics(), now_ms=clock, journal=journal, **more), health, clock


async def call(
    app: AdminApp, path: str, method: str = "GET", host: str = "localhost", **more: Any
) -> tuple[int, str, dict[str, str]]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        raise AssertionError("no request here has a body")

    scope = {"type": "http", "method": method, "path": path, "headers": [(b"host", host.encode())], **more}
    await app(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], sent[1]["body"].decode(), headers


async def test_ready_means_serving_and_live() -> None:
    """Neither a live account while stopping nor a phase without accounts is ready; why not is in the answer."""
    app, health, _ = make()
    assert await call(app, "/readyz") == (503, "starting\n", (await call(app, "/readyz"))[2])
    health.phase = "serving"
    health.update(MAIN, state="auth_failed", bot="bot")
    status, body, _ = await call(app, "/readyz")
    assert (status, body) == (503, "serving; default: auth_failed as @bot\n")
    health.update(MAIN, state="live")
    assert (await call(app, "/readyz"))[:2] == (200, "ok\n")
    health.phase = "draining"
    assert (await call(app, "/readyz"))[0] == 503


async def test_a_standby_is_ready_while_its_database_answers() -> None:
    """Others serve, and it could take over. One that serves has to be live, as one process alone has."""
    app, health, _ = make()
    health.phase = "serving"
    health.update(MAIN, state="standby", detail="served by two (process 8)")
    row = LeaseRow(MAIN, "other", 3, 5000, 0)
    health.membership = MembershipStatus("me", Membership((), (row,)))
    assert (await call(app, "/readyz"))[:2] == (200, "ok\n")
    health.membership = evolve(health.membership, problem="postgres: away")
    status, body, _ = await call(app, "/readyz")
    assert (status, body) == (503, "serving; default: standby; the database does not answer\n")
    health.membership = MembershipStatus("other", Membership((), (row,)))
    health.update(MAIN, state="reconnecting")
    assert (await call(app, "/readyz"))[0] == 503


async def test_alive_until_a_part_breaks_its_promise(autojump_clock: trio.testing.MockClock) -> None:
    """A part that stopped making progress is named."""
    app, health, _ = make()
    health.progress("listener", within_s=10)
    assert (await call(app, "/livez"))[:2] == (200, "ok\n")
    await trio.sleep(11)
    assert (await call(app, "/livez"))[:2] == (503, "stuck: listener\n")


async def test_metrics() -> None:
    """The exposition format, where the configuration says, or nowhere."""
    app, *_ = make(metrics_path="/m")
    app.metrics.restarts.labels("default").inc()
    status, body, headers = await call(app, "/m")
    assert status == 200
    assert 'oc_trio_account_restarts_total{account="default"} 1.0' in body
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    assert (await call(make(metrics_path="")[0], "/metrics"))[0] == 404


async def test_status() -> None:
    """One JSON object with the gateway's phase, its accounts and what the journal counts."""

    async def journal() -> Mapping[str, Any]:
        return {"open_obligations": 3}

    app, health, _ = make(journal)
    health.update(MAIN, state="live", bot="bot")
    status = json.loads((await call(app, "/status.json"))[1])
    assert status["now"] == NOON
    assert status["accounts"][0]["bot"] == "bot"
    assert status["journal"] == {"open_obligations": 3}
    assert status["ready"] is False


async def _broken() -> Mapping[str, Any]:
    raise StoreError("the disk is full")


async def _slow() -> Mapping[str, Any]:
    await trio.sleep_forever()
    raise AssertionError


@pytest.mark.parametrize(("journal", "error_text"), [(_broken, "the disk is full"), (_slow, "no answer within 2 s")])
async def test_a_journal_in_trouble_is_part_of_the_status(
    journal: Callable[[], Awaitable[Mapping[str, Any]]], error_text: str, autojump_clock: trio.testing.MockClock
) -> None:
    """A journal that fails is reported in the status, and the rest of it is complete."""
    status, body, _ = await call(make(journal)[0], "/status.json")
    assert (status, json.loads(body)["journal"]) == (200, {"error": error_text})


@pytest.mark.parametrize(
    ("path", "method", "host", "status"),
    [
        pytest.param("/", "GET", "localhost:9000", 200, id="page"),
        pytest.param("/status.js", "GET", "127.0.0.1", 200, id="its script"),
        pytest.param("/", "HEAD", "[::1]:9000", 200, id="head"),
        pytest.param("/status.json", "GET", "", 200, id="no host, as over the socket"),
        pytest.param("/", "POST", "localhost", 405, id="nothing can be changed there"),
        pytest.param("/", "PUT", "localhost", 405, id="no method of REST"),
        pytest.param("/actions/stop", "POST", "localhost", 404, id="no action without a gateway"),
        pytest.param("/uplot.js", "GET", "localhost", 200, id="the charts' script"),
        pytest.param("/vendor/uplot/LICENSE", "GET", "localhost", 404, id="no path into the folder"),
        pytest.param("/../app.py", "GET", "localhost", 404, id="only its own files"),
        pytest.param("/status.json", "GET", "evil.example", 403, id="a name that was bent to loopback"),
        pytest.param("/status.json", "GET", "localhost.evil.example:9000", 403, id="a longer name"),
    ],
)
async def test_who_gets_what(path: str, method: str, host: str, status: int) -> None:
    """Only its own pages and methods, only by this machine's names."""
    got, body, headers = await call(make()[0], path, method, host)
    assert got == status
    assert (body == "") == (method == "HEAD")
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")


async def test_the_log_is_for_the_unix_socket_only() -> None:
    """Lines after a number, the newest of them; a loopback port, which every user of the machine reaches, has none."""
    tail = LogTail()
    for number in range(1, 6):
        tail(None, "info", {"event": f"line {number}"})
    app, _, _ = make(tail=tail)
    status, body, _ = await call(app, "/logs.json", server=None, query_string=b"after=1&limit=2")
    assert status == 200
    assert [(line["number"], line["event"]["event"]) for line in json.loads(body)["lines"]] == [
        (4, "line 4"),
        (5, "line 5"),
    ]
    assert (await call(app, "/logs.json", server=("127.0.0.1", 8080), query_string=b""))[0] == 404
    assert (await call(app, "/logs.json", query_string=b""))[0] == 404
    assert len(json.loads((await call(app, "/logs.json", server=None, query_string=b"limit=x"))[1])["lines"]) == 5


async def test_a_command_wakes_the_schedules() -> None:
    """Over the unix socket only, which is for the gateway's own user."""
    woken: list[str] = []
    app, _, _ = make(jobs_changed=lambda: woken.append("woken"))
    assert (await call(app, "/cron/changed", "POST", server=None))[:2] == (200, "{}")
    assert (await call(app, "/cron/changed", "POST", server=("127.0.0.1", 9790)))[0] == 405
    assert (await call(app, "/cron/changed", "GET", server=None))[0] == 404
    assert woken == ["woken"]
