"""What slash commands, clicks and hooks have in common: who asks where, whether they may, and admission."""

import hashlib
from collections.abc import Callable

import trio
from attrs import evolve, frozen

from oc_trio.core.access import Access, Origin, authorise
from oc_trio.core.chat import Chat, Sender
from oc_trio.core.chat_commands import ChatCommand
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.ledger import Obligation, Source
from oc_trio.core.routing import Route, route_message
from oc_trio.errors import StoreError
from oc_trio.ids import ChannelId, SessionKey, UserId
from oc_trio.runtime.inbound.event_handler import EventHandler
from oc_trio.runtime.services import AccountServices
from oc_trio.store.admission import ADMIT, Admission

# Admission is finished even if the caller hangs up: a row without its turn would wait for the next start.
ADMIT_SECONDS = 10.0

Submit = Callable[[Obligation, InboundMessage, ChatCommand | None], None]


@frozen
class Caller:
    """Somebody at some place, as the server knows both, and what the policy says to it."""

    sender: Sender
    chat: Chat
    access: Access
    room: str = ""


@frozen(eq=False)
class RequestContext:
    """One account's door for what does not come over the websocket; `submit` hands an admitted message on."""

    services: AccountServices
    submit: Submit

    @classmethod
    def of(cls, services: AccountServices, inbox: EventHandler) -> "RequestContext":
        """The door in front of an account's inbox."""

        def submit(obligation: Obligation, message: InboundMessage, command: ChatCommand | None) -> None:
            if command is not None:
                inbox.desk.submit(obligation, message, command)
            else:
                inbox.submit(obligation, message)

        return cls(services, submit)

    async def visit(self, user_id: UserId, channel_id: ChannelId, origin: Origin) -> Caller:
        """Look both up and judge. Raises MattermostError where the server can't tell: nobody is let in then."""
        services = self.services
        user = await services.directory.user(user_id)
        channel = await services.directory.channel(channel_id)
        sender = Sender(user.id, user.username, user.is_bot, is_self=user.id == services.user.id)
        chat = Chat(channel.id, channel.type, channel.team_id)
        paired = await services.store.pairing.approved(services.account) if chat.is_direct else frozenset()
        access = authorise(sender, chat, services.policies.access, paired=paired, origin=origin)
        return Caller(sender, chat, access, "this direct message" if chat.is_direct else f"~{channel.name}")

    def route(self, visit: Caller, *, root_id: str, post_id: str = "") -> Route:
        return route_message(
            visit.chat,
            visit.sender.user_id,
            self.services.policies.routing,
            account=self.services.account,
            post_id=post_id,
            root_id=root_id,
        )

    def message(
        self, visit: Caller, way: Route, *, trigger: str, source: Source, text: str, root_id: str
    ) -> InboundMessage:
        """What was asked, in the form in which posts go to agents."""
        assert visit.chat.type is not None, "a chat without a type was refused before"
        return InboundMessage(
            account=self.services.account,
            trigger=trigger,
            source=source,
            channel_id=visit.chat.channel_id,
            channel_type=visit.chat.type,
            user_id=visit.sender.user_id,
            user_name=visit.sender.username,
            text=text,
            session=way.session,
            agent=way.agent,
            reply_root=way.reply_root or "",
            root_id=root_id,
            team_id=visit.chat.team_id,
            create_at=self.services.clock.now_ms(),
        )

    async def admit(
        self, message: InboundMessage, command: ChatCommand | None = None, *, reason: str, hand_over: bool = True
    ) -> Obligation | None:
        """Make an obligation of it and hand it over, once; None if its trigger was admitted before.

        Raises StoreError: nothing was admitted. Without `hand_over` the caller sees to the answer.
        """
        services = self.services
        if command is not None:
            message = evolve(message, command=type(command).__name__)
        admission = Admission(
            account=services.account,
            trigger=message.trigger,
            channel_id=message.channel_id,
            user_id=message.user_id,
            root_id=message.root_id,
            create_at=message.create_at,
            source=message.source,
            decision=ADMIT,
            reason=reason,
            session=SessionKey(message.session),
            payload=message.to_json(),
            at=services.clock.now_ms(),
            watermark=False,
        )
        with trio.move_on_after(ADMIT_SECONDS, shield=True):
            admitted = await services.store.admission.admit(admission)
            if admitted.obligation is None:
                services.metrics.dedupe_hits.labels(services.account).inc()
                return None
            services.metrics.admissions.labels(services.account, "addressed", reason).inc()
            if hand_over:
                self.submit(admitted.obligation, message, command)
            return admitted.obligation
        raise StoreError(f"the journal did not answer within {ADMIT_SECONDS:g} s")


def once(kind: str, *parts: str) -> str:
    """A trigger made from what a call says about itself, without giving that away."""
    return f"{kind}:{hashlib.sha256(chr(0).join(parts).encode('utf-8', 'surrogatepass')).hexdigest()[:26]}"
