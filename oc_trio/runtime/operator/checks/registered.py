"""`oc-trio doctor` on registered slash commands: are they there, and do they lead here? `--fix` registers them anew."""

import os
import signal
from collections.abc import Collection, Sequence
from typing import Any

from oc_trio.classes import frozen
from oc_trio.config.accounts import Account
from oc_trio.config.load import Loaded
from oc_trio.core.entities import SlashCommand, Team
from oc_trio.core.slash_plan import Registrar
from oc_trio.errors import MattermostError, MattermostUnavailable
from oc_trio.mattermost.registrar import CommandRegistrar
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.account.outbound_client import open_outbound_client
from oc_trio.runtime.delivery.compose import OutboundClient
from oc_trio.runtime.handlers.callback_urls import CallbackPlan
from oc_trio.runtime.operator.checks.state import has_journal
from oc_trio.runtime.operator.findings import Finding, Level
from oc_trio.runtime.operator.running_gateway import GatewaySilent, ask_gateway
from oc_trio.runtime.process.locations import admin_socket, journal_location
from oc_trio.store.store import open_store

# The gateway is on this machine: one that takes longer is stuck.
_ASK_SECONDS = 5.0
_MOST_NAMED = 3


@frozen
class TeamCommands:
    """A team's wanted commands that are not as they should be; `taken` are those that somebody else has."""

    team: Team
    missing: tuple[str, ...]
    elsewhere: tuple[SlashCommand, ...]
    taken: frozenset[str]


async def check_registered(
    loaded: Loaded,
    account: Account,
    outbound: OutboundClient,
    plan: CallbackPlan,
    teams: Sequence[Team],
    dependencies: Dependencies,
) -> list[Finding]:
    """Nothing where none are wanted, or where no gateway has registered any so far: a start does."""
    if not plan.native or not (loaded.config.gateway.port or account.commands.callback_url):
        return []
    subject = f"slash commands of {account.id}"
    wrong: list[TeamCommands] = []
    count = 0
    for team in teams:
        try:
            listed = await outbound.api.commands.list(team.id)
        except MattermostError:
            continue  # the rights say why
        state = _compare(team, listed, plan, outbound)
        count += len(plan.specs) - len(state.missing)
        if state.missing or state.elsewhere:
            wrong.append(state)
    # None registered at all: no gateway has started yet, and its start registers them.
    if not count or not wrong:
        return []

    async def repair() -> str:
        return await _register(loaded, account, plan, wrong, dependencies)

    found = []
    for state in wrong:
        if state.elsewhere:
            urls = ", ".join(sorted({command.url for command in state.elsewhere}))
            text = f"{_named([one.trigger for one in state.elsewhere])} in team {state.team.name} lead to {urls}"
            found.append(Finding(Level.FAILED, subject, text, "slash.moved", _fix(), repair))
        if state.missing:
            text = f"{_named(state.missing)} in team {state.team.name} are not registered"
            found.append(Finding(Level.WARNING, subject, text, "slash.missing", _fix(), repair))
    return found


def _fix() -> str:
    return "oc-trio doctor --fix, which registers them anew (so do a start and oc-trio reload)"


def _compare(team: Team, listed: Sequence[SlashCommand], plan: CallbackPlan, outbound: OutboundClient) -> TeamCommands:
    ours = {one.trigger.lower(): one for one in listed if one.creator_id == outbound.user.id and not one.delete_at}
    taken = frozenset(one.trigger.lower() for one in listed if not one.delete_at) - ours.keys()
    # A trigger that somebody else has can't be registered; that is a finding of its own.
    wanted = [spec.trigger for spec in plan.specs if spec.trigger not in taken]
    elsewhere = [ours[trigger] for trigger in wanted if trigger in ours and ours[trigger].url != plan.command_url]
    missing = [trigger for trigger in wanted if trigger not in ours]
    return TeamCommands(team, tuple(missing), tuple(elsewhere), taken)


def _named(triggers: Collection[str]) -> str:
    names = [f"/{trigger}" for trigger in triggers]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


async def _register(
    loaded: Loaded, account: Account, plan: CallbackPlan, wrong: Sequence[TeamCommands], dependencies: Dependencies
) -> str:
    """By the running gateway, which has to know the tokens; else here. Raises OSError, OcTrioError."""
    try:
        status: dict[str, Any] | None = await ask_gateway(
            admin_socket(loaded), "GET", "/status.json", seconds=_ASK_SECONDS
        )
    except GatewaySilent as problem:
        raise MattermostUnavailable(str(problem)) from None
    if status is not None:
        # A gateway that runs has to learn the new tokens, so it registers the commands itself.
        os.kill(int(status["pid"]), signal.SIGHUP)
        return f"told the running gateway (process {status['pid']}) to register them anew"
    if not has_journal(loaded):
        raise MattermostUnavailable("there is no journal to keep their tokens in: a start registers them")
    failures: list[str] = []
    async with (
        open_store(journal_location(loaded, create=False), exclusive=False) as store,
        open_outbound_client(loaded, account, dependencies) as outbound,
    ):
        now_ms = outbound.clock.now_ms
        registrar = CommandRegistrar(
            outbound.api,
            Registrar(outbound.user.id, plan.command_url),
            plan.specs,
            remember=lambda command: store.commands.save(account.id, command, now_ms()),
            forget=lambda command: store.commands.forget(account.id, command),
        )
        remembered = await store.commands.all(account.id)
        for state in wrong:
            failures += (await registrar.register(state.team.id, remembered, state.taken)).failures
    if failures:
        raise MattermostUnavailable("; ".join(failures[:_MOST_NAMED]))
    return "registered anew"
