"""REST endpoints for users and teams."""

from collections.abc import Iterable

from oc_trio.classes import frozen
from oc_trio.core.decode_entities import decode_team, decode_user
from oc_trio.core.entities import Team, User
from oc_trio.ids import TeamId, UserId
from oc_trio.mattermost.rest.pages import many, member_ids
from oc_trio.mattermost.rest.paths import segment
from oc_trio.mattermost.transport import Transport

# POST /users/ids takes at most so many ids at once.
_IDS_AT_ONCE = 200


@frozen(eq=False)
class UsersApi:
    """`/users`. Every method raises MattermostUnavailable, MattermostRejected or PayloadError."""

    transport: Transport

    async def me(self) -> User:
        """The account behind the token; a 401 here is the proof of a bad one."""
        return decode_user(await self.transport.request("GET", "/users/me"))

    async def get(self, user_id: UserId) -> User:
        """One user by id."""
        return decode_user(await self.transport.request("GET", f"/users/{segment(user_id)}"))

    async def by_username(self, name: str) -> User:
        """One user by exact username, without the `@`."""
        return decode_user(await self.transport.request("GET", f"/users/username/{segment(name)}"))

    async def by_ids(self, user_ids: Iterable[UserId]) -> tuple[User, ...]:
        """The users of those ids that exist, in the server's order."""
        unique_ids = list(dict.fromkeys(user_ids))
        users: list[User] = []
        for start in range(0, len(unique_ids), _IDS_AT_ONCE):
            part = unique_ids[start : start + _IDS_AT_ONCE]
            users += many(await self.transport.request("POST", "/users/ids", json=part), decode_user, "users")
        return tuple(users)

    async def search(self, term: str, *, team_id: TeamId | None = None, limit: int = 100) -> tuple[User, ...]:
        """Users whose names begin with `term`, at most `limit` (the server gives at most 1000)."""
        body: dict[str, str | int] = {"term": term, "limit": limit}
        if team_id:
            body["team_id"] = team_id
        return tuple(many(await self.transport.request("POST", "/users/search", json=body), decode_user, "users"))


@frozen(eq=False)
class TeamsApi:
    """`/teams`."""

    transport: Transport

    async def mine(self) -> tuple[Team, ...]:
        """The teams that the account is in."""
        return tuple(many(await self.transport.request("GET", "/users/me/teams"), decode_team, "teams"))

    async def get(self, team_id: TeamId) -> Team:
        """One team by id."""
        return decode_team(await self.transport.request("GET", f"/teams/{segment(team_id)}"))

    async def by_name(self, name: str) -> Team:
        """One team by the name in its URL."""
        return decode_team(await self.transport.request("GET", f"/teams/name/{segment(name)}"))

    async def members(self, team_id: TeamId) -> tuple[UserId, ...]:
        """The ids of all members, page by page."""
        return await member_ids(self.transport, f"/teams/{segment(team_id)}/members")
