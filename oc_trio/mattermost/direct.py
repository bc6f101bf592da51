"""Opens direct channels: one request per user in flight, retried with backoff, shared by all callers, then cached.

Only `POST /channels/direct` is retried, and only after errors that may pass: 429, 5xx, network errors and timeouts.
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial

import trio
from attrs import field

from oc_trio.classes import define
from oc_trio.core.backoff import DirectRetryPolicy
from oc_trio.core.entities import Channel
from oc_trio.errors import MattermostError, MattermostUnavailable
from oc_trio.ids import UserId
from oc_trio.mattermost.client import Api
from oc_trio.retry import RetryState, retrying

# Entries never expire: the direct channel of two people is the same for good. The bounds are for memory.
MAX_CACHED = 10_000
MAX_JOBS = 1000


@define(eq=False)
class _Opening:
    done: trio.Event = field(factory=trio.Event)
    channel: Channel | None = None
    failure: MattermostError | None = None


@define(eq=False)
class DirectChannels:
    """The direct channels of one bot; get it from `open_direct_channels`."""

    _api: Api
    _bot_id: UserId
    _retry: DirectRetryPolicy
    _random: Callable[[], float]
    _nursery: trio.Nursery
    # Requests under way, one for each user; those who ask meanwhile wait for it.
    _jobs: dict[UserId, _Opening] = field(factory=dict)
    _cache: OrderedDict[UserId, Channel] = field(factory=OrderedDict)

    async def channel(self, user_id: UserId) -> Channel:
        """The direct channel with `user_id`. Cancelling this call does not cancel the request: others may wait for it.

        Raises MattermostRejected, or MattermostUnavailable once the retries are used up.
        """
        cached = self._cache.get(user_id)
        if cached is not None:
            await trio.lowlevel.checkpoint()
            return cached
        # A burst of messages to one person opens the channel once.
        job = self._jobs.get(user_id) or self._start(user_id)
        await job.done.wait()
        if job.channel is not None:
            return job.channel
        raise job.failure or MattermostUnavailable("the direct channel was not opened: shutting down")

    def _start(self, user_id: UserId) -> _Opening:
        if len(self._jobs) >= MAX_JOBS:
            raise MattermostUnavailable(f"{MAX_JOBS} direct channels are being opened already", retry_after=1.0)
        job = self._jobs[user_id] = _Opening()
        self._nursery.start_soon(self._run, user_id, job)
        return job

    async def _run(self, user_id: UserId, job: _Opening) -> None:
        try:
            state = RetryState(MattermostUnavailable, self._retry, self._random)
            job.channel = await retrying(partial(self._open_once, user_id), state)
            self._cache[user_id] = job.channel
            while len(self._cache) > MAX_CACHED:
                self._cache.popitem(last=False)
        except MattermostError as exc:
            job.failure = exc
        finally:
            # Failures are not cached: the next caller tries again.
            del self._jobs[user_id]
            job.done.set()

    async def _open_once(self, user_id: UserId) -> Channel:
        try:
            # Ambiguous without harm: opening the same channel again gives the same channel.
            with trio.fail_after(self._retry.timeout):
                return await self._api.channels.direct(self._bot_id, user_id)
        except trio.TooSlowError:
            seconds = self._retry.timeout
            raise MattermostUnavailable(f"no direct channel within {seconds:g} s", ambiguous=True) from None


@asynccontextmanager
async def open_direct_channels(
    api: Api, bot_id: UserId, *, retry: DirectRetryPolicy | None = None, random: Callable[[], float]
) -> AsyncGenerator[DirectChannels, None]:
    """The service. Leaving it cancels the requests; calls that still wait raise MattermostUnavailable."""
    async with trio.open_nursery() as nursery:
        yield DirectChannels(api, bot_id, retry or DirectRetryPolicy(), random, nursery)
        nursery.cancel_scope.cancel()
