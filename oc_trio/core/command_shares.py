"""Assigns slash commands to accounts in the same team: Mattermost allows each trigger once per team.

A trigger goes to the first account in the configuration that wants it, whichever account starts first. Also writes the
warnings about triggers that an account does not get.
"""

from collections.abc import Collection, Mapping, Sequence

from attrs import frozen

from oc_trio.ids import AccountId, TeamId

Slot = tuple[TeamId, str]  # a team and a trigger, of which Mattermost has at most one

_SHOWN = 3  # triggers named in a sentence


@frozen
class Skipped:
    """A trigger that an account does not get; `owner` is the account that has it, None if another program has."""

    team: str
    trigger: str
    owner: AccountId | None = None


def owners(order: Sequence[AccountId], claims: Mapping[AccountId, Collection[Slot]]) -> dict[Slot, AccountId]:
    """The account that gets each slot; accounts that are not in `order` get none."""
    owned: dict[Slot, AccountId] = {}
    for account in order:
        for slot in claims.get(account, ()):
            owned.setdefault(slot, account)
    return owned


def sentences(skipped: Sequence[Skipped]) -> tuple[str, ...]:
    """One warning per team and owner: what is missing, who has it, what to do."""
    groups: dict[tuple[str, AccountId | None], list[str]] = {}
    for item in skipped:
        groups.setdefault((item.team, item.owner), []).append(f"/{item.trigger}")
    return tuple(_sentence(team, owner, triggers) for (team, owner), triggers in groups.items())


def _sentence(team: str, owner: AccountId | None, triggers: Sequence[str]) -> str:
    more = len(triggers) - _SHOWN
    names = ", ".join(triggers[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
    if owner is None:
        return f"{names} in team {team}: another program's or person's; remove theirs, or set commands.prefix"
    return f"{names} in team {team}: account {owner} has them; set commands.prefix for this account to have its own"
