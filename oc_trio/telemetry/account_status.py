"""What the status says of one account beside its connection: frozen values, which their owners write to `Health`.

Times are milliseconds since the epoch; 0 means never.
"""

from oc_trio.classes import frozen


@frozen
class CatchUpStatus:
    """The newest pass of catch-up. `capped`: channels of which it left older posts out; `error` is why it failed."""

    at: int = 0
    posts: int = 0
    channels: int = 0
    capped: int = 0
    error: str = ""


@frozen
class CommandsStatus:
    """The account's slash commands after the newest round of registration: `registered` of `wanted`, over all teams.

    `missing` says in sentences where some are not, and why. `moved`: some were left to somebody else who points them
    elsewhere again and again.
    """

    native: bool = False
    registered: int = 0
    wanted: int = 0
    at: int = 0
    missing: tuple[str, ...] = ()
    moved: bool = False


@frozen
class CallbackStatus:
    """Where Mattermost calls this account back, when a genuine call came last, and which one was refused last."""

    command_url: str = ""
    click_url: str = ""
    command_at: int = 0
    click_at: int = 0
    refused_at: int = 0
    refused: str = ""


@frozen
class ListenerStatus:
    """The public port: the address that is listened on, empty where there is none; `error` says why not, if one was
    wanted.
    """

    url: str = ""
    error: str = ""


@frozen
class SecondGateway:
    """A sign that somebody else uses the bot. `sign` is one of `core.second_gateway.Sign`, `text` says what to do.

    `count` counts posts or commands since `first_at`; `post` and `channel` are the newest one's, if it was a post.
    """

    sign: str
    text: str
    first_at: int
    last_at: int
    count: int = 1
    post: str = ""
    channel: str = ""
