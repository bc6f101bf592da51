"""Teams and their members. `membership` joins users to the default channels."""

from oc_trio.sandbox.clock import SandboxClock
from oc_trio.sandbox.errors import ApiError, forbidden
from oc_trio.sandbox.records import TeamRecord, UserRecord

MEMBER = "team_user"
ADMIN = "team_user team_admin"


class Teams:
    """All teams of a world, by id."""

    def __init__(self, clock: SandboxClock) -> None:
        self._clock = clock
        self._by_id: dict[str, TeamRecord] = {}

    def create(self, name: str, display_name: str, *, type: str = "O", email: str = "") -> TeamRecord:  # noqa: A002
        if any(team.name == name for team in self._by_id.values()):
            raise ApiError(400, "app.team.save.existing.app_error", "A team with that name already exists.")
        now = self._clock.now()
        team = TeamRecord(self._clock.new_id(), name, display_name, now, self._clock.new_id(), type, email=email)
        team.update_at = now
        self._by_id[team.id] = team
        return team

    def all(self) -> tuple[TeamRecord, ...]:
        return tuple(self._by_id.values())

    def find(self, team_id: str) -> TeamRecord | None:
        return self._by_id.get(team_id)

    def get(self, team_id: str) -> TeamRecord:
        team = self._by_id.get(team_id)
        if team is None:
            raise ApiError(404, "app.team.get.find.app_error", "Unable to find the existing team.")
        return team

    def get_name(self, name: str) -> TeamRecord:
        team = next((t for t in self._by_id.values() if t.name == name), None)
        if team is None:
            raise ApiError(404, "app.team.get_by_name.missing.app_error", "Unable to find the existing team.")
        return team

    def of(self, user_id: str) -> tuple[TeamRecord, ...]:
        # Archived teams keep their members but are not listed.
        return tuple(t for t in self._by_id.values() if user_id in t.roles and not t.delete_at)

    def is_member(self, user_id: str, team_id: str) -> bool:
        team = self._by_id.get(team_id)
        return team is not None and user_id in team.roles

    def may_administer(self, user: UserRecord, team_id: str) -> bool:
        team = self._by_id.get(team_id)
        return team is not None and (user.is_admin or "team_admin" in team.roles.get(user.id, "").split())

    def require_member(self, user: UserRecord, team_id: str) -> TeamRecord:
        team = self.get(team_id)
        if user.id not in team.roles and not user.is_admin:
            raise forbidden()
        return team
