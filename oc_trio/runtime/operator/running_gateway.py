"""Asks the gateway that runs with this configuration over its admin socket, without blocking the event loop."""

import ssl
from pathlib import Path
from typing import Any

import httpx
import trio

from oc_trio.core.describe_error import describe_error


class GatewaySilent(Exception):
    """A gateway is running and can't be asked; str() says why."""


async def ask_gateway(socket: Path, method: str, path: str, *, seconds: float) -> dict[str, Any] | None:
    """The JSON object at `path`; None where no gateway is running. Raises GatewaySilent."""
    try:
        with trio.fail_after(seconds):
            transport = httpx.AsyncHTTPTransport(uds=str(socket), verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
            async with httpx.AsyncClient(transport=transport, timeout=None) as http:  # noqa: S113 - Trio's
                response = await http.request(method, f"http://localhost{path}")
        if response.status_code != 200:
            # A path that this release has and the running one does not: it was upgraded and not restarted.
            old = " and is of another release: restart it" if response.status_code in (404, 405) else ""
            raise GatewaySilent(f"the running gateway does not do that (HTTP {response.status_code}){old}")
        answer = response.json()
    except httpx.ConnectError as problem:
        if _is_forbidden(problem):
            why = f"the running gateway may not be asked (at {socket}): run this as its user, or as root"
            raise GatewaySilent(why) from None
        # Nothing listens at the socket, or there is none: a gateway that ended leaves it behind.
        return None
    except httpx.HTTPError as problem:
        raise GatewaySilent(f"the running gateway does not answer ({describe_error(problem)})") from None
    except trio.TooSlowError:
        raise GatewaySilent(f"the running gateway does not answer within {seconds:g} s") from None
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise GatewaySilent("the running gateway is of another release: restart it")
    return answer


def _is_forbidden(problem: BaseException) -> bool:
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, PermissionError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
