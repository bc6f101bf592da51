"""Decides whether a post by our bot's user shows that somebody else answers with the same bot, and says so in words.

Every post of a gateway carries a marker with its installation (`core.post_marker`). A gateway of another kind, such as
OpenClaw, leaves none: its posts are those that this gateway never sent.
"""

from enum import Enum

from oc_trio.classes import frozen
from oc_trio.core.events import Post
from oc_trio.core.post_marker import COMMAND, read_marker

# The server's clock and ours may differ by this much.
SKEW_MS = 60_000


@frozen
class Installation:
    """The journal's own id, made once; a restored or a moved journal keeps it. Posts from before `since` (milliseconds)
    say nothing about today: OpenClaw may have written them before a move, or this gateway before its journal was lost.
    """

    id: str
    since: int = 0
    restored_at: int = 0  # milliseconds; 0: never


class Sign(Enum):
    """What shows that somebody else uses the bot."""

    INSTALLATION = "installation"  # a post of another installation
    COPY = "copy"  # a post of this installation that it did not send
    UNMARKED = "unmarked"  # a post without a marker
    COMMANDS = "commands"  # our slash commands lead to another URL

    @property
    def is_certain(self) -> bool:
        """Whether it can't be a script that posts with the bot's token."""
        return self is not Sign.UNMARKED


def is_anothers(post: Post, installation: Installation) -> bool:
    """Whether a post by our bot's user is another installation's: its key says nothing about our outbox."""
    return read_marker(post.props).installation not in ("", installation.id)


def sign_of(
    post: Post, installation: Installation, *, started_at: int, is_sent: bool, is_live: bool, is_person: bool = False
) -> Sign | None:
    """What a post by our bot's user shows, None if it is ours, or too old to tell.

    `is_sent`: it is in our outbox. `is_live`: it came as an event, so it was written just now. `started_at`: when this
    gateway was started, in milliseconds. With `is_person` the token is a person's, who also posts by hand.
    """
    marker = read_marker(post.props)
    if post.delete_at or post.type or _is_integration(post) or marker.by == COMMAND:
        return None
    is_recent = is_live or post.create_at > installation.since + SKEW_MS
    if is_anothers(post, installation):
        return Sign.INSTALLATION if is_recent else None
    if is_sent:
        return None
    if marker.installation:
        # After a restored backup the newest posts of ours are not in the outbox; those of this run are.
        return Sign.COPY if is_live and post.create_at > started_at + SKEW_MS else None
    if marker.key:
        return None  # from before posts had an installation
    return Sign.UNMARKED if is_recent and not is_person else None


def _is_integration(post: Post) -> bool:
    """A webhook that the bot's user made, or a plugin, posts in its name."""
    return any(post.props.get(key) not in (None, "", False, "false") for key in ("from_webhook", "from_plugin"))


def sentence(sign: Sign, bot: str, other: str = "") -> str:
    """What is going on and what to do. `other` is an installation's id, or the URL and team of slash commands."""
    match sign:
        case Sign.INSTALLATION:
            return (
                f"another oc_trio gateway (installation {other[:8]}) posts as @{bot}, so people are answered twice: "
                "stop one of the two, or give it a bot of its own"
            )
        case Sign.COPY:
            return (
                f"another gateway with a copy of this journal posts as @{bot}, so people are answered twice: stop one "
                "of the two"
            )
        case Sign.UNMARKED:
            return (
                f"something else posts as @{bot}: another gateway with the same bot, such as an OpenClaw that still "
                "runs, or a script with its token. Stop the other gateway; let scripts post with a bot of their own or "
                "with oc-trio message send, whose posts are marked"
            )
        case Sign.COMMANDS:
            return (
                f"somebody with the token of @{bot} has pointed its slash commands to {other}: stop the other gateway, "
                "or give it a bot of its own"
            )
