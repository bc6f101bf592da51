"""Hands every admitted message to its conversation's session, which is started on demand.

The only writer of the table of sessions. `submit` and the cancelling calls never wait.
"""

from collections.abc import Awaitable, Callable, Iterator

import trio

from oc_trio.core.inbound import InboundMessage
from oc_trio.core.ledger import Obligation
from oc_trio.ids import ChannelId, SessionKey
from oc_trio.runtime.conversation.mailbox import Job
from oc_trio.runtime.conversation.session import Session
from oc_trio.telemetry.log import get_logger

log = get_logger(part="dispatcher")


async def _run_session(session: Session, on_idle: Callable[[], object]) -> None:
    await session.run(on_idle=on_idle)


class Dispatcher:
    """Owns the table of live sessions of one account; sessions run as children of `nursery`.

    `run_session(session, on_idle)` runs one, calling `on_idle` without a checkpoint before its end.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        make_session: Callable[[SessionKey], Session],
        run_session: Callable[[Session, Callable[[], object]], Awaitable[None]] = _run_session,
    ) -> None:
        self._nursery = nursery
        self._run_one = run_session
        self._make_session = make_session
        self._sessions: dict[SessionKey, Session] = {}
        # False from the beginning of a drain, for good.
        self._is_open = True

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        # A copy: a session may end, and leave the table, while the caller awaits something.
        return iter(tuple(self._sessions.values()))

    def get(self, key: SessionKey) -> Session | None:
        return self._sessions.get(key)

    def submit(self, obligation: Obligation, inbound: InboundMessage, *, is_of_command: bool = False) -> None:
        """Hand a message to its session. During a drain it stays in the journal, for the next start.

        `is_of_command`: it is the prompt of a command that `defer` was called for.
        """
        if not self._is_open:
            return
        self._session(inbound.session).enqueue(Job(obligation, inbound), is_of_command=is_of_command)

    def defer(self, key: SessionKey) -> Session | None:
        """Let later messages of a conversation wait for a command, until the caller calls `release` of the session.

        None during a drain, when nothing is taken in any more.
        """
        if not self._is_open:
            return None
        session = self._session(key)
        session.defer()
        return session

    def cancel_trigger(self, trigger: str, *, reason: str) -> bool:
        """Withdraw one message, from the mailbox or by cancelling its turn. True if it was found."""
        # All sessions are asked: an event of a deletion doesn't say to which conversation its post belonged.
        return any(session.withdraw(trigger, reason=reason) for session in self)

    def cancel_channel(self, channel_id: ChannelId, *, reason: str) -> None:
        """Cancel what runs or waits in a channel that the bot can't post in any more."""
        for session in self:
            session.leave_channel(channel_id, reason=reason)

    def stop_accepting(self) -> None:
        """Start no further turns; running ones go on."""
        self._is_open = False
        for session in self:
            session.close()

    def cancel_all(self, *, reason: str) -> None:
        for session in self:
            session.stop(reason=reason, drop_queue=False)

    @property
    def is_idle(self) -> bool:
        return not any(session.is_busy for session in self)

    def _session(self, key: SessionKey) -> Session:
        session = self._sessions.get(key)
        if session is None:
            session = self._sessions[key] = self._make_session(key)
            self._nursery.start_soon(self._run, session)
        return session

    async def _run(self, session: Session) -> None:
        try:
            # There is no checkpoint between the session's decision that it is idle and its removal here, so no message
            # can be enqueued in a session that has ended.
            await self._run_one(session, lambda: self._forget(session))
        finally:
            self._forget(session)

    def _forget(self, session: Session) -> None:
        if self._sessions.get(session.key) is session:
            del self._sessions[session.key]
