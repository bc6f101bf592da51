"""Native slash commands of one account: registered and kept so, confirmed call by call, and taken in like posts.

Fails closed: nothing is served before a registration round is complete, and a call whose token the server does not
vouch for at that moment is refused. Commands stay on the server across a restart, so that people find them; what a
renamed or stopped set left behind is removed by the next round or by `oc-trio commands prune`.
"""

import math
import secrets
from collections.abc import Collection, Mapping, Sequence

import trio
from attrs import define, evolve, field, frozen

from oc_trio.core import slash
from oc_trio.core.access import COMMAND_NOT_ALLOWED, Access, Origin, denial_text
from oc_trio.core.backoff import exponential
from oc_trio.core.chat_commands import ChatCommand, ChooseModel, ListModels, parse_command
from oc_trio.core.command_shares import Skipped, Slot, sentences
from oc_trio.core.entities import SlashCommand
from oc_trio.core.events import Event, TeamJoined, TeamLeft
from oc_trio.core.ledger import Source
from oc_trio.core.pairing import APPROVED, FULL, PairingPolicy, new_code, reply_text
from oc_trio.core.slash import CommandSpec, SlashCall
from oc_trio.core.slash_plan import Registrar
from oc_trio.errors import CallbackRefused, MattermostError
from oc_trio.ids import AccountId, TeamId
from oc_trio.mattermost.registrar import CommandRegistrar, TeamResult
from oc_trio.runtime.handlers.command_shares import CommandShares
from oc_trio.runtime.handlers.model_picker import ModelPickerHandler
from oc_trio.runtime.handlers.request_context import Caller, RequestContext, once
from oc_trio.runtime.handlers.token_check import SlashTokenValidator
from oc_trio.runtime.services import AccountServices
from oc_trio.store.pairing import RequestState
from oc_trio.telemetry.log import get_logger
from oc_trio.wakeup import Wakeup

log = get_logger(part="slash_commands")

# After a round with failures: soon at first (the server restarts), later rarely (a missing permission).
FIRST_RETRY, LONGEST_RETRY = 15.0, 600.0
REMOVE_SECONDS = 10.0

_WITHOUT_CODE = {RequestState.FULL: FULL, RequestState.APPROVED: APPROVED}


@define(eq=False)
class RegisteredCommands:
    """What is registered now, by team; `registered` is None until there is something to serve."""

    _by_team: dict[TeamId, tuple[SlashCommand, ...]] = field(init=False, factory=dict)
    _is_ready: bool = field(init=False, default=False)

    def registered(self) -> tuple[SlashCommand, ...] | None:
        if not self._is_ready:
            return None
        return tuple(command for commands in self._by_team.values() for command in commands)

    def settle(self, results: Sequence[TeamResult]) -> None:
        """A round is over: serve what it brought, and nothing of teams that we left."""
        self._by_team = {result.team: result.commands for result in results}
        self._is_ready = any(self._by_team.values())

    def renew(self, live: SlashCommand) -> None:
        """A command's token was regenerated in Mattermost."""
        commands = self._by_team.get(live.team_id, ())
        self._by_team[live.team_id] = tuple(
            evolve(command, token=live.token) if command.id == live.id else command for command in commands
        )


@frozen(eq=False)
class CommandRegistration:
    """Keeps an account's commands registered: at entry, when a team is joined, and again after failures.

    `tried` is set when the first round is over, whatever came of it.
    """

    services: AccountServices
    url: str
    wanted: tuple[CommandSpec, ...]
    shares: CommandShares = field(factory=CommandShares)
    book: RegisteredCommands = field(factory=RegisteredCommands)
    tried: trio.Event = field(init=False, factory=trio.Event)
    _wakeup: Wakeup = field(init=False, factory=Wakeup)

    def note(self, event: Event) -> None:
        """Events of the account; only joining and leaving a team matters. Never waits."""
        if isinstance(event, (TeamJoined, TeamLeft)) and event.user_id == self.services.user.id:
            self.wake()

    def wake(self) -> None:
        """Another round is due. Never waits."""
        self._wakeup.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Register, and then whenever it is due; started at once, for the account need not wait for its commands."""
        task_status.started()
        account = self.services.account
        self.shares.join(account, self.wake)
        await self.shares.earlier(account)
        failures = 0
        while True:
            complete = await self.round()
            self.tried.set()
            with trio.move_on_after(math.inf if complete else exponential(FIRST_RETRY, LONGEST_RETRY, failures)):
                await self._wakeup.wait()
            failures = 0 if complete else failures + 1

    async def round(self) -> bool:
        """Go through all teams once; False if anything failed and is worth another try."""
        services = self.services
        registrar = self.registrar()
        try:
            teams = await services.api.teams.mine()
        except MattermostError as problem:
            log.error("mattermost: failed to register slash commands", account=services.account, problem=str(problem))
            return False
        remembered = await services.store.commands.all(services.account)
        others = self.shares.claim(
            services.account, [(team.id, spec.trigger) for team in teams for spec in self.wanted]
        )
        results = [
            await registrar.register(team.id, remembered, [trigger for its, trigger in others if its == team.id])
            for team in teams
        ]
        self.book.settle(results)
        ours = {team.id for team in teams}
        self._settle_shares(remembered, others, results)
        self._show_skipped({team.id: team.name for team in teams}, others, results)
        for command in remembered:
            if command.team_id not in ours:
                await services.store.commands.forget(services.account, command.id)
        count = len(self.book.registered() or ())
        failed = sum(not result.is_complete for result in results)
        if not count and not others and not any(result.taken for result in results):
            log.error(
                "mattermost: native slash commands enabled but no commands could be registered",
                account=services.account,
            )
        else:
            log.info(
                f"mattermost: slash commands registered ({count} in {len(teams)} teams, callback={self.url})",
                account=services.account,
                failed_teams=failed,
            )
        return not failed

    def _settle_shares(
        self, before: Sequence[SlashCommand], others: Collection[Slot], results: Sequence[TeamResult]
    ) -> None:
        held = [(result.team, command.trigger) for result in results for command in result.commands]
        taken = [(result.team, trigger) for result in results for trigger in result.taken]
        had = [(command.team_id, command.trigger) for command in before]
        self.shares.settle(self.services.account, had=had, held=held, missed=[*others, *taken])

    def _show_skipped(
        self, names: Mapping[TeamId, str], others: Mapping[Slot, AccountId], results: Sequence[TeamResult]
    ) -> None:
        """In the status as long as it is so, and in the log when it is new."""
        skipped = [Skipped(names[team], trigger, owner) for (team, trigger), owner in others.items()]
        skipped += [Skipped(names[result.team], trigger) for result in results for trigger in result.taken]
        services = self.services
        for text in services.health.note(services.account, "slash commands", sentences(skipped)):
            log.warning(f"slash commands left out: {text}", account=services.account)

    def registrar(self) -> CommandRegistrar:
        services = self.services
        return CommandRegistrar(
            services.api,
            Registrar(services.user.id, self.url),
            self.wanted,
            remember=lambda command: services.store.commands.save(services.account, command, services.clock.now_ms()),
            forget=lambda command: services.store.commands.forget(services.account, command),
            log_fields={"account": str(services.account)},
        )

    async def remove_all(self) -> None:
        """Take back everything that we remember, for an account whose native commands were switched off.

        Bounded, and finished even while stopping: half a set is worse than either.
        """
        services = self.services
        remembered = await services.store.commands.all(services.account)
        with trio.move_on_after(REMOVE_SECONDS, shield=True):
            left = await self.registrar().remove(remembered)
            self._settle_shares(remembered, (), [TeamResult(command.team_id, (command,)) for command in left])
            if remembered and not left:
                log.info("slash commands removed", account=services.account, count=len(remembered))


@frozen(eq=False)
class SlashCommandHandler:
    """Answers the callbacks of one account's commands."""

    front: RequestContext
    book: RegisteredCommands
    specs: tuple[CommandSpec, ...]
    check: SlashTokenValidator
    models: ModelPickerHandler

    async def call(self, call: SlashCall) -> str:
        """The text for the caller alone. Raises CallbackRefused 401, StoreError."""
        services = self.front.services
        await self._confirm(call)
        log.info(
            f"mattermost: slash command /{_bare(call.trigger)} from {_bare(call.user_name) or call.user_id}"
            f" in {_bare(call.channel_id)}",
            account=services.account,
        )
        try:
            visit = await self.front.visit(call.user_id, call.channel_id, Origin.COMMAND)
        except MattermostError as problem:
            log.warning("slash command: unknown place or person", account=services.account, problem=str(problem))
            return slash.UNKNOWN_CHANNEL
        if visit.chat.team_id and visit.chat.team_id != call.team_id:
            raise CallbackRefused(401, slash.INVALID_TOKEN)
        if not visit.access.allowed:
            services.metrics.admissions.labels(services.account, "denied", visit.access.reason).inc()
            log.info("slash command denied", account=services.account, reason=visit.access.reason, user=call.user_id)
            return await self._denial(visit)
        command = parse_command(slash.command_text(call, self.specs))
        if command is not None and not services.policies.may_command(visit.sender.user_id, visit.sender.username):
            services.metrics.admissions.labels(services.account, "denied", COMMAND_NOT_ALLOWED).inc()
            log.info("slash command denied", account=services.account, reason=COMMAND_NOT_ALLOWED, user=call.user_id)
            return denial_text(Access(False, COMMAND_NOT_ALLOWED), Origin.COMMAND)
        await self._take_in(call, visit, command)
        return slash.PROCESSING

    async def _confirm(self, call: SlashCall) -> None:
        registered = self.book.registered()
        if registered is None:
            raise CallbackRefused(503, slash.NOT_READY)
        held = slash.match_call(call, registered)
        for command in (held,) if held else slash.named_by(call, registered):
            live = await self.check.confirm(command, call, known=held is not None)
            if live is None:
                continue
            if held is None:
                # Regenerated in Mattermost: the new token is ours to keep from now on.
                self.book.renew(live)
                services = self.front.services
                await services.store.commands.save(
                    services.account, evolve(command, token=live.token), services.clock.now_ms()
                )
                log.info("slash command has a new token", account=services.account, command=command.trigger)
            return
        raise CallbackRefused(401, slash.INVALID_TOKEN)

    async def _take_in(self, call: SlashCall, visit: Caller, command: ChatCommand | None) -> None:
        front = self.front
        text = slash.command_text(call, self.specs)
        trigger = once("command", call.trigger_id or front.services.clock.new_id())
        way = front.route(visit, root_id=call.root_id)
        message = front.message(visit, way, trigger=trigger, source=Source.COMMAND, text=text, root_id=call.root_id)
        view = await self.models.view_for(message, command) if _is_picker(command) else None
        obligation = await front.admit(message, command, reason="slash_command", hand_over=view is None)
        if view is not None and obligation is not None:
            self.models.open(obligation, message, view)

    async def _denial(self, visit: Caller) -> str:
        services = self.front.services
        if visit.access.reason != "dm_policy_pairing_required":
            return denial_text(visit.access, Origin.COMMAND)
        policy, user = PairingPolicy(), visit.sender
        code = new_code(secrets.randbelow, taken=frozenset())
        asked = await services.store.pairing.request(
            services.account,
            user.user_id,
            user.username,
            code,
            services.clock.now_ms(),
            policy.ttl_ms,
            policy.max_pending,
        )
        if asked.state is RequestState.FULL:
            log.warning("no pairing code: too many are pending", account=services.account, user=user.user_id)
        return reply_text(user.user_id, asked.code) if asked.code else _WITHOUT_CODE[asked.state]


def _is_picker(command: ChatCommand | None) -> bool:
    """Without a name to choose, both are better answered by buttons than by a list."""
    return isinstance(command, ListModels) or (isinstance(command, ChooseModel) and not command.name)


def _bare(text: str) -> str:
    return "".join(char for char in text if char.isprintable())[:64]
