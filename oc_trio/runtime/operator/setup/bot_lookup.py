"""Asks Mattermost who a token belongs to, and who the people are that an operator names."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager

import trio

from oc_trio.classes import frozen
from oc_trio.core.entities import User
from oc_trio.core.netguard import NetPolicy
from oc_trio.errors import MattermostError, MattermostRejected
from oc_trio.ids import UserId, is_mattermost_id
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.transport import Transport, open_server
from oc_trio.network.tls import client_tls
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.operator.setup.server_address import ServerAddress

# A few requests, of a person who waits at a prompt.
_SECONDS = 20.0


@frozen
class TokenOwner:
    """Who a token belongs to; `is_bot` is false of a person's. `teams` are the names of those it is in."""

    id: UserId
    username: str
    name: str = ""
    is_bot: bool = True
    teams: tuple[str, ...] = ()


@frozen
class Person:
    """Somebody who is let in, by id; `username` is for the comment beside it."""

    id: UserId
    username: str


class LookupFailed(Exception):
    """`str()` says what is wrong and what to do; `is_auth`: the token is refused, else the server can't be asked."""

    def __init__(self, problem: str, *, is_auth: bool = False) -> None:
        super().__init__(problem)
        self.is_auth = is_auth


class UnknownPerson(ValueError):
    """A name that nobody has there, or that can't be let in; `str()` says which."""


async def look_up_bot(address: ServerAddress, token: str, environ: Mapping[str, str]) -> TokenOwner:
    """The owner of `token`. Raises LookupFailed."""
    async with _open_api(address, token, environ) as api:
        user = await api.users.me()
        teams = await api.teams.mine()
    return TokenOwner(
        user.id, user.username, user.display_name, user.is_bot, tuple(sorted(team.name for team in teams))
    )


async def look_up_people(
    address: ServerAddress, token: str, names: Sequence[str], environ: Mapping[str, str]
) -> tuple[Person, ...]:
    """Each of `names` (`@alice`, `alice`, an id). Raises UnknownPerson for the first who can't be let in.

    Raises LookupFailed where nobody can be asked.
    """
    people: dict[UserId, Person] = {}
    async with _open_api(address, token, environ) as api:
        for name in names:
            user = await _user(api, name.strip().removeprefix("@"), address.base_url)
            people[user.id] = Person(user.id, user.username)
    return tuple(people.values())


async def _user(api: Api, name: str, base_url: str) -> User:
    try:
        # Usernames are lower case, and Mattermost answers 400 to others (contract scenario users_by_username).
        user = await (api.users.get(UserId(name)) if is_mattermost_id(name) else api.users.by_username(name.lower()))
    except MattermostRejected as refusal:
        # 400: no name looks like this; 403: the bot may not see the user; 404: there is none.
        if refusal.status not in (400, 403, 404):
            raise
        raise UnknownPerson(f"there is no user {name} at {base_url}") from None
    if user.delete_at:
        raise UnknownPerson(f"@{user.username} is deactivated")
    if user.is_bot:
        raise UnknownPerson(f"@{user.username} is a bot; other bots are a setting of their own: allowBots")
    return user


@asynccontextmanager
async def _open_api(address: ServerAddress, token: str, environ: Mapping[str, str]) -> AsyncGenerator[Api, None]:
    """Raises LookupFailed for what the server or the network refuses."""
    is_tls = address.base_url.startswith("https://")
    context = await trio.to_thread.run_sync(client_tls) if is_tls else None
    transport = Dependencies(ssl_context=context, environ=environ).transport(
        address.base_url, NetPolicy(allow_private=address.is_private)
    )
    try:
        with trio.fail_after(_SECONDS):
            async with open_server(address.base_url, context, http_transport=transport) as server:
                yield Api(Transport(server, lambda: token))
    except trio.TooSlowError:
        raise LookupFailed(f"{address.base_url} gives no answer within {_SECONDS:g} s") from None
    except MattermostRejected as refusal:
        if refusal.status in (401, 403):
            fix = "make a new one at Integrations > Bot Accounts"
            raise LookupFailed(f"{address.base_url} refuses the token: {refusal}; {fix}", is_auth=True) from None
        raise LookupFailed(f"{address.base_url}: {refusal}") from None
    except MattermostError as problem:
        raise LookupFailed(f"{address.base_url}: {problem}") from None
