import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.buttons import ButtonBinding, action_ids, attachments, context
from oc_trio.core.presentation import Menu
from oc_trio.core.signing import verify_context
from oc_trio.core.turn_events import Button

TOKEN = "test-bot-token"
URL = "https://gw.example.com/mattermost/interactions/default"
BOUND = ButtonBinding(URL, channel_id="chan1", nonce="n0nce", expires_at=5000)


@pytest.mark.parametrize(
    ("wishes", "ids"),
    [
        (["yes", "no"], ("yes", "no")),
        (["my_action", "deploy prod!"], ("myaction", "deployprod")),
        (["a-b", "ab"], ("ab", "abx2")),
        (["x", "x", "x"], ("x", "xx2", "xx3")),
    ],
)
def test_ids(wishes: list[str], ids: tuple[str, ...]) -> None:
    assert action_ids(wishes) == ids


@given(st.lists(st.text(max_size=40), max_size=25))
def test_ids_are_alphanumeric_and_unique(wishes: list[str]) -> None:
    """Mattermost calls back for such ids only, and finds the button by its id."""
    ids = action_ids(wishes)
    assert len(set(ids)) == len(ids) == len(wishes)
    assert all(re.fullmatch(r"[A-Za-z0-9]{1,40}", each) for each in ids)


def test_rows_become_attachments_with_signed_contexts() -> None:
    rows = ((Button("Yes", "yes", style="primary"), Button("No", "no", style="secondary")), (Button("Later", "later"),))
    first, second = attachments(rows, (), bot_token=TOKEN, binding=BOUND, text="Sure?")
    assert (first["text"], first["fallback"], second["text"]) == ("Sure?", "Yes | No", "")
    assert [(a["id"], a["type"], a["name"], a["style"]) for a in first["actions"]] == [
        ("yes", "button", "Yes", "primary"),
        ("no", "button", "No", "default"),
    ]
    for action in (*first["actions"], *second["actions"]):
        signed = action["integration"]["context"]
        assert action["integration"]["url"] == URL
        assert signed["action_id"] == action["id"]
        assert (signed["__openclaw_channel_id"], signed["__oc_nonce"], signed["__oc_expires_at"]) == (
            "chan1",
            "n0nce",
            5000,
        )
        assert verify_context(TOKEN, signed)
        assert not verify_context(TOKEN, {**signed, "__oc_expires_at": 9999})


def test_an_unbound_button_signs_like_the_originals() -> None:
    """Without nonce and expiry the token is the known one for that context."""
    (attachment,) = attachments(
        ((Button("Yes", "yes"),),), (), bot_token=TOKEN, binding=ButtonBinding(URL, channel_id="chan1")
    )
    signed = attachment["actions"][0]["integration"]["context"]
    assert signed["_token"] == "16e56f583390517c400459bb4114efce53ec4ebf4262866e73ac158fd64f3751"


def test_menus_come_last_with_their_options() -> None:
    menu = Menu("Environment", (("Live", "l"), ("Test", "t")))
    _, last = attachments(((Button("Yes", "yes"),),), (menu,), bot_token=TOKEN, binding=BOUND)
    (action,) = last["actions"]
    assert (action["type"], action["id"]) == ("select", "Environment")
    assert action["options"] == [{"text": "Live", "value": "l"}, {"text": "Test", "value": "t"}]


def test_no_buttons_no_attachments() -> None:
    assert attachments((), (), bot_token=TOKEN, binding=BOUND) == []


def test_what_is_checked_cannot_be_overridden() -> None:
    bound = ButtonBinding(
        URL, channel_id="chan1", nonce="n", expires_at=1, extra={"action_id": "evil", "__oc_nonce": "m", "k": 1}
    )
    assert context("yes", bound, {"__openclaw_channel_id": "other"}) == {
        "action_id": "yes",
        "__openclaw_channel_id": "chan1",
        "__oc_nonce": "n",
        "__oc_expires_at": 1,
        "k": 1,
    }
