"""The public port's place in the configuration: URLs, paths, warnings, and a run on a real socket."""

from typing import Any

import httpx
import pytest
import structlog
import trio

from oc_trio.config.accounts import Account
from oc_trio.config.document import Document
from oc_trio.config.load import Loaded, build
from oc_trio.ids import AccountId
from oc_trio.runtime.handlers.callback_urls import is_called_back, plan_callbacks, warn_unreachable
from oc_trio.runtime.handlers.endpoints import build_registry, serve_public
from oc_trio.telemetry.metrics import Metrics


def loaded(account: dict[str, Any] | None = None, gateway: dict[str, Any] | None = None) -> tuple[Loaded, Account]:
    settings = {"enabled": True, "botToken": "x" * 26, "baseUrl": "https://chat.example.com", **(account or {})}
    values = {"channels": {"mattermost": settings}, "gateway": gateway or {}}
    made = build(Document(values), {}, connect=False)
    return made, made.accounts[AccountId("default")]


@pytest.mark.parametrize(
    ("account", "gateway", "command", "click"),
    [
        pytest.param(
            {}, {}, "http://localhost:18789/api/channels/mattermost/command", "http://localhost:18789", id="-"
        ),
        pytest.param(
            {},
            {"customBindHost": "192.0.2.1", "port": 80},
            "http://192.0.2.1:80/api/channels/mattermost/command",
            "http://192.0.2.1:80",
            id="host and port",
        ),
        pytest.param(
            {},
            {"customBindHost": "0.0.0.0"},
            "http://localhost:18789/api/channels/mattermost/command",
            "http://localhost:18789",
            id="a wildcard is no host",
        ),
        pytest.param(
            {},
            {"customBindHost": "::1"},
            "http://[::1]:18789/api/channels/mattermost/command",
            "http://[::1]:18789",
            id="IPv6 in brackets",
        ),
        pytest.param(
            {
                "commands": {"callbackUrl": "https://gw.example.com/cmd"},
                "interactions": {"callbackBaseUrl": "https://gw.example.com/x/", "allowedSourceIps": ["10.0.0.1"]},
            },
            {},
            "https://gw.example.com/cmd",
            "https://gw.example.com/x",
            id="given",
        ),
    ],
)
def test_urls_follow_the_configuration(
    account: dict[str, Any], gateway: dict[str, Any], command: str, click: str
) -> None:
    """Given URLs win; else host and port of the gateway make them."""
    made, settings = loaded(account, gateway)
    plan = plan_callbacks(made.config, settings)
    assert (plan.command_url, plan.click_url) == (command, f"{click}/mattermost/interactions/default")


def test_both_the_path_and_the_urls_path_are_open() -> None:
    """A proxy may pass the path on or change it."""
    made, _ = loaded({"commands": {"native": True, "callbackUrl": "https://gw.example.com/cmd"}})
    assert build_registry(made.accounts).command_paths == ("/api/channels/mattermost/command", "/cmd")


def test_without_native_commands_no_path_is_open() -> None:
    """Without native commands their path does not exist."""
    made, _ = loaded()
    registry = build_registry(made.accounts)
    assert (registry.command_paths, list(registry.click_sources)) == ((), ["default"])


@pytest.mark.parametrize(
    ("account", "lines"),
    [
        pytest.param(
            {"commands": {"native": True}}, ["slash commands callbackUrl", "interactions callbackUrl"], id="both"
        ),
        pytest.param(
            {"baseUrl": "http://127.0.0.1:8065", "network": {"dangerouslyAllowPrivateNetwork": True}}, [], id="-"
        ),
        pytest.param(
            {"interactions": {"callbackBaseUrl": "https://gw.example.com"}}, ["allowedSourceIps is empty"], id="sources"
        ),
    ],
)
def test_a_callback_that_cannot_arrive_is_warned_about(account: dict[str, Any], lines: list[str]) -> None:
    """The documented words name the setting to change."""
    made, settings = loaded(account)
    with structlog.testing.capture_logs() as logs:
        warn_unreachable(plan_callbacks(made.config, settings), settings)
    events = [entry["event"] for entry in logs]
    assert len(events) == len(lines)
    assert all(line in text for line, text in zip(lines, events))


@pytest.mark.parametrize(
    ("account", "wanted"),
    [
        pytest.param({}, False, id="chat only"),
        pytest.param({"commands": {"native": True}}, True, id="commands"),
        pytest.param({"capabilities": ["inlineButtons"]}, True, id="buttons"),
        pytest.param({"interactions": {"callbackBaseUrl": "https://gw.example.com"}}, True, id="a way for clicks"),
    ],
)
def test_a_port_is_opened_where_something_is_called_back(account: dict[str, Any], wanted: bool) -> None:
    """A gateway that only chats listens nowhere."""
    made, _ = loaded(account)
    assert is_called_back(made.config, made.accounts) is wanted


async def test_it_serves_on_the_configured_address() -> None:
    """The port is open before any account is, and closes with the event."""
    made, _ = loaded({"commands": {"native": True}}, {"port": 0})
    shutdown = trio.Event()
    async with trio.open_nursery() as nursery:

        async def run(*, task_status: trio.TaskStatus[str]) -> None:
            registry = build_registry(made.accounts)
            await serve_public(made.config, registry, Metrics(), shutdown=shutdown, task_status=task_status)

        url: str = await nursery.start(run)
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            with trio.fail_after(5):
                path = "/api/channels/mattermost/command"
                assert (await client.get(url + path)).status_code == 405
                assert (await client.post(url + path, data={})).status_code == 400
        shutdown.set()
