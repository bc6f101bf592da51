"""How accounts that meet in a team share out its slash commands: each goes to the first account that wants it.

"First" is the order of the configuration, whichever account comes up first. Also the sentences about what an account
does without.
"""

from collections.abc import Collection, Mapping, Sequence

from attrs import frozen

from oc_trio.ids import AccountId, TeamId

Slot = tuple[TeamId, str]  # a team and a trigger, which Mattermost has once per team

_SHOWN = 3  # triggers named in a sentence


@frozen
class Skipped:
    """A trigger that an account wants and does not get; `owner` is the account that has it, None for somebody else."""

    team: str
    trigger: str
    owner: AccountId | None = None


def owners(order: Sequence[AccountId], claims: Mapping[AccountId, Collection[Slot]]) -> dict[Slot, AccountId]:
    """The account that each claimed slot belongs to; accounts that are not in `order` get none."""
    made: dict[Slot, AccountId] = {}
    for account in order:
        for slot in claims.get(account, ()):
            made.setdefault(slot, account)
    return made


def sentences(skipped: Sequence[Skipped]) -> tuple[str, ...]:
    """One sentence for each team and owner: what is missing, who has it, what to do."""
    groups: dict[tuple[str, AccountId | None], list[str]] = {}
    for one in skipped:
        groups.setdefault((one.team, one.owner), []).append(f"/{one.trigger}")
    return tuple(_sentence(team, owner, triggers) for (team, owner), triggers in groups.items())


def _sentence(team: str, owner: AccountId | None, triggers: Sequence[str]) -> str:
    more = len(triggers) - _SHOWN
    what = ", ".join(triggers[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
    if owner is None:
        return f"{what} in team {team}: another program's or person's; remove theirs, or set commands.prefix"
    return f"{what} in team {team}: account {owner} has them; set commands.prefix for this account to have its own"
