"""`oc-trio doctor` on one account: server, token, places, WebSocket, rights, slash commands and configured ids."""

from collections.abc import Sequence
from pathlib import Path

import trio

from oc_trio.classes import frozen
from oc_trio.config.accounts import Account
from oc_trio.config.load import Loaded
from oc_trio.core.entities import Channel, Team
from oc_trio.core.exception_groups import first_leaf
from oc_trio.errors import MattermostError, MattermostRejected, StoreError
from oc_trio.mattermost.address_guard import AddressRefused
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.account.outbound_client import open_outbound_client
from oc_trio.runtime.delivery.compose import OutboundClient
from oc_trio.runtime.handlers.callback_urls import plan_callbacks
from oc_trio.runtime.operator.checks.configured_ids import check_ids
from oc_trio.runtime.operator.checks.host import check_certificate, check_clock
from oc_trio.runtime.operator.checks.registered import check_registered
from oc_trio.runtime.operator.checks.rights import check_commands, check_rights
from oc_trio.runtime.operator.checks.state import has_journal
from oc_trio.runtime.operator.checks.way_in import Progress, check_way_in
from oc_trio.runtime.operator.command_check import CommandCheck
from oc_trio.runtime.operator.findings import Finding, Level
from oc_trio.runtime.operator.second_gateway_check import second_gateway_findings
from oc_trio.runtime.operator.setup.server_address import find_server
from oc_trio.runtime.operator.slash_audit import skill_folders
from oc_trio.runtime.process.locations import journal_location, state_problem
from oc_trio.runtime.tools.skills import find_skills
from oc_trio.store.store import open_store

# For a few requests to the server: somebody waits for the report.
_SECONDS = 10.0
_MOST_NAMED = 8


@frozen(eq=False)
class AccountCheck:
    """Checks accounts one by one; the WebSocket of each is held for `hold_seconds`."""

    loaded: Loaded
    commands: CommandCheck
    hold_seconds: float
    progress: Progress

    async def check(self, account: Account, dependencies: Dependencies) -> list[Finding]:
        """The findings; only the first one where the server or the token is not to be had."""
        problem: BaseException | None = None
        found: list[Finding] = []
        certificate = await check_certificate(account, dependencies)
        if certificate is not None:
            found.append(certificate)
            # Every further check would fail for the same reason.
            if certificate.level is Level.FAILED:
                return found
        try:
            async with open_outbound_client(self.loaded, account, dependencies) as outbound:
                with trio.fail_after(_SECONDS):
                    teams = await outbound.api.teams.mine()
                    channels = await outbound.api.channels.mine()
                found += _places(outbound, account, teams, channels)
                found += await self._parts(outbound, account, dependencies, teams, channels)
        # The client runs tasks of its own, so what goes wrong comes out as a group.
        except* (MattermostError, trio.TooSlowError) as group:
            problem = first_leaf(group)
        if problem is None:
            return found
        return [*found, await _unreachable(account, problem, dependencies)]

    async def _parts(
        self,
        outbound: OutboundClient,
        account: Account,
        dependencies: Dependencies,
        teams: Sequence[Team],
        channels: Sequence[Channel],
    ) -> list[Finding]:
        server = outbound.api.transport.server
        clock = await check_clock(server, f"clock of {account.id}")
        found = [] if clock is None else [clock]
        found += [
            await check_way_in(server, account, dependencies, hold_seconds=self.hold_seconds, progress=self.progress)
        ]
        found += await check_rights(outbound)
        skills = skill_folders(self.loaded)
        plan = plan_callbacks(self.loaded.config, account, skills=find_skills(map(Path, skills)).commands)
        found += await check_commands(outbound, account, plan, teams)
        with trio.fail_after(_SECONDS):
            found += await check_registered(self.loaded, account, outbound, plan, teams, dependencies)
            found += await self._second_gateway(outbound, teams)
        with trio.fail_after(_SECONDS):
            skipped = await self.commands.check(outbound.api, account, outbound.user.id, teams)
        for sentence in skipped:
            # The sentences of `core.command_shares` have what to do behind a semicolon.
            what, _, fix = sentence.partition("; ")
            found.append(Finding(Level.WARNING, f"slash commands of {account.id}", what, "slash.taken", fix))
        found += await check_ids(self.loaded, account, outbound.api, teams, channels)
        return found

    async def _second_gateway(self, outbound: OutboundClient, teams: Sequence[Team]) -> list[Finding]:
        """What shows that another gateway uses the bot; nothing where the journal is not to be had, which is told."""
        try:
            if state_problem(self.loaded) or not has_journal(self.loaded):
                return []
            async with open_store(journal_location(self.loaded, create=False), exclusive=False) as store:
                sentences = await second_gateway_findings(
                    outbound.api, outbound.user, outbound.account, teams, store, outbound.clock.now_ms()
                )
        except StoreError:
            return []
        fix = "stop the other gateway, or give this one a bot of its own"
        return [Finding(Level.FAILED, f"bot of {outbound.account}", text, "bot.second", fix) for text in sentences]


async def _unreachable(account: Account, problem: BaseException, dependencies: Dependencies) -> Finding:
    """Why the account can't be served; where the address is to blame, with the one at which Mattermost answers."""
    subject = f"account {account.id}"
    # Mattermost's refusals have an error id; a proxy's 401 has none, and a new token would not help.
    if isinstance(problem, MattermostRejected) and problem.status in (401, 403) and problem.code:
        fix = "make a new token at Integrations > Bot Accounts, and put it where the old one is"
        return Finding(Level.FAILED, subject, f"{account.base_url}: {problem}", "token.refused", fix)
    if isinstance(problem, AddressRefused):
        fix = "if that is your own server, set network.dangerouslyAllowPrivateNetwork = true; else correct baseUrl"
        return Finding(Level.FAILED, subject, f"{account.base_url}: {problem}", "server.private", fix)
    late = isinstance(problem, trio.TooSlowError)
    text = f"{account.base_url}" + (f" does not answer within {_SECONDS:g} s" if late else f": {problem}")
    # A wrong scheme, port or path is the usual mistake: see whether a Mattermost answers near by.
    found = await find_server(account.base_url, dependencies.environ)
    if found.base_url and found.base_url != account.base_url:
        is_open = account.base_url.startswith("https://") and found.base_url.startswith("http://")
        warning = "; it is without TLS, so that everybody on the way can read the token" if is_open else ""
        fix = f'if that is your server, set baseUrl = "{found.base_url}", where a Mattermost answers{warning}'
        return Finding(Level.FAILED, subject, text, "server.address", fix)
    fix = f"`curl {account.base_url}/api/v4/system/ping` from this machine must say OK: see DNS, proxy, certificate"
    return Finding(Level.FAILED, subject, text, "server.unreachable", fix)


def _places(
    outbound: OutboundClient, account: Account, teams: Sequence[Team], channels: Sequence[Channel]
) -> list[Finding]:
    """Who the bot is, and where."""
    subject, user = f"account {account.id}", outbound.user
    # Direct and group channels belong to no team.
    in_teams = [channel for channel in channels if channel.team_id]
    names = [f"{team.name}/{channel.name}" for team in teams for channel in in_teams if channel.team_id == team.id]
    shown = ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")
    places = f"{_count(len(teams), 'team')} and {_count(len(in_teams), 'channel')}" + (f" ({shown})" if shown else "")
    found = [Finding(Level.OK, subject, f"@{user.username} at {account.base_url}, in {places}", "account.ok")]
    if not user.is_bot:
        text = "the token is a person's, not a bot account's"
        fix = "make a bot at Integrations > Bot Accounts (ServiceSettings.EnableBotAccountCreation must be true)"
        found.append(Finding(Level.WARNING, subject, text, "account.person", fix))
    if not teams:
        fix = f"mmctl team users add <team> {user.username}"
        found.append(Finding(Level.WARNING, subject, "the bot is in no team", "account.no_team", fix))
    return found


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
