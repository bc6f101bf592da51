"""Places and senders."""

import pytest

from oc_trio.core.chat import Chat, ChatKind
from oc_trio.core.events import ChannelType
from oc_trio.ids import ChannelId


@pytest.mark.parametrize(
    ("letter", "kind", "direct"),
    [
        ("D", ChatKind.DIRECT, True),
        ("G", ChatKind.GROUP, False),
        ("P", ChatKind.GROUP, False),
        ("O", ChatKind.CHANNEL, False),
    ],
)
def test_kinds(letter: str, kind: ChatKind, direct: bool) -> None:
    """Private channels count as groups."""
    chat = Chat(ChannelId("c"), ChannelType(letter))
    assert (chat.kind, chat.is_direct) == (kind, direct)


def test_unknown_type_has_no_kind() -> None:
    """A channel that could not be looked up is of no kind."""
    assert Chat(ChannelId("c"), None).kind is None
