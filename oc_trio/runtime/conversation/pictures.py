"""Converts pictures to what a model takes, one at a time in a thread, with a cache: each turn sends them again.

The conversion is `picture_codec`. Without Pillow, types that all model APIs know are sent unchanged.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version

import trio
from attrs import field

from oc_trio.agent.image_bounds import COMMON, ImageBounds, Picture
from oc_trio.classes import define
from oc_trio.errors import PictureUnusable
from oc_trio.telemetry.log import get_logger

INSTALL = "pip install 'oc-trio[images]'"
NO_PILLOW = "this gateway can't read pictures of this kind without its extra `images`"
FIT_SECONDS = 60.0  # includes the wait for other pictures
TOO_SLOW = "it took too long to be read"
# One conversion may take 400 MB of memory.
_AT_ONCE = 1
# Converted pictures are kept: the next turns of a conversation show them to the model again.
_MAX_BYTES = 16 * 1024 * 1024
# Refused ones have no bytes, and would never be forgotten by those alone.
_MAX_ENTRIES = 200

log = get_logger(part="pictures")


Fit = Callable[[bytes, ImageBounds], Picture]


@cache
def pillow_version() -> str:
    """The version of the installed Pillow; empty without it. Looked up once: it takes 5 ms."""
    try:
        return version("pillow")
    except PackageNotFoundError:
        return ""


def installed_fit() -> Fit | None:
    """The conversion function; None without Pillow."""
    return _fit if pillow_version() else None


def _fit(data: bytes, bounds: ImageBounds) -> Picture:
    """Called in a thread. Pillow is imported with the first picture, because it takes 10 MiB of memory."""
    try:
        from oc_trio.runtime.conversation.picture_codec import fit
    except ImportError as problem:
        log.warning("Pillow can't be used", problem=str(problem), install=INSTALL)
        raise PictureUnusable("this gateway's Pillow can't be used") from problem
    return fit(data, bounds)


async def in_thread(fit: Fit, data: bytes, bounds: ImageBounds, limiter: trio.CapacityLimiter) -> Picture:
    """Run `fit` in a thread. After a cancellation it runs on to its end, and keeps its `limiter` token until then."""
    # A thread can't be stopped. The token stays taken until it ends, so abandoned conversions don't pile up in memory.
    return await trio.to_thread.run_sync(fit, data, bounds, abandon_on_cancel=True, limiter=limiter)


@define(eq=False)
class Pictures:
    """One for the process. `fit` is None without Pillow; `run` calls it, in a thread unless a test says otherwise."""

    fit: Fit | None = field(factory=installed_fit)
    run: Callable[[Fit, bytes, ImageBounds, trio.CapacityLimiter], Awaitable[Picture]] = in_thread
    limiter: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(_AT_ONCE))
    # By the picture's hash: what it became, None where it is sent as it is, or why it can't be; last used last.
    _cached: OrderedDict[tuple[bytes, ImageBounds], Picture | str | None] = field(init=False, factory=OrderedDict)
    _bytes: int = field(init=False, default=0)
    _is_lack_logged: bool = field(init=False, default=False)

    async def fitted(self, data: bytes, mime: str, bounds: ImageBounds) -> Picture:
        """A picture within `bounds`; `mime` is its type by its first bytes.

        Raises `PictureUnusable`.
        """
        if self.fit is None:
            return self._unchanged(data, mime)
        # By content and not by file id: people post the same picture again.
        key = blake2b(data, digest_size=16).digest(), bounds
        if key in self._cached:
            self._cached.move_to_end(key)
            result = self._cached[key]
        else:
            result = await self._convert(self.fit, data, mime, bounds)
            self._cache(key, result)
        if isinstance(result, str):
            raise PictureUnusable(result)
        return result or Picture(mime, data)

    def _unchanged(self, data: bytes, mime: str) -> Picture:
        if mime in COMMON:
            return Picture(mime, data)
        if not self._is_lack_logged:
            log.warning("a picture was left out because Pillow is not installed", type=mime, install=INSTALL)
            self._is_lack_logged = True
        raise PictureUnusable(NO_PILLOW)

    async def _convert(self, fit: Fit, data: bytes, mime: str, bounds: ImageBounds) -> Picture | str | None:
        """The picture, None where it is unchanged, or why it is unusable. Raises `PictureUnusable` after a timeout."""
        try:
            with trio.fail_after(FIT_SECONDS):
                picture = await self.run(fit, data, bounds, self.limiter)
        except PictureUnusable as problem:
            log.info("a picture was left out", type=mime, bytes=len(data), reason=str(problem))
            return str(problem)
        except trio.TooSlowError:  # other pictures may be the reason, so this is not cached
            log.warning("a picture was left out", type=mime, bytes=len(data), reason=TOO_SLOW)
            raise PictureUnusable(TOO_SLOW) from None
        # `fit` returns the very same bytes where nothing had to be changed.
        return None if picture.data is data and picture.mime == mime else picture

    def _cache(self, key: tuple[bytes, ImageBounds], result: Picture | str | None) -> None:
        """Cache a result; the oldest ones go beyond `_MAX_BYTES` of picture data or `_MAX_ENTRIES`."""
        before = self._cached.pop(key, None)  # another turn may have converted it meanwhile
        self._cached[key] = result
        self._bytes += _size(result) - _size(before)
        while self._bytes > _MAX_BYTES or len(self._cached) > _MAX_ENTRIES:
            self._bytes -= _size(self._cached.popitem(last=False)[1])


def _size(result: Picture | str | None) -> int:
    return len(result.data) if isinstance(result, Picture) else 0
