"""The marker in the props of our posts: its key, what it answers, the installation that made it, or that a command did.

Anyone can write props: compare the author too.
"""

from collections.abc import Mapping
from typing import Any

from oc_trio.classes import frozen

# The prop of our posts that holds their marker.
MARKER = "oc_trio"
KEY, INSTALLATION, BY, ANSWERS = "k", "i", "by", "a"
# The value of `BY` in posts of `oc-trio message` and of the doctor: no gateway wrote them.
COMMAND = "command"


@frozen
class PostMarker:
    """`installation` names the journal of the gateway that made the post; empty in posts of commands and older ones.

    `answers` are the messages that the post answers.
    """

    key: str = ""
    installation: str = ""
    by: str = ""
    answers: tuple[str, ...] = ()


def read_marker(props: Mapping[str, Any]) -> PostMarker:
    """The marker in a post's props; all fields are empty if there is none."""
    own = props.get(MARKER)
    if not isinstance(own, Mapping):
        return PostMarker()

    def text(name: str) -> str:
        value = own.get(name)
        return value if isinstance(value, str) else ""

    return PostMarker(text(KEY), text(INSTALLATION), text(BY), tuple(text(ANSWERS).split()))


def marker_key(props: Mapping[str, Any]) -> str:
    """The key in a post's props, "" if there is none."""
    return read_marker(props).key
