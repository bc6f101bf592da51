"""Proves that Mattermost reaches the public port: makes it call a slash command and a button of the bot's own.

Both are used by the bot itself, in its direct channel with itself, and removed afterwards. The port recognises the two
requests (`callbacks.expected`) and records their source. Nothing here judges: see `runtime.operator.checks.way_back`.
"""

from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from typing import Any

import trio
from attrs import asdict, evolve

from oc_trio.callbacks.expected import NONCE_FIELD, TRIGGER, ExpectedRequest
from oc_trio.callbacks.reply import EndpointKind
from oc_trio.classes import frozen
from oc_trio.config.accounts import Account
from oc_trio.core import slash
from oc_trio.core.entities import NewPost, SlashCommand, Team, User
from oc_trio.core.interactions import read_button_callback
from oc_trio.core.post_marker import BY, COMMAND
from oc_trio.core.slash import CommandSpec
from oc_trio.core.slash_plan import Registrar
from oc_trio.core.turn_events import Button
from oc_trio.errors import CallbackRefused, MattermostError, MattermostRejected, MattermostUnavailable
from oc_trio.ids import AccountId, ChannelId
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.post_creator import create_post_idempotent
from oc_trio.mattermost.transport import Transport, open_server
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.handlers.callback_urls import CallbackPlan
from oc_trio.runtime.handlers.public_port import PublicPort
from oc_trio.runtime.policies import net_policy

# Mattermost waits 30 s for an integration; a little more, so that its own words come back.
TRIP_SECONDS = 40.0
# For one request, after which an operator waits no longer: what is left behind is named.
REMOVE_SECONDS = 10.0
_TEXT = "oc_trio checks whether clicks reach it. This post will be gone in a moment."


class RoundTripOutcome(Enum):
    """What became of a round trip."""

    ARRIVED = "arrived"
    NOT_GENUINE = "not_genuine"  # it came with another token or signature
    SOURCE_REFUSED = "source_refused"  # it came from an address that may not deliver clicks
    ANSWERED_ELSEWHERE = "answered_elsewhere"  # Mattermost had an answer, and not from here
    NO_ANSWER = "no_answer"  # Mattermost could not reach the URL, or could not use the answer
    NOT_TRIED = "not_tried"  # it could not be made


@frozen
class RoundTrip:
    """One round trip; `kind` is "command" or "button". `status`, `code` and `problem` are what Mattermost refused with.

    `source`, `peer` and `forwarded` are the request's addresses; `strays` paths that were called meanwhile in vain.
    """

    account: AccountId
    kind: str
    url: str
    outcome: RoundTripOutcome
    source: str = ""
    peer: str = ""
    forwarded: str = ""
    status: int = 0
    code: str = ""
    problem: str = ""
    seconds: float = 0.0
    strays: tuple[str, ...] = ()
    left_behind: str = ""  # what could not be removed, in words

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "outcome": self.outcome.value, "strays": list(self.strays)}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> "RoundTrip":
        """Raises ValueError or TypeError for what `to_json` has not made."""
        return cls(**{**row, "outcome": RoundTripOutcome(row["outcome"]), "strays": tuple(row["strays"])})


async def run_round_trips(
    port: PublicPort, accounts: Iterable[Account], dependencies: Dependencies
) -> tuple[RoundTrip, ...]:
    """The round trips of `accounts`; the port has to be served meanwhile. What fails is in the result, not raised."""
    trips: list[RoundTrip] = []
    for account in accounts:
        plan = port.plan(account)
        wanted = [("command", plan.command_url)] if plan.native else []
        wanted.append(("button", plan.click_url))
        transport = dependencies.transport(account.base_url, net_policy(account))
        async with open_server(account.base_url, dependencies.ssl_context, http_transport=transport) as server:
            api = Api(Transport(server, account.bot_token.reveal))
            try:
                user = await api.users.me()
                channel = await api.channels.direct(user.id, user.id)
                teams = await api.teams.mine()
            except MattermostError as problem:
                trips += [_not_tried(account.id, kind, url, problem) for kind, url in wanted]
                continue
            check = _Check(api, account, user, ChannelId(channel.id), plan, port, dependencies)
            if plan.native:
                trips.append(await check.command(teams))
            trips.append(await check.button())
    return tuple(trips)


def _not_tried(account: AccountId, kind: str, url: str, problem: Exception) -> RoundTrip:
    status, code = _status_of(problem)
    return RoundTrip(account, kind, url, RoundTripOutcome.NOT_TRIED, status=status, code=code, problem=str(problem))


def _status_of(problem: Exception) -> tuple[int, str]:
    if isinstance(problem, (MattermostRejected, MattermostUnavailable)):
        return problem.status or 0, problem.code
    return 0, ""


@frozen(eq=False)
class _Check:
    api: Api
    account: Account
    user: User
    channel: ChannelId
    plan: CallbackPlan
    port: PublicPort
    dependencies: Dependencies

    async def command(self, teams: tuple[Team, ...]) -> RoundTrip:
        """A command that exists for this check only, in the first team where the bot may make one."""
        url = self.plan.command_url
        if not teams:
            problem = "the bot is in no team, and a command belongs to a team"
            return RoundTrip(self.account.id, "command", url, RoundTripOutcome.NOT_TRIED, problem=problem)
        # Eight characters are enough to meet no other check's, and few enough to read.
        nonce, trigger = self._nonce(), TRIGGER + self._nonce()[:8]
        wanted = CommandSpec(trigger, trigger, "Made by a check of oc_trio, and removed by it")
        made: SlashCommand | None = None
        refusal: MattermostError | None = None
        # The right to make commands is a team's: a bot may have it in some of them only.
        for team in teams:
            try:
                command = Registrar(self.user.id, url).command(team.id, wanted)
                # Nobody is to be offered a command that is gone in a moment.
                made = await self.api.commands.create(evolve(command, auto_complete=False))
                break
            except MattermostError as problem:
                refusal = problem
        if made is None:
            assert refusal is not None, "there is a team"
            return _not_tried(self.account.id, "command", url, refusal)
        registered, team_id = (made,), made.team_id

        def is_genuine(body: bytes, content_type: str) -> bool:
            try:
                return slash.match_call(slash.parse_call(body, content_type), registered) is not None
            except CallbackRefused:
                return False

        expected = ExpectedRequest(EndpointKind.COMMAND, self.plan.command_paths[0], nonce, is_genuine)
        try:
            trip = await self._made(
                "command",
                url,
                expected,
                lambda: self.api.commands.execute(self.channel, team_id, f"/{trigger} {nonce}"),
            )
        finally:
            left = await _removed(f"/{trigger}", lambda: self.api.commands.delete(made.id))  # noqa: ASYNC102 - is shielded
        return evolve(trip, left_behind=left)

    async def button(self) -> RoundTrip:
        """A post with one button, which the bot clicks itself."""
        url, nonce = self.plan.click_url, self._nonce()
        bot_token = self.account.bot_token.reveal
        maker = self.port.buttons(self.account, bot_token)
        rows = ((Button("Check", id="check"),),)
        props = maker.props(self.channel, rows, extra={NONCE_FIELD: nonce})
        action = str(props["attachments"][0]["actions"][0]["id"])

        def is_genuine(body: bytes, _: str) -> bool:
            try:
                return read_button_callback(body, bot_token=bot_token()).context.get(NONCE_FIELD) == nonce
            except CallbackRefused:
                return False

        new = NewPost(self.channel, _TEXT, pending_post_id=f"{self.user.id}:{self._nonce()}", props=props)
        random = self.dependencies.clock.random.random
        try:
            # Marked, or a gateway that runs would take it for another one's.
            post = await create_post_idempotent(
                self.api, new, bot_id=self.user.id, random=random, marker_fields={BY: COMMAND}
            )
        except MattermostError as problem:
            return _not_tried(self.account.id, "button", url, problem)
        expected = ExpectedRequest(EndpointKind.CLICK, self.plan.click_path, nonce, is_genuine)
        try:
            trip = await self._made("button", url, expected, lambda: self.api.posts.press(post.id, action))
        finally:
            left = await _removed(f"post {post.id}", lambda: self.api.posts.delete(post.id))  # noqa: ASYNC102 - is shielded
        return evolve(trip, left_behind=left)

    async def _made(
        self, kind: str, url: str, expected: ExpectedRequest, use: Callable[[], Awaitable[None]]
    ) -> RoundTrip:
        """The trip when `use` has returned or failed."""
        began = trio.current_time()
        problem: MattermostError | None = None
        checks, registry = self.port.checks, self.port.registry
        if checks is not None:
            # Before Mattermost is made to call: another process may get the request at once.
            await checks.expect(expected)
        with registry.expected.expect(expected), trio.move_on_after(TRIP_SECONDS) as scope:
            try:
                await use()
            except MattermostError as refusal:
                problem = refusal
            if checks is not None and not expected.arrived.is_set():
                await checks.take(expected, registry.expected)
        text = f"no answer within {TRIP_SECONDS:g} s" if scope.cancelled_caught else str(problem or "")
        status, code = _status_of(problem) if problem is not None else (0, "")
        return RoundTrip(
            self.account.id,
            kind,
            url,
            _outcome(expected, failed=bool(text), code=code),
            expected.source,
            expected.peer,
            expected.forwarded,
            status,
            code,
            text,
            round(trio.current_time() - began, 1),
            tuple(expected.strays),
        )

    def _nonce(self) -> str:
        return self.dependencies.clock.new_id()


def _outcome(expected: ExpectedRequest, *, failed: bool, code: str) -> RoundTripOutcome:
    if expected.arrived.is_set():
        return RoundTripOutcome.ARRIVED if expected.genuine else RoundTripOutcome.NOT_GENUINE
    if expected.refused:
        return RoundTripOutcome.SOURCE_REFUSED
    if not failed or code.endswith("execute_command.failed_resp.app_error"):
        return RoundTripOutcome.ANSWERED_ELSEWHERE
    # Mattermost's ids for an integration that could not be called; any other refusal came before the call.
    called = code.startswith(("api.command.execute_command.failed", "api.post.do_action.action_integration"))
    return RoundTripOutcome.NO_ANSWER if called or not code else RoundTripOutcome.NOT_TRIED


async def _removed(name: str, remove: Callable[[], Awaitable[None]]) -> str:
    """Why what a check has made could not be removed, with its name; empty if it was."""
    # Also when the check is cancelled: nobody else knows of it.
    with trio.move_on_after(REMOVE_SECONDS, shield=True):
        try:
            await remove()
        except MattermostError as problem:
            return f"{name}: {problem}"
    return ""
