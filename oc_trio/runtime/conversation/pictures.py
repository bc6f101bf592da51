"""Fits pictures to a model, one at a time in a thread, and remembers them: a conversation repeats its pictures.

How a picture is fitted is `picture_codec`'s. Without Pillow, the kinds that all APIs know go as they are.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version

import trio
from attrs import define, field

from oc_trio.agent.image_bounds import COMMON, ImageBounds, Picture
from oc_trio.errors import PictureUnusable
from oc_trio.telemetry.log import get_logger

INSTALL = "pip install 'oc-trio[images]'"
NO_PILLOW = "this gateway can't read pictures of this kind without its extra `images`"
FIT_SECONDS = 60.0  # with the wait for others
TOO_SLOW = "it took too long to be read"
# One may take 400 MB.
_AT_ONCE = 1
_MOST_BYTES = 16 * 1024 * 1024
_MOST_ENTRIES = 200

log = get_logger(part="pictures")


Fit = Callable[[bytes, ImageBounds], Picture]


def pillow_version() -> str:
    """The installed Pillow's; empty without it."""
    try:
        return version("pillow")
    except PackageNotFoundError:
        return ""


def installed_fit() -> Fit | None:
    """What fits pictures here; None without Pillow."""
    return _fit if pillow_version() else None


def _fit(data: bytes, bounds: ImageBounds) -> Picture:
    """Called in a thread. Pillow is loaded with the first picture: it costs ten MiB."""
    try:
        from oc_trio.runtime.conversation.picture_codec import fit
    except ImportError as problem:
        log.warning("Pillow can't be used", problem=str(problem), install=INSTALL)
        raise PictureUnusable("this gateway's Pillow can't be used") from problem
    return fit(data, bounds)


async def in_thread(fit: Fit, data: bytes, bounds: ImageBounds, limiter: trio.CapacityLimiter) -> Picture:
    """A thread that is not waited for any more goes on to its end, and keeps its place until then."""
    return await trio.to_thread.run_sync(fit, data, bounds, abandon_on_cancel=True, limiter=limiter)


@define(eq=False)
class Pictures:
    """One process's; `fit` None means that there is no Pillow, `run` is where it runs."""

    fit: Fit | None = field(factory=installed_fit)
    run: Callable[[Fit, bytes, ImageBounds, trio.CapacityLimiter], Awaitable[Picture]] = in_thread
    limiter: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(_AT_ONCE))
    _known: OrderedDict[tuple[bytes, ImageBounds], Picture | str | None] = field(init=False, factory=OrderedDict)
    _bytes: int = field(init=False, default=0)
    _is_lack_logged: bool = field(init=False, default=False)

    async def fitted(self, data: bytes, mime: str, bounds: ImageBounds) -> Picture:
        """A picture whose type is `mime` by its first bytes, as a model with these bounds gets it.

        Raises `PictureUnusable`.
        """
        if self.fit is None:
            return self._as_it_is(data, mime)
        key = blake2b(data, digest_size=16).digest(), bounds
        if key in self._known:
            self._known.move_to_end(key)
            result = self._known[key]
        else:
            result = await self._made(self.fit, data, mime, bounds)
            self._keep(key, result)
        if isinstance(result, str):
            raise PictureUnusable(result)
        return result or Picture(mime, data)

    def _as_it_is(self, data: bytes, mime: str) -> Picture:
        if mime in COMMON:
            return Picture(mime, data)
        if not self._is_lack_logged:
            log.warning("a picture was left out because Pillow is not installed", type=mime, install=INSTALL)
            self._is_lack_logged = True
        raise PictureUnusable(NO_PILLOW)

    async def _made(self, fit: Fit, data: bytes, mime: str, bounds: ImageBounds) -> Picture | str | None:
        """The picture, None where it stays as it is, or why there is none. Raises `PictureUnusable` after too long."""
        try:
            with trio.fail_after(FIT_SECONDS):
                made = await self.run(fit, data, bounds, self.limiter)
        except PictureUnusable as problem:
            log.info("a picture was left out", type=mime, bytes=len(data), reason=str(problem))
            return str(problem)
        except trio.TooSlowError:  # that may be the fault of others, so it is not remembered
            log.warning("a picture was left out", type=mime, bytes=len(data), reason=TOO_SLOW)
            raise PictureUnusable(TOO_SLOW) from None
        return None if made.data is data and made.mime == mime else made

    def _keep(self, key: tuple[bytes, ImageBounds], result: Picture | str | None) -> None:
        """What was made, up to a number of bytes; the rest of it costs next to nothing."""
        before = self._known.pop(key, None)  # somebody else may have made it meanwhile
        self._known[key] = result
        self._bytes += _size(result) - _size(before)
        while self._bytes > _MOST_BYTES or len(self._known) > _MOST_ENTRIES:
            self._bytes -= _size(self._known.popitem(last=False)[1])


def _size(result: Picture | str | None) -> int:
    return len(result.data) if isinstance(result, Picture) else 0
