"""Handles hooks: other programs' HTTP requests for a turn (`agent`), an event (`wake`) or a post (`deliver`).

A hook is in the journal before it is answered. Its id is a trigger (agent, wake) or an outbox id (deliver), so that
`oc-trio explain` knows it; the same idempotency key always means the same id.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import assert_never

import trio
from attrs import evolve, field

from oc_trio.callbacks.reply import UNAVAILABLE
from oc_trio.classes import define, frozen
from oc_trio.core.access import Access
from oc_trio.core.chat import Chat, Sender
from oc_trio.core.context import HistoryEntry
from oc_trio.core.entities import Channel
from oc_trio.core.hooks import AgentHook, DeliverHook, Hook, HookKind, WakeHook, hook_trigger
from oc_trio.core.inbound import EVENT_LABEL, InboundMessage
from oc_trio.core.ledger import OutboxKind, OutboxState, Source
from oc_trio.core.relayed import RelayedHook
from oc_trio.core.targets import Target
from oc_trio.errors import CallbackRefused, MattermostError, MattermostRejected, MattermostUnavailable, TargetError
from oc_trio.ids import AccountId, AgentId, FileId, OutboxId, PostId, SessionKey, UserId
from oc_trio.mattermost.files import MAX_PER_POST
from oc_trio.runtime.agents import SessionSettings
from oc_trio.runtime.delivery.buttons import ButtonMaker
from oc_trio.runtime.delivery.fallback import send_with_fallback
from oc_trio.runtime.delivery.outbox_message import OutboxMessage, refusal_of
from oc_trio.runtime.handlers.in_flight import InFlightRequests
from oc_trio.runtime.inbound.admission import build_admission
from oc_trio.runtime.inbound.request_admission import ADMIT_SECONDS, RequestAdmission
from oc_trio.runtime.people import Caller
from oc_trio.store.admission import CONTEXT
from oc_trio.store.sessions import SessionRow, SessionUse
from oc_trio.telemetry.log import get_logger

log = get_logger(part="hooks")

NOBODY = UserId("hook")
# It stands before the text as an author's name does, and who calls the hook chooses it.
_LONGEST_NAME = 60


@frozen(eq=False)
class HookTarget:
    """An account that takes hooks. `locate` finds the channel of a target and raises TargetError, MattermostError;
    `deliver` has posted or queued a message under the given outbox id when it returns.
    """

    requests: RequestAdmission
    locate: Callable[[Target], Awaitable[Channel]]
    deliver: Callable[[DeliverHook, Channel, OutboxId], Awaitable[None]]
    in_flight: InFlightRequests = field(factory=InFlightRequests)


@define(eq=False)
class HookHandler:
    """All accounts' hooks; an account is here for as long as it runs. `relay` takes those of other accounts."""

    default_account: AccountId
    new_id: Callable[[], str]
    relay: Callable[[AccountId, RelayedHook], Awaitable[None]] | None = None
    _accounts: dict[AccountId, HookTarget] = field(init=False, factory=dict)

    @contextmanager
    def account(self, name: AccountId, account: HookTarget) -> Iterator[None]:
        """Hand an account its hooks for as long as the block runs."""
        self._accounts[name] = account
        try:
            yield
        finally:
            if self._accounts.get(name) is account:
                del self._accounts[name]

    async def take(self, kind: HookKind, hook: Hook) -> str:
        """Handle a hook and return its id; it is in the journal then. Raises CallbackRefused, StoreError."""
        name = AccountId(hook.account) if hook.account else self.default_account
        # The same key gives the same trigger, so a caller that repeats its request gets the first result.
        trigger = hook_trigger(kind, hook, self.new_id())
        named = RelayedHook(kind, hook, trigger)
        if name in self._accounts or self.relay is None:
            try:
                return await self.handle(name, named)
            except CallbackRefused as refusal:
                # An account that stops here has admitted nothing of what it refuses.
                if self.relay is None or refusal.reason != UNAVAILABLE:
                    raise
        await self.relay(name, named)
        return trigger

    async def handle(self, name: AccountId, named: RelayedHook) -> str:
        """Handle a hook by an account that runs here. Raises CallbackRefused, StoreError."""
        account = self._accounts.get(name)
        if account is None:
            raise CallbackRefused(503, f"Account {name} is not running.")
        kind, hook, trigger = named.kind, named.hook, named.trigger
        try:
            await account.in_flight.track(_handle)(account, hook, trigger)
        except TargetError as problem:
            raise CallbackRefused(400, f"to: {problem}") from None
        except MattermostRejected as problem:
            raise CallbackRefused(400, f"Mattermost refuses: {problem}") from None
        except MattermostError as problem:
            raise CallbackRefused(503, f"Mattermost can't be asked now: {problem}") from None
        log.info("hook taken", account=name, kind=kind.value, id=trigger)
        return trigger


async def _handle(account: HookTarget, hook: Hook, trigger: str) -> None:
    match hook:
        case AgentHook():
            await _run_agent(account, hook, trigger)
        case WakeHook():
            await _wake(account, hook, trigger)
        case DeliverHook():
            channel = await account.locate(hook.target)
            await account.deliver(hook, channel, OutboxId(trigger))
        case _:
            assert_never(hook)


async def _run_agent(account: HookTarget, hook: AgentHook, trigger: str) -> None:
    """Start a turn with the prompt; its answer goes to the target."""
    requests = account.requests
    services = requests.services
    if not hook.deliver:
        raise CallbackRefused(400, "deliver: a run without delivery is not served here; leave it out or set it true.")
    if hook.model and hook.model not in services.agents.models:
        raise CallbackRefused(400, f"model: there is no model {hook.model!r} here.")
    if hook.agent and AgentId(hook.agent) not in services.agents.setups:
        raise CallbackRefused(400, f"agentId: there is no agent {hook.agent!r} here.")
    if hook.target is not None:
        channel, root = await account.locate(hook.target), ""
    else:
        row = await _last_conversation(account, hook.agent)
        channel, root = await services.directory.channel(row.channel_id), row.root_id
    message = _message(account, channel, trigger, root=root, name=hook.name, text=hook.message)
    agent = AgentId(hook.agent) if hook.agent else message.agent
    # A conversation of its own: a hook must not read what people wrote in theirs.
    session = SessionKey(f"agent:{agent}:hook:{hook.session_key or trigger}".lower())
    message = evolve(message, agent=agent, session=session, reply_root=root, time_limit=hook.time_limit)
    # Before the message is admitted: its turn may begin at once.
    if hook.model or hook.thinking:
        settings = SessionSettings(model=hook.model, thinking=hook.thinking)
        use = SessionUse(session, services.account, channel.id, root, agent, services.clock.now_ms())
        await services.store.sessions.touch(use)
        await services.store.sessions.set_settings(session, settings.to_json())
    await requests.admit(message, reason="hook")


async def _wake(account: HookTarget, hook: WakeHook, trigger: str) -> None:
    """Add an event to the last conversation: as a turn of its own, or as context of the next one."""
    requests = account.requests
    services = requests.services
    row = await _last_conversation(account, hook.agent)
    channel = await services.directory.channel(row.channel_id)
    message = _message(account, channel, trigger, root=row.root_id, name="event", text=f"{EVENT_LABEL}{hook.text}")
    message = evolve(message, agent=row.agent, session=row.key, reply_root=row.root_id)
    if hook.now:
        await requests.admit(message, reason="hook")
        return
    if trigger in await services.store.admission.seen(services.account, [trigger]):
        return
    # Kept before it counts as seen: after a crash in between the caller retries, and the same row is written again.
    entry = HistoryEntry(PostId(trigger), channel.id, NOBODY, "event", hook.text, message.create_at, trusted=True)
    await services.context.remember(row.key, entry)
    admission = build_admission(services, message, Source.HOOK, CONTEXT, "hook", session=row.key, watermark=False)
    await services.store.admission.admit(admission)


async def _last_conversation(account: HookTarget, agent: str) -> SessionRow:
    services = account.requests.services
    for row in await services.store.sessions.list(services.account):
        if agent in ("", row.agent):
            return row
    raise CallbackRefused(400, "to is required: this account has had no conversation yet.")


def _message(account: HookTarget, channel: Channel, trigger: str, *, root: str, name: str, text: str) -> InboundMessage:
    author = "".join(char for char in name if char.isprintable())[:_LONGEST_NAME] or "hook"
    chat = Chat(channel.id, channel.type, channel.team_id)
    caller = Caller(Sender(NOBODY, author, is_bot=False), chat, Access(True, "hook"))
    route = account.requests.route(caller, root_id=root)
    return account.requests.message(caller, route, trigger=trigger, source=Source.HOOK, text=text, root_id=root)


@define(eq=False)
class _WaitingCaller:
    """The HTTP caller that waits for its post; `refusal` is set for one that is still there."""

    answered: trio.Event = field(factory=trio.Event)
    is_there: bool = True
    refusal: MattermostRejected | None = None


@frozen(eq=False)
class HookDelivery:
    """Posts text, files and buttons through the outbox, in children of `nursery`."""

    requests: RequestAdmission
    buttons: ButtonMaker
    nursery: trio.Nursery

    async def deliver(self, hook: DeliverHook, channel: Channel, outbox: OutboxId) -> None:
        """Post a message, now or as soon as the server can. Raises CallbackRefused (bad files), MattermostRejected,
        MattermostUnavailable (files can't be uploaded now).
        """
        if len(hook.media) > MAX_PER_POST:
            # One hook is one post: only so does the same key mean the same post, and a refusal the whole of it.
            many = (
                f"media: a post takes {MAX_PER_POST} files at most, and here are {len(hook.media)}; use several hooks."
            )
            raise CallbackRefused(400, many)
        presentation, services = hook.presentation, self.requests.services
        row = await services.store.outbox.get(outbox)
        if row is not None and row.state is OutboxState.DEAD:
            raise refusal_of(row)  # the caller repeats a request whose refusal it never read
        if row is not None and row.state is not OutboxState.QUEUED:
            return  # the same key again: it was posted, or is being posted
        # Uploaded before the row is written: a refused file refuses the whole hook, and nothing of it is posted.
        files = [await services.uploader.send_at_once(channel.id, media) for media in hook.media]
        problems = " ".join(file.problem for file in files if file.problem)
        if problems:
            raise CallbackRefused(400, f"media: {problems}")
        message = OutboxMessage(
            id=outbox,
            channel_id=channel.id,
            message="\n\n".join(text for text in (hook.text, presentation.text) if text),
            kind=OutboxKind.MESSAGE,
            root_id=hook.reply_to,
            props=self.buttons.props(channel.id, presentation.rows, presentation.menus),
            file_ids=tuple(FileId(file.file_id) for file in files),
        )
        # From here on the post is owed, so it is sent by a task that outlives the caller, who may hang up.
        if row is None:
            await services.delivery.queue([message])
        waiting_caller = _WaitingCaller()
        send = partial(self._send, message, waiting_caller)
        services.boundary.start(self.nursery, send, "post of a hook", {"outbox": outbox})
        try:
            with trio.move_on_after(ADMIT_SECONDS):
                await waiting_caller.answered.wait()
        finally:
            # From now on a refusal can't be answered any more, so it becomes a notice in the channel.
            waiting_caller.is_there = False
        if waiting_caller.refusal is not None:
            raise waiting_caller.refusal

    async def _send(self, message: OutboxMessage, waiting_caller: _WaitingCaller) -> None:
        delivery = self.requests.services.delivery
        try:
            await delivery.post(message)
        except MattermostRejected as refusal:
            if waiting_caller.is_there:
                waiting_caller.refusal = refusal
                waiting_caller.answered.set()
                return
        except MattermostUnavailable as problem:
            log.info("a hook's message waits for the server", outbox=message.id, problem=str(problem))
        else:
            waiting_caller.answered.set()
            return
        # The caller was answered 200, or will be: keep trying, with a notice in its place at the end.
        waiting_caller.answered.set()
        try:
            await send_with_fallback(delivery, message)
        except MattermostRejected as refusal:
            log.warning("a hook's message was refused", outbox=message.id, problem=str(refusal))
