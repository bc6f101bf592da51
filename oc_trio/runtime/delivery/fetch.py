"""Downloads files from web addresses, and from nothing that lies inside the operator's network (SSRF guard).

Every connection, redirects included, passes the guard, which dials exactly the address that it judged. The operator's
opt-in for a private chat server opens nothing here: what an agent asks for must not reach the operator's network.
"""

import ssl
from ipaddress import ip_address
from urllib.parse import urljoin, urlsplit

import httpx
import trio

from oc_trio import __version__
from oc_trio.classes import frozen
from oc_trio.core.netguard import NetPolicy
from oc_trio.errors import MattermostError
from oc_trio.mattermost.address_guard import AddressGuard, AddressRefused, GuardedTransport
from oc_trio.network.tls import client_tls
from oc_trio.telemetry.log import get_logger

# For the whole file, its redirects included: an answer, or a tool's result, waits for it.
FETCH_SECONDS = 120.0
# A shortened link, http to https, a content network; more is a loop as a rule.
MAX_REDIRECTS = 4
# One sentence for every reason that lies in the network: the reason would tell which names resolve and which addresses
# and ports answer inside. The log has it.
NOT_FETCHED = "it can't be fetched from a public address"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Shielded, for a connection that has to be closed after a cancellation, too.
_CLOSE_SECONDS = 2.0

log = get_logger(part="fetch")


class MediaRefused(Exception):
    """A file can't be sent. str() is the end of a sentence for the chat, without the path or address of the file."""


class MediaTooLarge(MediaRefused):
    """A file is larger than the caller's limit."""


@frozen
class FetchedFile:
    """`url` is the address after redirects."""

    url: str
    content: bytes


@frozen(eq=False)
class Fetcher:
    """`transport` replaces the guarded connections in tests."""

    ssl_context: ssl.SSLContext | None = None
    transport: httpx.AsyncBaseTransport | None = None

    async def __call__(self, url: str, limit: int) -> FetchedFile:
        """The file at `url`, of at most `limit` bytes. Raises MediaTooLarge, MediaRefused."""
        try:
            with trio.fail_after(FETCH_SECONDS):
                async with httpx.AsyncClient(
                    transport=self.transport or await self._guarded_transport(),
                    timeout=None,  # noqa: S113 - the deadline is Trio's
                    # A proxy from the environment would dial the address by itself, past the guard.
                    trust_env=False,
                    headers={"User-Agent": f"oc-trio/{__version__}"},
                ) as client:
                    return await _follow_redirects(client, url, limit)
        except trio.TooSlowError:
            raise MediaRefused(f"it did not arrive within {FETCH_SECONDS:g} s") from None
        except (AddressRefused, MattermostError, httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as problem:
            host = _ip_host(url)
            why = f"{type(problem).__name__}: {str(problem)[:300]}" if host else type(problem).__name__
            log.warning("a file could not be fetched", host=host, problem=why)
            raise MediaRefused(NOT_FETCHED) from problem

    async def _guarded_transport(self) -> httpx.AsyncBaseTransport:
        # Loading the certificates blocks for a fifth of a second, so it is done in a thread. Also for http addresses: a
        # redirect may lead to https.
        context = self.ssl_context or await trio.to_thread.run_sync(client_tls)
        return GuardedTransport(AddressGuard(NetPolicy(allow_private=False)), context)


async def _follow_redirects(client: httpx.AsyncClient, url: str, limit: int) -> FetchedFile:
    # By hand instead of httpx's follow_redirects: each hop's scheme is checked before it is dialled.
    for _ in range(MAX_REDIRECTS + 1):
        if urlsplit(url).scheme not in ("http", "https"):
            raise MediaRefused("its address is not a web address")
        response = await client.send(client.build_request("GET", url), stream=True)
        try:
            if response.status_code in _REDIRECTS and "location" in response.headers:
                url = urljoin(url, response.headers["location"])
                continue
            if not response.is_success:
                raise MediaRefused(f"its server answers {response.status_code}")
            return FetchedFile(url, await _read_body(response, limit))
        finally:
            with trio.move_on_after(_CLOSE_SECONDS, shield=True):
                await response.aclose()
    raise MediaRefused(f"{NOT_FETCHED}: it is redirected more than {MAX_REDIRECTS} times")


async def _read_body(response: httpx.Response, limit: int) -> bytes:
    body = bytearray()
    # Leaving the loop early would leave httpx's generators unfinished; cancelling the scope closes them properly.
    with trio.CancelScope() as scope:
        async for chunk in response.aiter_bytes():
            # One byte more than allowed shows that it is too large, however much a chunk holds after decompression.
            body += chunk[: limit + 1 - len(body)]
            if len(body) > limit:
                scope.cancel()
    if len(body) > limit:
        raise MediaTooLarge(f"it is larger than {limit} bytes")
    return bytes(body)


def _ip_host(url: str) -> str:
    """The IP address in a URL, empty for a name: names, like paths and passwords, are words of people and models, which
    the log must not have; errors quote the name.
    """
    try:
        host = urlsplit(url).hostname or ""
        ip_address(host)
    except ValueError:  # a name, or `http://[`
        return ""
    return host
