"""`oc-trio doctor` on slash commands: finds those that an account can't have, as somebody else has their trigger."""

from collections.abc import Sequence

from attrs import field

from oc_trio.classes import define
from oc_trio.config.accounts import Account
from oc_trio.config.load import Loaded
from oc_trio.core.command_shares import Skipped, Slot, sentences
from oc_trio.core.entities import Team
from oc_trio.errors import MattermostError
from oc_trio.ids import AccountId, UserId
from oc_trio.mattermost.client import Api
from oc_trio.runtime.handlers.callback_urls import plan_callbacks
from oc_trio.runtime.tools.skills import find_skills


@define(eq=False)
class CommandCheck:
    """Checks accounts in the order of the configuration: in that order they get the commands."""

    loaded: Loaded
    # Kept from account to account: the first one of the configuration that wants a trigger in a team has it.
    _owners: dict[Slot, AccountId] = field(init=False, factory=dict)

    async def check(self, api: Api, account: Account, bot: UserId, teams: Sequence[Team]) -> tuple[str, ...]:
        """The commands that the account can't have, as sentences. Teams whose list can't be read are passed over."""
        if not account.commands.native:
            return ()
        folders = (self.loaded.document.folder / folder for folder in self.loaded.config.skills.dirs)
        specs = plan_callbacks(self.loaded.config, account, skills=find_skills(folders).commands).specs
        skipped: list[Skipped] = []
        for team in teams:
            taken = await self._taken_triggers(api, team, bot)
            for spec in specs:
                owner = self._owners.setdefault((team.id, spec.trigger), account.id)
                if owner != account.id:
                    skipped.append(Skipped(team.name, spec.trigger, owner))
                elif spec.trigger in taken:
                    skipped.append(Skipped(team.name, spec.trigger))
        return sentences(skipped)

    async def _taken_triggers(self, api: Api, team: Team, bot: UserId) -> set[str]:
        """Triggers of the team's commands that were not made by the account's bot."""
        try:
            listed = await api.commands.list(team.id)
        except MattermostError:
            return set()
        own = {command.trigger.lower() for command in listed if command.creator_id == bot}
        return {command.trigger.lower() for command in listed if not command.delete_at} - own
