"""Which posts by our bot's user show that somebody else uses it."""

from typing import Any

import pytest
from attrs import evolve

from oc_trio.core.events import Post
from oc_trio.core.second_gateway import SKEW_MS, Installation, Sign, sentence, sign_of
from oc_trio.ids import ChannelId, PostId, UserId

BORN, STARTED, NOW = 1_000_000, 5_000_000, 9_000_000
OURS = Installation("ours", BORN)


def post(mark: dict[str, Any] | None = None, **changes: Any) -> Post:
    props = {"oc_trio": mark} if mark is not None else {}
    return evolve(Post(PostId("p"), ChannelId("c"), UserId("bot"), "hi", create_at=NOW, props=props), **changes)


def sign(foreign: Post, *, is_sent: bool = False, is_live: bool = True) -> Sign | None:
    return sign_of(foreign, OURS, started_at=STARTED, is_sent=is_sent, is_live=is_live)


@pytest.mark.parametrize(
    ("foreign", "expected"),
    [
        pytest.param(post({"k": "a", "i": "theirs"}), Sign.INSTALLATION, id="another oc_trio"),
        pytest.param(post(), Sign.UNMARKED, id="OpenClaw, or a script"),
        pytest.param(post({"k": "a", "i": "ours"}), Sign.COPY, id="a copy of the journal"),
        pytest.param(post({"k": "a"}), None, id="an older post of ours"),
        pytest.param(post({"k": "a", "by": "command"}), None, id="oc-trio message send"),
        pytest.param(post(type="system_join_channel"), None, id="the server says that the bot joined"),
        pytest.param(post(props={"from_webhook": "true"}), None, id="a webhook that the bot made"),
        pytest.param(post(props={"from_plugin": "true"}), None, id="a plugin"),
        pytest.param(post(delete_at=NOW), None, id="deleted"),
    ],
)
def test_a_post_that_we_did_not_send(foreign: Post, expected: Sign | None) -> None:
    """Only a post that a gateway of ours can't have written is a sign."""
    assert sign(foreign) is expected


@pytest.mark.parametrize("mark", [None, {"k": "a", "i": "ours"}, {"k": "a"}])
def test_what_is_in_the_outbox_is_ours(mark: dict[str, Any] | None) -> None:
    """A post of the outbox is ours whatever its mark is, unless that is another installation's."""
    assert sign(post(mark), is_sent=True) is None
    assert sign(post({"k": "a", "i": "theirs"}), is_sent=True) is Sign.INSTALLATION


@pytest.mark.parametrize("mark", [None, {"k": "a", "i": "theirs"}])
def test_what_is_older_than_the_journal_is_no_sign(mark: dict[str, Any] | None) -> None:
    """Before the move the bot was OpenClaw's, and a new journal does not know the posts of the lost one."""
    assert sign(post(mark, create_at=BORN + SKEW_MS), is_live=False) is None
    assert sign(post(mark, create_at=BORN + SKEW_MS + 1), is_live=False) is not None


def test_a_person_posts_by_hand() -> None:
    """Where the token is a person's, posts without a marker are that person's; other gateways' still show."""
    about: dict[str, Any] = {"started_at": STARTED, "is_sent": False, "is_live": True, "is_person": True}
    assert sign_of(post(), OURS, **about) is None
    assert sign_of(post({"k": "a", "i": "theirs"}), OURS, **about) is Sign.INSTALLATION


def test_a_restored_backup_meets_its_own_posts() -> None:
    """Catch-up reads posts with our mark that the restored outbox does not have; so may a resumed connection."""
    ours = {"k": "a", "i": "ours"}
    assert sign(post(ours), is_live=False) is None
    assert sign(post(ours, create_at=STARTED + SKEW_MS), is_live=True) is None


@pytest.mark.parametrize("kind", list(Sign))
def test_each_sign_says_what_to_do(kind: Sign) -> None:
    """The bot's name and the way out are in the sentence."""
    text = sentence(kind, "helper", "https://other.example.com/cmd in team town")
    assert "@helper" in text
    assert "stop" in text.lower()
