"""Accounts, bots, logins and access tokens. Publishes no events."""

import re
from collections.abc import Callable

from oc_trio.sandbox.clock import SandboxClock
from oc_trio.sandbox.errors import ApiError, bad_body, forbidden
from oc_trio.sandbox.records import AccessToken, SessionRecord, UserRecord

USERNAME = re.compile(r"[a-z0-9._-]{1,64}")


class Users:
    """All accounts of a world, by id and by name, and who is logged in with which token."""

    def __init__(self, clock: SandboxClock) -> None:
        self._clock = clock
        self._by_id: dict[str, UserRecord] = {}
        self._by_name: dict[str, UserRecord] = {}
        self._sessions: dict[str, SessionRecord] = {}
        self._tokens: dict[str, AccessToken] = {}

    def all(self) -> tuple[UserRecord, ...]:
        return tuple(self._by_id.values())

    def find(self, user_id: str) -> UserRecord | None:
        return self._by_id.get(user_id)

    def get(self, user_id: str) -> UserRecord:
        # Deactivated ones are found like others (contract scenario user_deactivated).
        user = self._by_id.get(user_id)
        if user is None:
            raise ApiError(404, "app.user.missing_account.const", "Unable to find the user.")
        return user

    def find_name(self, username: str) -> UserRecord | None:
        return self._by_name.get(username)

    def create(self, username: str, *, email: str = "", password: str = "") -> UserRecord:
        """A new account; the first one of a world is its system admin, as on an empty server."""
        user = self._add(username, email or f"{username}@example.com")
        user.password = password
        if len(self._by_id) == 1:
            user.roles = "system_admin system_user"
        return user

    def create_bot(
        self, username: str, *, display_name: str = "", description: str = "", owner_id: str = ""
    ) -> UserRecord:
        # As Mattermost makes a bot's address.
        bot = self._add(username, f"{username}@localhost")
        bot.is_bot, bot.first_name = True, display_name
        bot.bot_description, bot.bot_owner_id = description, owner_id
        return bot

    def _add(self, username: str, email: str) -> UserRecord:
        username = username.lower()
        if not USERNAME.fullmatch(username):
            raise ApiError(400, "model.user.is_valid.username.app_error", "Username has invalid characters.")
        if username in self._by_name:
            raise ApiError(
                400, "app.user.save.username_exists.app_error", "An account with that username already exists."
            )
        now = self._clock.now()
        user = UserRecord(self._clock.new_id(), username, email, now, update_at=now)
        self._by_id[user.id] = self._by_name[username] = user
        return user

    def rename(self, user: UserRecord, username: str) -> None:
        username = username.lower()
        taken = self._by_name.get(username)
        if not USERNAME.fullmatch(username) or (taken is not None and taken is not user):
            raise bad_body("username")
        del self._by_name[user.username]
        user.username = username
        self._by_name[username] = user

    def login(self, login_id: str, password: str) -> SessionRecord:
        # A bot has no password, so it can't log in; it uses access tokens.
        user = self._by_name.get(login_id.lower()) or next((u for u in self.all() if u.email == login_id), None)
        # One error for all, so that a login does not tell which names exist (contract scenario login_wrong_password).
        if user is None or user.delete_at or not user.password or user.password != password:
            raise ApiError(401, "api.user.login.invalid_credentials_email_username", "Enter a valid email or username.")
        session = SessionRecord(user.id, self._clock.new_id())
        self._sessions[session.token] = session
        return session

    def logout(self, session: SessionRecord) -> None:
        # Open websockets hold the session, and look at this.
        session.revoked = True
        self._sessions.pop(session.token, None)

    def session_of(self, token: str) -> SessionRecord | None:
        """The session of a token, or None; an access token gets a new session if its last one was revoked."""
        session = self._sessions.get(token)
        if session is not None:
            return session
        access = next((t for t in self._tokens.values() if t.token == token), None)
        # A disabled bot's token is good again once the bot is enabled (contract scenario bot_disabled).
        if access is None or not access.is_active or self._by_id[access.user_id].delete_at:
            return None
        session = self._sessions[token] = SessionRecord(access.user_id, token, access.id)
        return session

    def create_token(self, user_id: str, description: str = "", token: str = "") -> AccessToken:
        access = AccessToken(self._clock.new_id(), user_id, description, token or self._clock.new_id())
        self._tokens[access.id] = access
        return access

    def token(self, token_id: str) -> AccessToken:
        access = self._tokens.get(token_id)
        if access is None:
            raise ApiError(404, "app.user_access_token.get_by_user.app_error", "Unable to find the token.")
        return access

    def tokens_of(self, user_id: str) -> tuple[AccessToken, ...]:
        return tuple(t for t in self._tokens.values() if t.user_id == user_id)

    def revoke_token(self, token_id: str) -> None:
        access = self.token(token_id)
        # A revoked token ends the sessions made with it at once (contract scenario token_revoked).
        del self._tokens[access.id]
        self._end_sessions(lambda session: session.access_token_id == token_id)

    def deactivate(self, user: UserRecord) -> None:
        user.delete_at = user.update_at = self._clock.now()
        self._end_sessions(lambda session: session.user_id == user.id)

    def activate(self, user: UserRecord) -> None:
        user.delete_at, user.update_at = 0, self._clock.now()

    def _end_sessions(self, chosen: Callable[[SessionRecord], bool]) -> None:
        for session in [s for s in self._sessions.values() if chosen(s)]:
            self.logout(session)

    def require_self(self, actor: UserRecord, user_id: str) -> UserRecord:
        """The user in a path, if the actor is that user or an admin."""
        if user_id not in {"me", actor.id} and not actor.is_admin:
            raise forbidden()
        return actor if user_id == "me" else self.get(user_id)
