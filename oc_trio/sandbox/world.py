"""One sandbox server: its parts put together, and the API with which tests and demos set it up and read it.

The rules are in the modules of the parts. The clock (int milliseconds) and the random source are arguments.
"""

import random
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from oc_trio.classes import frozen
from oc_trio.sandbox.actions import Actions
from oc_trio.sandbox.channels import Channels
from oc_trio.sandbox.clock import SandboxClock, wall_clock
from oc_trio.sandbox.commands import CommandTable
from oc_trio.sandbox.event_publisher import EventPublisher
from oc_trio.sandbox.faults import Faults
from oc_trio.sandbox.files import Files
from oc_trio.sandbox.hub import Broadcast, Hub, WebConn
from oc_trio.sandbox.interactions import Interactions
from oc_trio.sandbox.membership import Memberships
from oc_trio.sandbox.outgoing import PostOut, post_out, within
from oc_trio.sandbox.post_views import PostViews
from oc_trio.sandbox.posts import Posts
from oc_trio.sandbox.ratelimit import RateLimit
from oc_trio.sandbox.reactions import Reactions
from oc_trio.sandbox.records import ChannelRecord, PostRecord, SessionRecord, TeamRecord, UserRecord
from oc_trio.sandbox.settings import Settings
from oc_trio.sandbox.slash import Slash
from oc_trio.sandbox.teams import Teams
from oc_trio.sandbox.transcript import PostVersions, RequestLog, post_versions
from oc_trio.sandbox.triggers import Triggers
from oc_trio.sandbox.users import Users
from oc_trio.sandbox.webhooks import Webhooks
from oc_trio.sandbox.writing import PostInput, Writing


@frozen
class SandboxBot:
    """A bot account and the access token it logs in with."""

    id: str
    username: str
    token: str


class World:
    """The state of the server. `faults` may be replaced at any time; `post_out` makes the calls to integrations."""

    def __init__(
        self,
        now_ms: Callable[[], int] = wall_clock,
        rng: random.Random | None = None,
        *,
        settings: Settings | None = None,
        post_out: PostOut = post_out,
        faults: Faults | None = None,
    ) -> None:
        self.settings = settings if settings is not None else Settings()
        self.faults = faults if faults is not None else Faults()
        self.requests = RequestLog(self.settings.request_log)
        send = within(post_out, lambda: self.settings.allowed_internal)
        self.clock = clock = SandboxClock(now_ms, rng)
        self.rate_limit = RateLimit()
        self.users = Users(clock)
        self.teams = Teams(clock)
        self.channels = Channels(clock, self.users, self.teams)
        self.files = Files(clock)
        self.posts = Posts()
        self.reactions = Reactions(clock)
        self.hub = Hub(clock, self.channels.is_member, self.teams.is_member)
        self.views = PostViews(self.settings.site_url, self.posts, self.files, self.reactions)
        self.events = EventPublisher(clock, self.users, self.channels, self.files, self.views, self.hub)
        self.writing = Writing(clock, self.teams, self.channels, self.files, self.posts, self.views, self.events)
        self.membership = Memberships(clock, self.users, self.teams, self.channels, self.writing, self.hub)
        self.actions = Actions(clock, self.users, self.channels, self.hub)
        self.triggers = Triggers(clock)
        self.commands = CommandTable(clock, self.teams, lambda: self.settings.enable_commands)
        self.interactions = Interactions(
            clock,
            self.teams,
            self.channels,
            self.posts,
            self.writing,
            self.triggers,
            self.events,
            self.hub,
            send,
        )
        self.slash = Slash(
            self.settings.site_url,
            clock,
            self.users,
            self.teams,
            self.channels,
            self.writing,
            self.triggers,
            self.commands,
            self.interactions,
            self.events,
            send,
        )
        self.webhooks = Webhooks(clock, self.users, self.channels, self.writing)

    def use_site_url(self, url: str) -> None:
        """Sets the URL at which the world is served: permalinks and response URLs start with it."""
        self.settings = attrs.evolve(self.settings, site_url=url)
        self.views.use_site_url(url)
        self.slash.use_site_url(url)

    def connect(self, session: SessionRecord, connection_id: str = "", sequence: int = 0) -> WebConn:
        """Registers an open websocket of this session; its user is online now."""
        connection = self.hub.connect(session, connection_id, sequence)
        # Connecting makes even a bot online, without any request about its status (contract scenario ws_makes_online).
        user = self.users.get(session.user_id)
        if not user.status_manual and user.status != "online":
            self.set_status(user, "online", manual=False)
        return connection

    def disconnect(self, connection: WebConn) -> None:
        self.hub.disconnect(connection)
        user = self.users.find(connection.user_id)
        # Other connections of the same user keep it online; a status that was chosen by hand stays.
        if user is not None and not user.status_manual and not any(c.live for c in self.hub.connections(user.id)):
            user.status = "offline"

    def restart(self) -> None:
        """Simulates a restart: all connections end. To refuse requests while it is down, use `faults`."""
        # What the process holds in memory is lost: connections and pending_post_ids. The database is not touched.
        self.hub.restart()
        self.writing.restart()

    def set_status(self, user: UserRecord, status: str, *, manual: bool) -> None:
        user.status, user.status_manual = status, manual
        user.last_activity_at = self.clock.now()
        self.hub.publish("status_change", {"status": status, "user_id": user.id}, Broadcast(user_id=user.id))

    # The API for tests and demos.

    def create_user(self, username: str, password: str = "", *, team: TeamRecord | None = None) -> UserRecord:
        """A person; the first of a world is its system admin."""
        user = self.users.create(username, password=password)
        if team is not None:
            self.membership.join_team(team, user)
        return user

    def create_bot(
        self,
        username: str,
        *,
        display_name: str = "",
        team: TeamRecord | None = None,
        token: str = "",
        admin: bool = False,
    ) -> SandboxBot:
        """A bot with an access token (`token` fixes its value); `admin` makes it a team admin, for slash commands."""
        owner = next((user for user in self.users.all() if user.is_admin), None)
        user = self.users.create_bot(username, display_name=display_name, owner_id=owner.id if owner else "")
        if team is not None:
            self.membership.join_team(team, user)
            if admin:
                team.roles[user.id] = "team_user team_admin"
        return SandboxBot(user.id, user.username, self.users.create_token(user.id, token=token).token)

    def create_team(self, name: str, creator: UserRecord) -> TeamRecord:
        return self.membership.create_team(creator, name, name.replace("-", " ").title())

    def create_channel(
        self, team: TeamRecord, name: str, creator: UserRecord, *members: UserRecord | SandboxBot, private: bool = False
    ) -> ChannelRecord:
        kind = "P" if private else "O"
        channel = self.membership.create_channel(creator, team, name, name.replace("-", " ").title(), kind)
        for member in members:
            self.membership.add(channel, self.users.get(member.id), creator)
        return channel

    def direct(self, one: UserRecord | SandboxBot, other: UserRecord | SandboxBot) -> ChannelRecord:
        return self.membership.open_direct(self.users.get(one.id), other.id)

    def post_as(
        self,
        user: UserRecord | SandboxBot,
        channel: ChannelRecord,
        text: str,
        *,
        root_id: str = "",
        props: Mapping[str, Any] | None = None,
        file_ids: tuple[str, ...] = (),
    ) -> PostRecord:
        draft = PostInput(channel.id, text, root_id, props=props or {}, file_ids=file_ids)
        return self.writing.create(self.users.get(user.id), draft)

    def transcript(self, channel: ChannelRecord, *, system: bool = False) -> tuple[PostVersions, ...]:
        """All posts of a channel, oldest first, with all edits; deleted posts too."""
        posts = self.posts.of_channel(channel.id)
        kept = (p for p in posts if system or not p.type.startswith("system_"))
        return tuple(post_versions(post, self.users.get(post.user_id).username) for post in kept)
