"""Hooks: what other programs ask of the gateway, made into turns, context and posts of an account.

A hook is admitted before it is answered; its id is a trigger of the journal (agent, wake) or an outbox id (deliver), so
that `oc-trio explain` knows it, and the same idempotency key always means the same id. What is delivered, and where a
target is, comes in as callables: `runtime.delivery.compose` has them.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import assert_never

import trio
from attrs import define, evolve, field, frozen

from oc_trio.core.access import Access
from oc_trio.core.chat import Chat, Sender
from oc_trio.core.context import Entry
from oc_trio.core.entities import Channel
from oc_trio.core.hooks import AgentHook, DeliverHook, Hook, HookKind, WakeHook, hook_trigger
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.ledger import OutboxKind, OutboxState, Source
from oc_trio.core.targets import Target
from oc_trio.errors import CallbackRefused, MattermostError, MattermostRejected, MattermostUnavailable, TargetError
from oc_trio.ids import AccountId, AgentId, FileId, OutboxId, PostId, SessionKey, UserId
from oc_trio.runtime.agents import SessionSettings
from oc_trio.runtime.delivery.buttons import ButtonMaker
from oc_trio.runtime.delivery.fallback import send_with_fallback
from oc_trio.runtime.delivery.outbox_message import OutboxMessage, refusal_of
from oc_trio.runtime.handlers.in_flight import InFlightRequests
from oc_trio.runtime.handlers.request_context import ADMIT_SECONDS, Caller, RequestContext
from oc_trio.store.admission import CONTEXT, Admission
from oc_trio.store.sessions import SessionRow
from oc_trio.telemetry.log import get_logger

log = get_logger(part="hooks")

NOBODY = UserId("hook")
_LONGEST_NAME = 60


@frozen(eq=False)
class HookTarget:
    """An account that takes hooks. `locate` gives the channel of a target (TargetError, MattermostError), `deliver`
    makes sure that a message goes out under the outbox id given, before it returns.
    """

    front: RequestContext
    locate: Callable[[Target], Awaitable[Channel]]
    deliver: Callable[[DeliverHook, Channel, OutboxId], Awaitable[None]]
    visitors: InFlightRequests = field(factory=InFlightRequests)


@define(eq=False)
class HookHandler:
    """Where hooks of all accounts come in; accounts are there for as long as they run."""

    default_account: AccountId
    new_id: Callable[[], str]
    _accounts: dict[AccountId, HookTarget] = field(init=False, factory=dict)

    @contextmanager
    def account(self, name: AccountId, account: HookTarget) -> Iterator[None]:
        """Let an account take hooks for as long as the block runs."""
        self._accounts[name] = account
        try:
            yield
        finally:
            if self._accounts.get(name) is account:
                del self._accounts[name]

    async def take(self, kind: HookKind, hook: Hook) -> str:
        """The id of the hook, which is in the journal when this returns. Raises CallbackRefused, StoreError."""
        name = AccountId(hook.account) if hook.account else self.default_account
        account = self._accounts.get(name)
        if account is None:
            raise CallbackRefused(503, f"Account {name} is not running.")
        trigger = hook_trigger(kind, hook, self.new_id())
        try:
            await account.visitors.received(_take_in)(account, hook, trigger)
        except TargetError as problem:
            raise CallbackRefused(400, f"to: {problem}") from None
        except MattermostRejected as problem:
            raise CallbackRefused(400, f"Mattermost refuses: {problem}") from None
        except MattermostError as problem:
            raise CallbackRefused(503, f"Mattermost can't be asked now: {problem}") from None
        log.info("hook taken", account=name, kind=kind.value, id=trigger)
        return trigger


async def _take_in(account: HookTarget, hook: Hook, trigger: str) -> None:
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
    """Make a turn of the prompt; its answer goes to the target."""
    front = account.front
    services = front.services
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
    session = SessionKey(f"agent:{agent}:hook:{hook.session_key or trigger}".lower())
    message = evolve(message, agent=agent, session=session, reply_root=root, time_limit=hook.time_limit)
    if hook.model or hook.thinking:
        settings = SessionSettings(model=hook.model, thinking=hook.thinking)
        await services.store.sessions.touch(session, services.account, channel.id, root, agent, services.clock.now_ms())
        await services.store.sessions.set_settings(session, settings.to_json())
    await front.admit(message, reason="hook")


async def _wake(account: HookTarget, hook: WakeHook, trigger: str) -> None:
    """Tell the last conversation about an event: as a turn of its own, or along with the next one."""
    front = account.front
    services = front.services
    row = await _last_conversation(account, hook.agent)
    channel = await services.directory.channel(row.channel_id)
    message = _message(account, channel, trigger, root=row.root_id, name="event", text=f"[Event] {hook.text}")
    message = evolve(message, agent=row.agent, session=row.key, reply_root=row.root_id)
    if hook.now:
        await front.admit(message, reason="hook")
        return
    if trigger in await services.store.admission.seen(services.account, [trigger]):
        return
    # Kept before it counts as heard: what ends us in between makes the caller try again, and the same row is written.
    entry = Entry(PostId(trigger), channel.id, NOBODY, "event", hook.text, message.create_at, trusted=True)
    await services.context.overheard(row.key, entry)
    await _note(front, message)


async def _note(front: RequestContext, message: InboundMessage) -> None:
    """Put it into the journal as something heard."""
    services = front.services
    admission = Admission(
        account=services.account,
        trigger=message.trigger,
        channel_id=message.channel_id,
        user_id=message.user_id,
        root_id=message.root_id,
        create_at=message.create_at,
        source=Source.HOOK,
        decision=CONTEXT,
        reason="hook",
        session=message.session,
        payload="",
        at=services.clock.now_ms(),
        watermark=False,
    )
    await services.store.admission.admit(admission)


async def _last_conversation(account: HookTarget, agent: str) -> SessionRow:
    services = account.front.services
    for row in await services.store.sessions.list(services.account):
        if agent in ("", row.agent):
            return row
    raise CallbackRefused(400, "to is required: this account has had no conversation yet.")


def _message(account: HookTarget, channel: Channel, trigger: str, *, root: str, name: str, text: str) -> InboundMessage:
    shown = "".join(char for char in name if char.isprintable())[:_LONGEST_NAME] or "hook"
    chat = Chat(channel.id, channel.type, channel.team_id)
    visit = Caller(Sender(NOBODY, shown, is_bot=False), chat, Access(True, "hook"))
    way = account.front.route(visit, root_id=root)
    return account.front.message(visit, way, trigger=trigger, source=Source.HOOK, text=text, root_id=root)


@define(eq=False)
class _Waiter:
    """Who waits to hear what becomes of a message; `refusal` is for a caller that is still there."""

    answered: trio.Event = field(factory=trio.Event)
    is_there: bool = True
    refusal: MattermostRejected | None = None


@frozen(eq=False)
class HookDelivery:
    """Delivers text, files and buttons through the journal; late writing is done by children of `nursery`."""

    front: RequestContext
    buttons: ButtonMaker
    nursery: trio.Nursery

    async def deliver(self, hook: DeliverHook, channel: Channel, outbox: OutboxId) -> None:
        """Write one post, now or as soon as the server can. Raises CallbackRefused (bad files), MattermostRejected."""
        shown, services = hook.presentation, self.front.services
        known = await services.store.outbox.get(outbox)
        if known is not None and known.state is OutboxState.DEAD:
            raise refusal_of(known)  # whoever did not hear of it must not be promised what will not be
        if known is not None and known.state is not OutboxState.QUEUED:
            return  # the same key again: it went out, or is going out
        files = [await services.uploader.send(channel.id, media) for media in hook.media]
        problems = " ".join(file.problem for file in files if file.problem)
        if problems:
            raise CallbackRefused(400, f"media: {problems}")
        letter = OutboxMessage(
            id=outbox,
            channel_id=channel.id,
            message="\n\n".join(text for text in (hook.text, shown.text) if text),
            kind=OutboxKind.MESSAGE,
            root_id=hook.reply_to,
            props=self.buttons.props(channel.id, shown.rows, shown.menus),
            file_ids=tuple(FileId(file.file_id) for file in files),
        )
        # From here on the post is owed, and whoever sends it does not go with the caller, who may hang up.
        if known is None:
            await services.delivery.queue([letter])
        call = _Waiter()
        send = partial(self._send, letter, call)
        services.boundary.start(self.nursery, send, "post of a hook", {"outbox": outbox})
        try:
            with trio.move_on_after(ADMIT_SECONDS):
                await call.answered.wait()
        finally:
            call.is_there = False
        if call.refusal is not None:
            raise call.refusal

    async def _send(self, letter: OutboxMessage, call: _Waiter) -> None:
        delivery = self.front.services.delivery
        try:
            await delivery.post(letter)
        except MattermostRejected as refusal:
            if call.is_there:
                call.refusal = refusal
                call.answered.set()
                return
        except MattermostUnavailable as problem:
            log.info("a hook's message waits for the server", outbox=letter.id, problem=str(problem))
        else:
            call.answered.set()
            return
        # The caller was promised it, or will be.
        call.answered.set()
        try:
            await send_with_fallback(delivery, letter)
        except MattermostRejected as refusal:
            log.warning("a hook's message was refused", outbox=letter.id, problem=str(refusal))
