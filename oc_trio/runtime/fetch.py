"""Fetches what an agent's answer points to, and nothing that lies inside the operator's network.

Each address, redirects included, is resolved here and judged by `core.netguard`; the connection then goes to exactly
the address that was judged, so that a second look-up can't answer differently.
"""

import ssl
from collections.abc import Awaitable, Callable
from urllib.parse import urljoin, urlsplit

import httpx
import trio
from attrs import frozen

from oc_trio.core.netguard import NetPolicy, Refused, judge

SECONDS = 60.0
_REDIRECTS = 4
_MOVED = frozenset({301, 302, 303, 307, 308})


class CantFetch(Exception):
    """str() is for the operator, `for_user` the end of a sentence for the chat."""

    def __init__(self, message: str, *, for_user: str) -> None:
        super().__init__(message)
        self.for_user = for_user


async def resolve(host: str, port: int) -> tuple[str, ...]:
    """The addresses of a name. Raises OSError."""
    found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


@frozen(eq=False)
class Fetcher:
    """`transport` and `resolve` are for tests; the policy opens nothing by default."""

    ssl_context: ssl.SSLContext | None = None
    resolve: Callable[[str, int], Awaitable[tuple[str, ...]]] = resolve
    transport: httpx.AsyncBaseTransport | None = None
    policy: NetPolicy = NetPolicy()

    async def __call__(self, url: str, limit: int) -> bytes:
        """The bytes at `url`, at most `limit`. Raises CantFetch."""
        verify = self.ssl_context
        if verify is None:
            # Loading the certificates blocks for a fifth of a second, so not here.
            verify = await trio.to_thread.run_sync(ssl.create_default_context)
        try:
            with trio.fail_after(SECONDS):
                async with httpx.AsyncClient(
                    verify=verify,
                    timeout=None,  # noqa: S113 - the deadline is Trio's
                    transport=self.transport,
                    trust_env=False,
                ) as client:
                    return await self._follow(client, url, limit)
        except trio.TooSlowError:
            raise CantFetch(f"{url}: not there within {SECONDS:g} s", for_user="it took too long") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as problem:
            raise CantFetch(f"{url}: {problem}", for_user="it could not be fetched") from problem

    async def _follow(self, client: httpx.AsyncClient, url: str, limit: int) -> bytes:
        for _ in range(_REDIRECTS + 1):
            response = await client.send(await self._pinned(client, url), stream=True)
            try:
                if response.status_code in _MOVED and "location" in response.headers:
                    url = urljoin(url, response.headers["location"])
                    continue
                if not response.is_success:
                    raise CantFetch(f"{url}: status {response.status_code}", for_user="its server refused it")
                return await _read(response, url, limit)
            finally:
                with trio.move_on_after(2.0, shield=True):
                    await response.aclose()
        raise CantFetch(f"{url}: more than {_REDIRECTS} redirects", for_user="it could not be fetched")

    async def _pinned(self, client: httpx.AsyncClient, url: str) -> httpx.Request:
        """A request to an address that was judged; name and certificate are still those of the host."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not host:
            raise CantFetch(f"{url}: not an http or https address", for_user="its address is not a web address")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        verdict = judge(host, await self.resolve(host, port), self.policy)
        if isinstance(verdict, Refused):
            raise CantFetch(f"{url}: {verdict.reason}", for_user="its address is not a public one")
        address = verdict.addresses[0]
        literal = f"[{address}]" if address.version == 6 else str(address)
        pinned = httpx.URL(url).copy_with(host=literal, port=port)
        headers = {"Host": parts.netloc.rpartition("@")[2]}
        return client.build_request("GET", pinned, headers=headers, extensions={"sni_hostname": host})


async def _read(response: httpx.Response, url: str, limit: int) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > limit:
            raise CantFetch(f"{url}: larger than {limit} bytes", for_user="it is too large for this server")
    return bytes(body)
