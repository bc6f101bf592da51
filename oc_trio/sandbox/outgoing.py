"""Calls from the server to integrations (buttons, dialogs, slash commands), through one injected callable."""

from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx
import trio

from oc_trio.classes import frozen
from oc_trio.core.netguard import Zone, classify
from oc_trio.sandbox.compact import dump
from oc_trio.sandbox.settings import INTEGRATION_SECONDS


@frozen
class IntegrationRequest:
    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""


@frozen
class IntegrationResponse:
    status: int
    content_type: str
    body: bytes


class IntegrationUnreachable(Exception):
    """There was no response: connection refused, invalid URL, or timeout."""


PostOut = Callable[[IntegrationRequest], Awaitable[IntegrationResponse]]


async def post_out(call: IntegrationRequest) -> IntegrationResponse:
    """Makes one real HTTP request on a new connection, without following redirects."""
    try:
        # `call_integration` sets the time limit. No proxy of the environment is used, and certificates are not checked:
        # integrations run on this machine, with certificates that they signed themselves.
        async with httpx.AsyncClient(timeout=None, trust_env=False, verify=False) as client:  # noqa: S113, S501
            response = await client.request(call.method, call.url, headers=dict(call.headers), content=call.body)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise IntegrationUnreachable(type(error).__name__) from error
    return IntegrationResponse(response.status_code, response.headers.get("content-type", ""), response.content)


def within(send: PostOut, allowed: Callable[[], tuple[str, ...] | None]) -> PostOut:
    """`send`, but as Mattermost it calls a host with an address that is not public only if `allowed` names the host."""

    async def send_within(call: IntegrationRequest) -> IntegrationResponse:
        hosts, host = allowed(), urlsplit(call.url).hostname or ""
        if hosts is not None and host not in hosts:
            try:
                found = await trio.socket.getaddrinfo(host, None)
            except OSError as error:
                raise IntegrationUnreachable("no such host") from error
            # One forbidden address is enough: the connection could go to any of them.
            if any(classify(ip_address(str(entry[4][0]).partition("%")[0])) is not Zone.PUBLIC for entry in found):
                raise IntegrationUnreachable("address forbidden")
        return await send(call)

    return send_within


async def call_integration(send: PostOut, call: IntegrationRequest) -> IntegrationResponse:
    """The response. Raises IntegrationUnreachable if there is none within 30 s."""
    if not call.url:
        raise IntegrationUnreachable("no URL")
    # `OutgoingIntegrationRequestsTimeout` (contract scenarios button_timeout and command_timeout).
    with trio.move_on_after(INTEGRATION_SECONDS):
        return await send(call)
    raise IntegrationUnreachable("timed out")


def json_call(url: str, body: Any) -> IntegrationRequest:
    headers = (("content-type", "application/json"), ("accept", "application/json"))
    return IntegrationRequest("POST", url, headers, dump(body).encode())
