"""Letting people in without a code: who they are is asked of the account's server, and what was granted is told."""

from collections.abc import Sequence

from attrs import evolve

from oc_trio.classes import frozen
from oc_trio.config.accounts import Account
from oc_trio.config.load import Loaded
from oc_trio.core.entities import User
from oc_trio.errors import MattermostRejected
from oc_trio.ids import AccountId, UserId, is_mattermost_id
from oc_trio.runtime.account.outbound_client import dependencies_for, open_outbound_client
from oc_trio.store.store import Store


@frozen
class Grant:
    """What came of one person: let in (`is_new`), let in before, or not, with the `problem`."""

    account: AccountId
    user_id: UserId
    name: str = ""
    is_new: bool = False
    problem: str = ""


async def look_up(loaded: Loaded, account: Account, entries: Sequence[str]) -> tuple[Grant, ...]:
    """Who each entry (a user id, a username) is on the account's server. Raises MattermostError where it can't say."""
    async with open_outbound_client(loaded, account, await dependencies_for(account)) as outbound:
        found = []
        for entry in entries:
            try:
                if is_mattermost_id(entry):
                    user = await outbound.api.users.get(UserId(entry))
                else:
                    user = await outbound.api.users.by_username(entry)
            except MattermostRejected as refusal:
                # Anything else says nothing about the person: a failing server must not look like an unknown user.
                if refusal.status not in (400, 403, 404):
                    raise
                problem = f"there is no user {entry} at {account.base_url}"
                found.append(Grant(AccountId(account.id), UserId(entry), problem=problem))
                continue
            found.append(_of_user(AccountId(account.id), user, outbound.user))
    return tuple(found)


def _of_user(account: AccountId, user: User, bot: User) -> Grant:
    known = Grant(account, user.id, user.username)
    if user.id == bot.id:
        return evolve(known, problem=f"@{user.username} is the bot itself")
    if user.delete_at:
        return evolve(known, problem=f"@{user.username} is deactivated")
    return known


async def grant(store: Store, people: Sequence[Grant], now_ms: int, *, dry_run: bool = False) -> tuple[Grant, ...]:
    """Let in those without a problem, and say who is new; with `dry_run` only say it."""
    done = []
    for one in people:
        if one.problem:
            done.append(one)
            continue
        # Anew for each person: the same one may be named twice, by id and by name.
        known = await store.pairing.approved(one.account)
        is_new = one.user_id not in known
        if is_new and not dry_run:
            await store.pairing.grant(one.account, one.user_id, one.name, now_ms)
        done.append(evolve(one, is_new=is_new))
    return tuple(done)
