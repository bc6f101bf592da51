"""Five gateways that are deliberately wrong in one place each, to prove that the simulation would notice."""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import trio
from attrs import evolve, frozen

from oc_trio.core.preview import Create, Edit, Wrote, begun, wrote
from oc_trio.errors import MattermostRejected, MattermostUnavailable
from oc_trio.ids import PostId
from oc_trio.runtime.catchup import CatchUp
from oc_trio.runtime.previewer import WRITE_SECONDS, Previewer
from oc_trio.runtime.queue import Job
from oc_trio.store.admission import Admission, Admissions, Admitted
from oc_trio.store.store import Store, open_store
from oc_trio.store.watermarks import Watermarks
from tests.simulation.house import Parts, SmallSession, StoreOf
from tests.simulation.network import SimTransport


class NoOverlap(CatchUp):
    """Catch-up reads nothing again: what a lagging replica hid behind the watermark is lost."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._policy = evolve(self._policy, overlap_ms=0)


class Unshielded(Previewer):
    """Cancelling the turn's writer cancels its request too: the server may apply it after the final text."""

    async def _write(self, step: Create | Edit) -> None:
        self.state = begun(self.state, step)
        how, post_id = Wrote.UNAVAILABLE, None
        with trio.move_on_after(WRITE_SECONDS):
            try:
                if isinstance(step, Create):
                    post_id = await self._create(self.number, step.text)
                    await self._drafted(post_id)
                else:
                    await self._edit(step.post_id, step.text)
                how = Wrote.OK
            except (MattermostRejected, MattermostUnavailable):
                pass
            finally:
                self.state = wrote(self.state, how, trio.current_time(), self._rules, post_id)


class NoPendingId(SimTransport):
    """Posts are created without an idempotency key: a repeat after a lost answer makes a second post."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and request.url.path.endswith("/posts"):
            body = json.loads(await request.aread())
            body.pop("pending_post_id", None)
            headers = {"Authorization": request.headers["Authorization"]}
            request = httpx.Request("POST", request.url, headers=headers, json=body)
        return await super().handle_async_request(request)


class WatermarkFirst(Admissions):
    """The watermark moves in a transaction of its own, before the message is admitted."""

    async def admit(self, admission: Admission) -> Admitted:
        marks = Watermarks(self._engine)
        if admission.watermark:
            post = PostId(admission.trigger)
            await marks.advance(admission.account, admission.channel_id, post, admission.create_at)
        return await super().admit(admission)


@frozen
class WatermarkFirstStore(StoreOf):
    """A journal whose admissions are `WatermarkFirst`."""

    def __call__(self, _location: str | sqlite3.Connection) -> AbstractAsyncContextManager[Store]:
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Store]:
        async with open_store(self.connection) as store:
            yield evolve(store, admission=WatermarkFirst(store._engine))


class Forgetful(SmallSession):
    """What does not fit into the mailbox is dropped, not left to the journal."""

    def put(self, job: Job) -> None:
        if len(self._mailbox) < self.mailbox:
            super().put(job)


# What is broken, and the kinds of trouble that show it soonest.
BROKEN: dict[str, tuple[Parts, tuple[str, ...]]] = {
    "no overlap in catch-up": (Parts(catch_up=NoOverlap), ("lag", "server")),
    "unshielded write": (Parts(previewer=Unshielded), ("rest",)),
    "no pending id": (Parts(transport=NoPendingId), ("rest",)),
    "watermark before commit": (Parts(store=WatermarkFirstStore), ("blackout",)),
    "mailbox overflow dropped": (Parts(session=Forgetful), ("people",)),
}
