"""Admits what does not arrive as a post: slash commands, button clicks, hooks and cron jobs.

Each becomes an `InboundMessage` under a trigger id of its own. Whether its sender may use the bot is decided before, by
`runtime.people`.
"""

import hashlib
from collections.abc import Callable
from functools import partial

from attrs import evolve

from oc_trio.classes import frozen
from oc_trio.core.chat_commands import ChatCommand
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.ledger import Obligation, Source
from oc_trio.core.routing import Route, route_message
from oc_trio.runtime.inbound.admission import build_admission
from oc_trio.runtime.journal_write import finish_write
from oc_trio.runtime.people import Caller
from oc_trio.runtime.services import AccountServices
from oc_trio.store.admission import ADMIT

# Within which the journal must have begun: Mattermost waits for 30 s.
ADMIT_SECONDS = 10.0

Submit = Callable[[Obligation, InboundMessage, ChatCommand | None], None]


@frozen(eq=False)
class RequestAdmission:
    """One account's; `submit` hands an admitted message to its session or to the chat commands, and never waits."""

    services: AccountServices
    submit: Submit

    def is_held(self) -> bool:
        """Whether this process still serves the account."""
        return self.services.api.transport.lease.is_sure

    def route(self, caller: Caller, *, root_id: str, post_id: str = "") -> Route:
        """Agent, session and thread for what `caller` asks in the thread of `root_id`, or about `post_id`."""
        return route_message(
            caller.chat,
            caller.sender.user_id,
            self.services.policies.routing,
            account=self.services.account,
            post_id=post_id,
            root_id=root_id,
        )

    def message(
        self, caller: Caller, route: Route, *, trigger: str, source: Source, text: str, root_id: str
    ) -> InboundMessage:
        """The request in the form in which posts go to agents."""
        assert caller.chat.type is not None, "a chat without a type was refused before"
        return InboundMessage(
            account=self.services.account,
            trigger=trigger,
            source=source,
            channel_id=caller.chat.channel_id,
            channel_type=caller.chat.type,
            user_id=caller.sender.user_id,
            user_name=caller.sender.username,
            text=text,
            session=route.session,
            agent=route.agent,
            reply_root=route.reply_root or "",
            root_id=root_id,
            team_id=caller.chat.team_id,
            create_at=self.services.clock.now_ms(),
        )

    async def admit(
        self, message: InboundMessage, command: ChatCommand | None = None, *, reason: str, hand_over: bool = True
    ) -> Obligation | None:
        """Make an obligation of the message and submit it; None if its trigger was admitted before.

        Raises StoreError where the journal has not taken it and never will. Without `hand_over` the caller answers it.
        """
        services = self.services
        if command is not None:
            message = evolve(message, command=type(command).__name__)
        admission = build_admission(
            services,
            message,
            message.source,
            ADMIT,
            reason,
            session=message.session,
            payload=message.to_json(),
            # A watermark is a place in the posts of a channel, and this is no post.
            watermark=False,
        )
        # It is finished even if the caller hangs up: a row without its turn would wait for the next start. How long a
        # commit takes is the journal's, for a caller that is refused must not be answered all the same.
        admitted = await finish_write(partial(services.store.admission.admit_soon, admission, ADMIT_SECONDS))
        if admitted.obligation is None:
            services.metrics.dedupe_hits.labels(services.account).inc()
            return None
        services.metrics.admissions.labels(services.account, "addressed", reason).inc()
        if hand_over:
            self.submit(admitted.obligation, message, command)
        return admitted.obligation


def once(kind: str, *parts: str) -> str:
    """A trigger id made of what a call says about itself; hashed, so that it gives none of that away."""
    return f"{kind}:{hashlib.sha256(chr(0).join(parts).encode('utf-8', 'surrogatepass')).hexdigest()[:26]}"
