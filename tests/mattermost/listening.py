"""A listener under test, and a recorder of its hook calls."""

from collections.abc import Awaitable, Callable

import trio
from attrs import define, field

from oc_trio.core.backoff import RetryPolicy
from oc_trio.core.connection import ConnectionPhase, ConnectionState, ResumePoint
from oc_trio.core.events import Event, Posted
from oc_trio.errors import MattermostUnavailable
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.listener import ListenerHooks, run_listener
from tests.mattermost.doubles import FakeSockets, Peer

ME = {"id": "bot", "username": "bot"}
POLICY = RetryPolicy(initial=1.0)


@define(eq=False)
class HookRecorder:
    """Records the calls of the listener's hooks."""

    lines: list[str] = field(factory=list)
    saved: list[ResumePoint | None] = field(factory=list)
    on_post: Callable[[str], Awaitable[None]] | None = None
    slow_catch_up: float = 0.0
    failing: int = 0

    def hooks(self) -> ListenerHooks:
        return ListenerHooks(self._events, self._connected, self._state, self._save)

    async def _events(self, events: tuple[Event, ...]) -> None:
        for event in events:
            if isinstance(event, Posted):
                if self.on_post is not None:
                    await self.on_post(event.post.id)
                self.lines.append(event.post.id)

    async def _connected(self, resumed: bool) -> None:
        await trio.sleep(self.slow_catch_up)
        if self.failing:
            self.failing -= 1
            raise MattermostUnavailable("catch-up failed")
        self.lines.append("resumed" if resumed else "fresh")

    async def _state(self, link: ConnectionState, detail: str) -> None:
        if link.phase is ConnectionPhase.LIVE:
            self.lines.append("LIVE")
        if link.phase is ConnectionPhase.WAITING and link.auth_failed:
            self.lines.append("AUTH_FAILED")

    async def _save(self, resume: ResumePoint | None) -> None:
        self.saved.append(resume)


async def listen(
    recorder: HookRecorder, sockets: FakeSockets, api: Api, resume: ResumePoint | None = None, seconds: float = 20.0
) -> None:
    with trio.move_on_after(seconds):
        await run_listener(
            api, recorder.hooks(), random=lambda: 0.5, policy=POLICY, resume=resume, open_stream=sockets.open_stream
        )


async def go_on_at_one(peer: Peer) -> None:
    await peer.hello()
    await peer.answer_pings()
