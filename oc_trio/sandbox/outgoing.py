"""Calls from the server to an integration (button, dialog, slash command), behind one injected callable."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import trio
from attrs import frozen

from oc_trio.sandbox.compact import dump
from oc_trio.sandbox.settings import INTEGRATION_SECONDS


@frozen
class Outgoing:
    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""


@frozen
class Answer:
    status: int
    content_type: str
    body: bytes


class IntegrationUnreachable(Exception):
    """No answer came: nobody listens, the URL can't be used, or it took too long."""


PostOut = Callable[[Outgoing], Awaitable[Answer]]


async def post_out(call: Outgoing) -> Answer:
    """The real thing: one HTTP request on a connection of its own, redirects not followed."""
    try:
        async with httpx.AsyncClient(timeout=None, trust_env=False, verify=False) as client:  # noqa: S113, S501
            response = await client.request(call.method, call.url, headers=dict(call.headers), content=call.body)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise IntegrationUnreachable(type(error).__name__) from error
    return Answer(response.status_code, response.headers.get("content-type", ""), response.content)


async def call_integration(send: PostOut, call: Outgoing) -> Answer:
    """The answer within 30 s, or IntegrationUnreachable."""
    if not call.url:
        raise IntegrationUnreachable("no URL")
    with trio.move_on_after(INTEGRATION_SECONDS):
        return await send(call)
    raise IntegrationUnreachable("timed out")


def json_call(url: str, body: Any) -> Outgoing:
    headers = (("content-type", "application/json"), ("accept", "application/json"))
    return Outgoing("POST", url, headers, dump(body).encode())
