"""Files to be sent, from a path or from an address: named, measured, ready to be uploaded.

Addresses are fetched behind the guard, whatever a private chat server allows: what an agent asks for must not reach the
operator's own network. Uploading is `compose`'s.
"""

import mimetypes
import ssl
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import httpx
import trio
from attrs import frozen

from oc_trio import __version__
from oc_trio.core.netguard import NetPolicy
from oc_trio.errors import MattermostUnavailable
from oc_trio.mattermost.address_guard import AddressGuard, AddressRefused, GuardedTransport
from oc_trio.mattermost.files import Outgoing, from_bytes, from_path
from oc_trio.mattermost.sniff import sniff
from oc_trio.runtime.delivery.fetch import NOT_FETCHED
from oc_trio.telemetry.log import get_logger

FETCH_SECONDS = 120.0
MOST_REDIRECTS = 3
_LONGEST_NAME = 120
_SCHEMES = ("http://", "https://")


log = get_logger(part="attachments")


class MediaRefused(Exception):
    """A file can't be sent; str() says why, without the path of what it is about."""


def is_address(source: str) -> bool:
    """Whether a source is fetched rather than read from disk."""
    return source.lower().startswith(_SCHEMES)


async def guarded_transport(ssl_context: ssl.SSLContext | None) -> httpx.AsyncBaseTransport:
    """Connections to public addresses only."""
    # Loading the certificates blocks for a fifth of a second.
    context = ssl_context or await trio.to_thread.run_sync(ssl.create_default_context)
    return GuardedTransport(AddressGuard(NetPolicy(allow_private=False)), context)


@frozen(eq=False)
class MediaLoader:
    """Opens sources; `limit` is the largest file in bytes that is fetched. `transport` None means the guarded one."""

    limit: int
    ssl_context: ssl.SSLContext | None = None
    transport: Callable[[], httpx.AsyncBaseTransport] | None = None

    async def open(self, source: str, *, from_disk: bool) -> Outgoing:
        """The file behind an address, or behind a path where `from_disk` allows it. Raises MediaRefused."""
        if is_address(source):
            return await self._fetch(source)
        if not from_disk:
            raise MediaRefused("only addresses (https://...) can be sent from here, no files of the gateway")
        try:
            path = trio.Path(source)
            if not await path.is_file():
                raise MediaRefused("there is no such file" if not await path.exists() else "it is not a file")
            return await from_path(Path(source))
        except (OSError, ValueError) as problem:
            raise MediaRefused(f"it can't be read: {getattr(problem, 'strerror', None) or problem}") from problem

    async def _fetch(self, url: str) -> Outgoing:
        try:
            with trio.fail_after(FETCH_SECONDS):
                return await self._get(url)
        except trio.TooSlowError:
            raise MediaRefused(f"it did not arrive within {FETCH_SECONDS:g} s") from None
        except (
            AddressRefused,
            MattermostUnavailable,
            httpx.HTTPError,
            OSError,
            ValueError,
            httpx.InvalidURL,
        ) as problem:
            # Names that resolve, addresses and ports that answer: what is inside is for the operator only.
            log.warning("a file could not be fetched", host=_host(url), problem=str(problem)[:300])
            raise MediaRefused(NOT_FETCHED) from problem

    async def _get(self, url: str) -> Outgoing:
        transport = self.transport() if self.transport else await guarded_transport(self.ssl_context)
        async with (
            httpx.AsyncClient(
                transport=transport,
                timeout=None,  # noqa: S113 - the deadline is Trio's
                follow_redirects=True,  # each hop dials anew, past the same guard
                max_redirects=MOST_REDIRECTS,
                headers={"User-Agent": f"oc-trio/{__version__}"},
            ) as client,
            client.stream("GET", url) as response,
        ):
            if not response.is_success:
                raise MediaRefused(f"its server answers {response.status_code}")
            content = bytearray()
            # Leaving httpx's generators by cancellation lets them end well; by an exception it would not.
            with trio.CancelScope() as enough:
                async for chunk in response.aiter_bytes():
                    content += chunk[: self.limit + 1 - len(content)]
                    if len(content) > self.limit:
                        enough.cancel()
            if len(content) > self.limit:
                raise MediaRefused(f"it is larger than {self.limit} bytes (mediaMaxMb)")
            return from_bytes(_name(str(response.url), bytes(content[:64])), bytes(content))


def _host(url: str) -> str:
    """All of an address that the log may have: the rest can hold passwords, signatures, and words of people."""
    try:
        return (urlsplit(url).hostname or "")[:200]
    except ValueError:  # `http://[`
        return ""


def _name(url: str, head: bytes) -> str:
    """The last part of the path; without one, `upload` with an ending by content."""
    name = PurePosixPath(unquote(urlsplit(url).path)).name.replace("\0", "")[-_LONGEST_NAME:]
    return name or f"upload{mimetypes.guess_extension(sniff(head)) or ''}"
