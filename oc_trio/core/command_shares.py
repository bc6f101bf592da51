"""Assigns slash commands to accounts in the same team: Mattermost allows each trigger once per team.

A trigger goes to the first account in the configuration that wants it, whichever account starts first. Also writes the
warnings about triggers that an account does not get.
"""

from collections.abc import Collection, Mapping, Sequence

from oc_trio.classes import frozen
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


def moved_sentence(team: str, triggers: Sequence[str], url: str, times: int) -> str:
    """The warning about commands of a team that somebody else points to `url` however often they are taken back."""
    names = ", ".join(f"/{trigger}" for trigger in triggers[:_SHOWN])
    more = f" and {len(triggers) - _SHOWN} more" if len(triggers) > _SHOWN else ""
    return (
        f"{names}{more} in team {team}: somebody else with this bot's token points them to {url}; they were taken back "
        f"{times} times within a day and are left there now: stop the other gateway, then oc-trio reload"
    )


def _sentence(team: str, owner: AccountId | None, triggers: Sequence[str]) -> str:
    more = len(triggers) - _SHOWN
    names = ", ".join(triggers[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
    if owner is None:
        return f"{names} in team {team}: another program's or person's; remove theirs, or set commands.prefix"
    return f"{names} in team {team}: account {owner} has them; set commands.prefix for this account to have its own"
