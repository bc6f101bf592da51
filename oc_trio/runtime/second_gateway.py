"""Raises the alarm where somebody else uses an account's bot: log, metric and status, once per finding.

What counts as a sign is decided in `core.second_gateway`. Nothing of the other's is changed or deleted here.
"""

from collections import OrderedDict
from collections.abc import Callable

from attrs import evolve, field

from oc_trio.classes import define
from oc_trio.core.entities import User
from oc_trio.core.events import Post
from oc_trio.core.post_marker import read_marker
from oc_trio.core.second_gateway import Installation, Sign, is_anothers, sentence, sign_of
from oc_trio.ids import AccountId, PostId
from oc_trio.runtime.clock import Clock
from oc_trio.telemetry.account_status import SecondGateway
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.metrics import Metrics

log = get_logger(part="second_gateway")

# A finding is over when there has been no sign of it for so long; the next sign is logged again.
QUIET_MS = 86_400_000
# Findings of an account; of more the oldest are forgotten.
MAX_FINDINGS = 8
# Posts that were counted: catch-up reads what an event told before.
MAX_COUNTED = 500


@define(eq=False)
class SecondGatewayAlarm:
    """One account's. `user` gives the bot's user as it is now."""

    account: AccountId
    installation: Installation
    user: Callable[[], User]
    clock: Clock
    metrics: Metrics
    health: Health
    # The oldest first, `MAX_COUNTED` at most.
    _counted: OrderedDict[PostId, None] = field(init=False, factory=OrderedDict)
    _findings: dict[tuple[Sign, str], SecondGateway] = field(init=False, factory=dict)

    def is_anothers(self, post: Post) -> bool:
        """Whether a post by our bot's user is another installation's."""
        return is_anothers(post, self.installation)

    def examine(self, post: Post, *, is_sent: bool, is_live: bool) -> None:
        """Look at a post by our bot's user; `is_sent`: it is in our outbox, `is_live`: it came as an event."""
        started_at = self.health.started_at
        sign = sign_of(
            post,
            self.installation,
            started_at=started_at,
            is_sent=is_sent,
            is_live=is_live,
            is_person=not self.user().is_bot,
        )
        if sign is not None and post.id not in self._counted:
            self._counted[post.id] = None
            while len(self._counted) > MAX_COUNTED:
                self._counted.popitem(last=False)
            other = read_marker(post.props).installation if sign is Sign.INSTALLATION else ""
            self._raise(sign, other, post.id, post.channel_id)

    def commands_moved(self, where: str) -> None:
        """Our slash commands were pointed elsewhere; `where` is the URL and the team, for people."""
        self._raise(Sign.COMMANDS, where)

    def _raise(self, sign: Sign, other: str, post: str = "", channel: str = "") -> None:
        now, key = self.clock.now_ms(), (sign, other)
        self.metrics.second_gateway.labels(self.account, sign.value).inc()
        self._findings = {name: each for name, each in self._findings.items() if now - each.last_at < QUIET_MS}
        known = self._findings.pop(key, None)
        if known is None:
            text = sentence(sign, self.user().username, other)
            finding = SecondGateway(sign.value, text, now, now, 1, post, channel)
            where = {"post": post, "channel": channel} if post else {}
            report = log.error if sign.is_certain else log.warning
            report(f"second gateway: {text}", account=self.account, sign=sign.value, **where)
        else:
            finding = evolve(known, last_at=now, count=known.count + 1, post=post, channel=channel)
        # The newest last.
        self._findings[key] = finding
        for oldest in [*self._findings][:-MAX_FINDINGS]:
            del self._findings[oldest]
        self.health.update(self.account, second_gateway=tuple(self._findings.values()))
