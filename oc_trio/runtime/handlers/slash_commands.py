"""Registers one account's native slash commands, validates each call's token, and admits the calls.

Fails closed: nothing is served before a registration round is complete, and a call whose token the server doesn't
confirm is refused. Commands stay registered across a restart; what a renamed or switched-off set left behind is removed
by the next round, or by `oc-trio commands prune`.
"""

import secrets
from collections.abc import Collection, Mapping, Sequence

import trio
from attrs import evolve, field

from oc_trio.classes import define, frozen
from oc_trio.core import slash
from oc_trio.core.access import COMMAND_NOT_ALLOWED, Access, Origin, denial_text
from oc_trio.core.backoff import exponential
from oc_trio.core.chat_commands import ChatCommand, ChooseModel, ListModels, parse_command
from oc_trio.core.command_shares import Skipped, Slot, moved_sentence, sentences
from oc_trio.core.entities import SlashCommand, Team
from oc_trio.core.events import Event, TeamJoined, TeamLeft
from oc_trio.core.ledger import Source
from oc_trio.core.pairing import APPROVED, FULL, PairingPolicy, new_code, reply_text
from oc_trio.core.slash import CommandSpec, SlashCall
from oc_trio.core.slash_plan import Registrar
from oc_trio.errors import CallbackRefused, MattermostError, MattermostUnavailable
from oc_trio.ids import AccountId, TeamId
from oc_trio.mattermost.registrar import CommandRegistrar, TeamResult
from oc_trio.runtime.handlers.command_shares import CommandShares
from oc_trio.runtime.handlers.model_picker import ModelPickerHandler
from oc_trio.runtime.handlers.token_check import SlashTokenValidator
from oc_trio.runtime.inbound.denials import warn_of_no_code
from oc_trio.runtime.inbound.request_admission import RequestAdmission, once
from oc_trio.runtime.people import Caller
from oc_trio.runtime.services import AccountServices
from oc_trio.store.pairing import RequestState
from oc_trio.telemetry.account_status import CommandsStatus
from oc_trio.telemetry.log import get_logger
from oc_trio.wakeup import Wakeup

log = get_logger(part="slash_commands")

# After a round with failures: soon at first (the server restarts), later rarely (a missing permission).
FIRST_RETRY, LONGEST_RETRY = 15.0, 600.0
# Rounds within a day that take commands back from somebody else: with a second gateway that does the same, it would
# never end.
MAX_TAKE_BACKS, TAKE_BACK_PERIOD = 3, 86_400.0
# A stop waits for this. What is left on the server is removed by the next start.
REMOVE_SECONDS = 10.0

_WITHOUT_CODE = {RequestState.FULL: FULL, RequestState.APPROVED: APPROVED}


@define(eq=False)
class RegisteredCommands:
    """The commands that are registered now, by team."""

    _by_team: dict[TeamId, tuple[SlashCommand, ...]] = field(init=False, factory=dict)
    _is_ready: bool = field(init=False, default=False)

    @property
    def by_team(self) -> Mapping[TeamId, tuple[SlashCommand, ...]]:
        return self._by_team

    def current(self) -> tuple[SlashCommand, ...] | None:
        """All teams' commands; None until a round has registered any."""
        if not self._is_ready:
            return None
        return tuple(command for commands in self._by_team.values() for command in commands)

    def settle(self, results: Sequence[TeamResult]) -> None:
        """Serve the results of a finished round; teams that the bot has left are dropped."""
        self._by_team = {result.team: result.commands for result in results}
        # Without any command there is no token to compare a call with, so calls are refused as not ready.
        self._is_ready = any(self._by_team.values())

    def renew(self, live: SlashCommand) -> None:
        """A command's token was regenerated in Mattermost."""
        commands = self._by_team.get(live.team_id, ())
        self._by_team[live.team_id] = tuple(
            evolve(command, token=live.token) if command.id == live.id else command for command in commands
        )


@define(eq=False)
class CommandRegistration:
    """Keeps an account's commands registered: at the start, when a team is joined, again after failures, and where a
    look at the server every `audit_seconds` shows that somebody else has changed them.

    `tried` is set when the first round is over, whatever came of it.
    """

    services: AccountServices
    url: str
    wanted: tuple[CommandSpec, ...]
    shares: CommandShares = field(factory=CommandShares)
    commands: RegisteredCommands = field(factory=RegisteredCommands)
    audit_seconds: float = 300.0
    tried: trio.Event = field(init=False, factory=trio.Event)
    # When commands were taken back, in seconds of Trio's clock.
    _taken_back: list[float] = field(init=False, factory=list)
    # What the last line of the log said: rounds repeat, and only a change is worth a line.
    _shown: tuple[int, ...] = field(init=False, default=())
    _wakeup: Wakeup = field(init=False, factory=Wakeup)

    def note(self, event: Event) -> None:
        """Note an event; only joining and leaving a team matters. Never waits."""
        if isinstance(event, (TeamJoined, TeamLeft)) and event.user_id == self.services.user.id:
            self.wake()

    def wake(self) -> None:
        """Let another round begin. Never waits."""
        self._wakeup.set()

    def review(self) -> None:
        """Let another round begin, which takes back what was moved, however often that was done before."""
        self._taken_back.clear()
        self.wake()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Register now and whenever a round is due; started at once: the account need not wait for its commands."""
        task_status.started()
        account = self.services.account
        self.shares.join(account, self.wake, self.review)
        # An earlier account of the configuration has the first choice; without this the order of connecting would
        # decide.
        await self.shares.earlier(account)
        failures = 0
        while True:
            complete = await self.round()
            self.tried.set()
            if complete:
                await self._until_due()
                failures = 0
            else:
                with trio.move_on_after(exponential(FIRST_RETRY, LONGEST_RETRY, failures)):
                    await self._wakeup.wait()
                failures += 1

    async def _until_due(self) -> None:
        """Until a round is asked for, or the server's commands are not as they were registered."""
        while True:
            with trio.move_on_after(self.audit_seconds):
                await self._wakeup.wait()
                return
            if not await self._is_intact():
                return

    async def _is_intact(self) -> bool:
        """Whether the server has every command as it was registered; true also where it can't be asked."""
        services = self.services
        if services.health.account(services.account).commands.moved:
            return False
        for team, commands in self.commands.by_team.items():
            try:
                listed = {each.id: each for each in await services.api.commands.list(team) if not each.delete_at}
            except MattermostError as problem:
                log.info("slash commands can't be audited", account=services.account, problem=str(problem))
                continue
            for command in commands:
                if command.id not in listed or listed[command.id].url != command.url:
                    return False
        return True

    async def round(self) -> bool:
        """Register in all teams once; False if anything failed and is to be retried."""
        services = self.services
        registrar = self.registrar()
        try:
            teams = await services.api.teams.mine()
        except MattermostError as problem:
            log.error("mattermost: failed to register slash commands", account=services.account, problem=str(problem))
            status = services.health.account(services.account).commands
            why = f"the bot's teams can't be listed: {problem}"
            services.health.update(services.account, commands=evolve(status, native=True, missing=(why,)))
            return False
        remembered = await services.store.commands.all(services.account)
        claimed_by_others = self.shares.claim(
            services.account, [(team.id, spec.trigger) for team in teams for spec in self.wanted]
        )
        claimed_by_others |= await self._registered_elsewhere(teams)
        take_back = self._may_take_back()
        results = [
            await registrar.register(
                team.id,
                remembered,
                [trigger for its, trigger in claimed_by_others if its == team.id],
                take_back=take_back,
            )
            for team in teams
        ]
        self.commands.settle(results)
        ours = {team.id: team.name for team in teams}
        self._settle_shares(remembered, claimed_by_others, results)
        self._note_moved(ours, results, taken_back=take_back)
        self._show_skipped(ours, claimed_by_others, results)
        for command in remembered:
            if command.team_id not in ours:
                # The bot has left that team, and can't ask for its commands any more.
                await services.store.commands.forget(services.account, command.id)
        count = len(self.commands.current() or ())
        failed = sum(not result.is_complete for result in results)
        if not count and not claimed_by_others and not any(result.taken or result.moved for result in results):
            log.error(
                "mattermost: native slash commands enabled but no commands could be registered",
                account=services.account,
            )
        elif self._shown != (count, len(teams), failed):
            log.info(
                f"mattermost: slash commands registered ({count} in {len(teams)} teams, callback={self.url})",
                account=services.account,
                failed_teams=failed,
            )
        self._shown = (count, len(teams), failed)
        return not failed

    async def _registered_elsewhere(self, teams: Sequence[Team]) -> dict[Slot, AccountId]:
        """The commands of earlier accounts that another process serves, by the journal."""
        earlier = self.shares.earlier_elsewhere(self.services.account)
        if not earlier:
            return {}
        wanted = {(team.id, spec.trigger) for team in teams for spec in self.wanted}
        registered = await self.services.store.commands.by_account()
        return {
            slot: account
            for account in reversed(earlier)
            for command in registered.get(account, ())
            if (slot := (command.team_id, command.trigger)) in wanted
        }

    def _may_take_back(self) -> bool:
        now = trio.current_time()
        self._taken_back[:] = [at for at in self._taken_back if now - at < TAKE_BACK_PERIOD]
        return len(self._taken_back) < MAX_TAKE_BACKS

    def _note_moved(self, names: Mapping[TeamId, str], results: Sequence[TeamResult], *, taken_back: bool) -> None:
        """Raise the alarm about commands that somebody else had pointed elsewhere."""
        places = {(url, names[result.team]) for result in results for url in result.moved.values()}
        for url, team in sorted(places):
            self.services.second_gateway.commands_moved(f"{url} in team {team}")
        if places and taken_back:
            self._taken_back.append(trio.current_time())
            log.warning(
                "slash commands taken back",
                account=self.services.account,
                count=sum(len(result.moved) for result in results),
                times=len(self._taken_back),
            )

    def _settle_shares(
        self, before: Sequence[SlashCommand], claimed_by_others: Collection[Slot], results: Sequence[TeamResult]
    ) -> None:
        registered = [(result.team, command.trigger) for result in results for command in result.commands]
        taken = [(result.team, trigger) for result in results for trigger in result.taken]
        previous = [(command.team_id, command.trigger) for command in before]
        self.shares.settle(
            self.services.account, previous=previous, registered=registered, missing=[*claimed_by_others, *taken]
        )

    def _show_skipped(
        self, names: Mapping[TeamId, str], claimed_by_others: Mapping[Slot, AccountId], results: Sequence[TeamResult]
    ) -> None:
        """Show commands that were left out: in the status for as long as they are, in the log when it is new."""
        services = self.services
        skipped = [Skipped(names[team], trigger, owner) for (team, trigger), owner in claimed_by_others.items()]
        skipped += [Skipped(names[result.team], trigger) for result in results for trigger in result.taken]
        left = {result.team: _left_moved(result) for result in results}
        moved = [
            moved_sentence(names[team], triggers, url, MAX_TAKE_BACKS)
            for team, by_url in left.items()
            for url, triggers in by_url.items()
        ]
        texts = (*sentences(skipped), *moved)
        for text in services.health.note(services.account, "slash commands", texts):
            log.warning(f"slash commands left out: {text}", account=services.account)
        failed = [
            f"team {names[result.team]}: {len(result.failures)} failed, first {result.failures[0]}"
            for result in results
            if result.failures
        ]
        status = CommandsStatus(
            native=True,
            registered=len(self.commands.current() or ()),
            wanted=len(self.wanted) * len(names),
            at=services.clock.now_ms(),
            missing=(*texts, *failed),
            moved=any(left.values()),
        )
        services.health.update(services.account, commands=status)

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
        """Delete all commands that the journal lists, for an account whose native commands were switched off.

        Shielded and bounded: half a set of commands is worse than either none or all.
        """
        services = self.services
        remembered = await services.store.commands.all(services.account)
        with trio.move_on_after(REMOVE_SECONDS, shield=True):
            left = await self.registrar().remove(remembered)
            self._settle_shares(remembered, (), [TeamResult(command.team_id, (command,)) for command in left])
            services.health.update(services.account, commands=CommandsStatus())
            if remembered and not left:
                log.info("slash commands removed", account=services.account, count=len(remembered))


def _left_moved(result: TeamResult) -> dict[str, list[str]]:
    """The commands of a team that were left where somebody else has pointed them, by URL."""
    served = {command.trigger for command in result.commands}
    left: dict[str, list[str]] = {}
    for trigger, url in result.moved.items():
        if trigger not in served:
            left.setdefault(url, []).append(trigger)
    return left


@frozen(eq=False)
class SlashCommandHandler:
    """Answers the callbacks of one account's commands."""

    requests: RequestAdmission
    commands: RegisteredCommands
    specs: tuple[CommandSpec, ...]
    validator: SlashTokenValidator
    models: ModelPickerHandler

    async def call(self, call: SlashCall) -> str:
        """The text for the caller alone. Raises CallbackRefused 401, StoreError, and MattermostUnavailable where the
        server can't say now who calls, or where.
        """
        services = self.requests.services
        await self._validate(call)
        services.health.called_back(services.account, "command")
        log.info(
            f"mattermost: slash command /{_printable(call.trigger)} from {_printable(call.user_name) or call.user_id}"
            f" in {_printable(call.channel_id)}",
            account=services.account,
        )
        try:
            caller = await services.people.resolve(call.user_id, call.channel_id, Origin.COMMAND)
        except MattermostError as problem:
            log.warning("slash command: unknown place or person", account=services.account, problem=str(problem))
            # One that its caller has read as received can wait; for the others there is a sentence, too.
            if isinstance(problem, MattermostUnavailable):
                raise
            return slash.UNKNOWN_CHANNEL
        # The call names a team and a channel of its own choice; only both together can be true.
        if caller.chat.team_id and caller.chat.team_id != call.team_id:
            raise CallbackRefused(401, slash.INVALID_TOKEN)
        if not caller.access.allowed:
            services.metrics.admissions.labels(services.account, "denied", caller.access.reason).inc()
            log.info("slash command denied", account=services.account, reason=caller.access.reason, user=call.user_id)
            return await self._denial_text(caller)
        command = parse_command(slash.command_text(call, self.specs))
        if command is not None and not services.policies.may_command(caller.sender.user_id, caller.sender.username):
            services.metrics.admissions.labels(services.account, "denied", COMMAND_NOT_ALLOWED).inc()
            log.info("slash command denied", account=services.account, reason=COMMAND_NOT_ALLOWED, user=call.user_id)
            return denial_text(Access(False, COMMAND_NOT_ALLOWED), Origin.COMMAND, caller.sender.user_id)
        await self._admit(call, caller, command)
        return slash.PROCESSING

    async def _validate(self, call: SlashCall) -> None:
        registered = self.commands.current()
        if registered is None:
            raise CallbackRefused(503, slash.NOT_READY)
        matched = slash.match_call(call, registered)
        for command in (matched,) if matched else slash.find_registered(call, registered):
            live = await self.validator.confirm(command, call, known=matched is not None)
            if live is None:
                continue
            if matched is None:
                # The token was regenerated in Mattermost: keep the new one.
                self.commands.renew(live)
                services = self.requests.services
                await services.store.commands.save(
                    services.account, evolve(command, token=live.token), services.clock.now_ms()
                )
                log.info("slash command has a new token", account=services.account, command=command.trigger)
            return
        raise CallbackRefused(401, slash.INVALID_TOKEN)

    async def _admit(self, call: SlashCall, caller: Caller, command: ChatCommand | None) -> None:
        requests = self.requests
        text = slash.command_text(call, self.specs)
        # Mattermost gives each call a trigger id, so a call that is delivered twice is admitted once.
        trigger = once("command", call.trigger_id or requests.services.clock.new_id())
        route = requests.route(caller, root_id=call.root_id)
        message = requests.message(
            caller, route, trigger=trigger, source=Source.COMMAND, text=text, root_id=call.root_id
        )
        view = await self.models.view_for(message, command) if _is_picker(command) else None
        obligation = await requests.admit(message, command, reason="slash_command", hand_over=view is None)
        if view is not None and obligation is not None:
            self.models.open(obligation, message, view)

    async def _denial_text(self, caller: Caller) -> str:
        services = self.requests.services
        if caller.access.reason != "dm_policy_pairing_required":
            return denial_text(caller.access, Origin.COMMAND, caller.sender.user_id)
        policy, user = PairingPolicy(), caller.sender
        # Not asked for what is taken: of 40 bits, with at most three codes waiting, none comes twice.
        code = new_code(secrets.randbelow, taken=frozenset())
        request = await services.store.pairing.request(
            services.account,
            user.user_id,
            user.username,
            code,
            services.clock.now_ms(),
            policy.ttl_ms,
            policy.max_pending,
        )
        if request.state is RequestState.FULL:
            await warn_of_no_code(services, user, policy)
        return reply_text(user.user_id, request.code) if request.code else _WITHOUT_CODE[request.state]


def _is_picker(command: ChatCommand | None) -> bool:
    """Whether a command is answered by buttons: `/models`, and `/model` without a name."""
    return isinstance(command, ListModels) or (isinstance(command, ChooseModel) and not command.name)


def _printable(text: str) -> str:
    return "".join(char for char in text if char.isprintable())[:64]
