"""Fetches what an agent's answer points to, and nothing that lies inside the operator's network.

Every connection, redirects included, passes the guard, which dials exactly the address that it judged.
"""

import ssl
from urllib.parse import urljoin, urlsplit

import httpx
import trio
from attrs import frozen

from oc_trio.core.netguard import NetPolicy
from oc_trio.errors import MattermostError
from oc_trio.mattermost.address_guard import AddressGuard, AddressRefused, GuardedTransport

SECONDS = 60.0
_REDIRECTS = 4
# One sentence for every reason that lies in the network: which it was would tell how names resolve in there.
NOT_FETCHED = "it can't be fetched from a public address"
_MOVED = frozenset({301, 302, 303, 307, 308})


class CantFetch(Exception):
    """str() is for the operator, `for_user` the end of a sentence for the chat."""

    def __init__(self, message: str, *, for_user: str) -> None:
        super().__init__(message)
        self.for_user = for_user


@frozen(eq=False)
class Fetcher:
    """`transport` replaces the guarded one in tests. The operator's opt-in for a private server opens nothing here."""

    ssl_context: ssl.SSLContext | None = None
    transport: httpx.AsyncBaseTransport | None = None

    async def __call__(self, url: str, limit: int) -> bytes:
        """The bytes at `url`, at most `limit`. Raises CantFetch."""
        try:
            with trio.fail_after(SECONDS):
                async with httpx.AsyncClient(
                    transport=self.transport or await self._guarded(url),
                    timeout=None,  # noqa: S113 - the deadline is Trio's
                    trust_env=False,
                ) as client:
                    return await _follow(client, url, limit)
        except trio.TooSlowError:
            raise CantFetch(f"{url}: not there within {SECONDS:g} s", for_user="it took too long") from None
        except AddressRefused as refusal:
            raise CantFetch(f"{url}: {refusal}", for_user=NOT_FETCHED) from refusal
        except (httpx.HTTPError, httpx.InvalidURL, MattermostError, OSError, ValueError) as problem:
            raise CantFetch(f"{url}: {problem}", for_user=NOT_FETCHED) from problem

    async def _guarded(self, url: str) -> httpx.AsyncBaseTransport:
        context = self.ssl_context
        if context is None and url.startswith("https:"):
            # Loading the certificates blocks for a fifth of a second, so not here.
            context = await trio.to_thread.run_sync(ssl.create_default_context)
        return GuardedTransport(AddressGuard(NetPolicy()), context)


async def _follow(client: httpx.AsyncClient, url: str, limit: int) -> bytes:
    for _ in range(_REDIRECTS + 1):
        if urlsplit(url).scheme not in ("http", "https"):
            raise CantFetch(f"{url}: not an http or https address", for_user="its address is not a web address")
        response = await client.send(client.build_request("GET", url), stream=True)
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


async def _read(response: httpx.Response, url: str, limit: int) -> bytes:
    body = bytearray()
    # Leaving the loop early would leave httpx's generators behind; a cancelled scope ends them well.
    with trio.CancelScope() as enough:
        async for chunk in response.aiter_bytes():
            if len(body) <= limit:
                body += chunk
            if len(body) > limit:
                enough.cancel()
    if len(body) > limit:
        raise CantFetch(f"{url}: larger than {limit} bytes", for_user="it is too large for this server")
    return bytes(body)
