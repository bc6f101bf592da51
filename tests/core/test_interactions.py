import json
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.buttons import ButtonBinding, attachments
from oc_trio.core.events import Post
from oc_trio.core.interactions import (
    EXPIRED,
    USED,
    ButtonCallback,
    Click,
    Notice,
    click_text,
    ephemeral_reply,
    not_allowed,
    read_button_callback,
    selected_reply,
    verify_click,
)
from oc_trio.core.presentation import Menu
from oc_trio.core.signing import sign_context
from oc_trio.core.turn_events import Button
from oc_trio.errors import CallbackRefused
from oc_trio.ids import ChannelId, PostId, UserId

TOKEN = "test-bot-token"
NOW = 1_000_000
BOUND = ButtonBinding("http://gw/mattermost/interactions/default", channel_id="c1", nonce="n1", expires_at=NOW + 1)
ROWS = ((Button("Yes", "yes!"), Button("No", "no")),)
MENU = Menu("Env", (("Live", "l"), ("Test", "t")))
MADE = attachments(ROWS, (MENU,), bot_token=TOKEN, binding=BOUND, text="Sure?")
CONTEXTS = {action["id"]: action["integration"]["context"] for each in MADE for action in each["actions"]}
# As the server gives it out: without the integrations.
SHOWN = [
    {**each, "actions": [{k: v for k, v in action.items() if k != "integration"} for action in each["actions"]]}
    for each in MADE
]
POST = Post(PostId("p1"), ChannelId("c1"), UserId("bot"), "Deploy?", props={"attachments": SHOWN, "mine": "kept"})


def body(context: Any = None, **changes: Any) -> bytes:
    """What Mattermost sends for a press, with changes."""
    payload = {
        "user_id": "u1",
        "user_name": "alice",
        "channel_id": "c1",
        "team_id": "t1",
        "post_id": "p1",
        "trigger_id": "trig",
        "type": "button",
        "context": CONTEXTS["yes"] if context is None else context,
    }
    return json.dumps({**payload, **changes}).encode()


def press(**changes: Any) -> ButtonCallback:
    return read_button_callback(body(**changes), bot_token=TOKEN)


def refusal(raw: bytes) -> tuple[int, dict[str, str]]:
    with pytest.raises(CallbackRefused) as caught:
        read_button_callback(raw, bot_token=TOKEN)
    return caught.value.status_hint, {"error": caught.value.reason}


@pytest.mark.parametrize(
    ("raw", "status", "words"),
    [
        pytest.param(b"", 400, "Invalid request body", id="empty"),
        pytest.param(b"{", 400, "Invalid request body", id="broken"),
        pytest.param(b"[]", 400, "Invalid request body", id="no object"),
        pytest.param(b"\xff", 400, "Invalid request body", id="not utf-8"),
        pytest.param(b"[" * 50_000, 400, "Invalid request body", id="deep"),
        pytest.param(b"{}", 400, "Missing context", id="no context"),
        pytest.param(body(context=[]), 400, "Missing context", id="context no object"),
        pytest.param(body(context={"action_id": "yes"}), 403, "Missing token", id="no token"),
        pytest.param(body(context={"action_id": "yes", "_token": 5}), 403, "Missing token", id="token no text"),
        pytest.param(body(context={"action_id": "yes", "_token": "0" * 64}), 403, "Invalid token", id="forged"),
        pytest.param(body(context={**CONTEXTS["yes"], "action_id": "no"}), 403, "Invalid token", id="changed action"),
        pytest.param(
            body(context={**CONTEXTS["yes"], "selected_option": "x"}), 403, "Invalid token", id="option on a button"
        ),
        pytest.param(
            body(context=sign_context("another-bot", {"action_id": "yes"})), 403, "Invalid token", id="another bot"
        ),
        pytest.param(
            body(context=sign_context(TOKEN, {"a": 1})), 400, "Missing action_id in context", id="no action id"
        ),
        pytest.param(
            body(context=sign_context(TOKEN, {"action_id": 3})), 400, "Missing action_id in context", id="odd action id"
        ),
        pytest.param(body(channel_id="c2"), 403, "Channel mismatch", id="foreign channel"),
        pytest.param(body(post_id=""), 400, "Invalid request body", id="no post"),
        pytest.param(body(user_id=None), 400, "Invalid request body", id="nobody"),
    ],
)
def test_refusals_in_the_documented_order_and_words(raw: bytes, status: int, words: str) -> None:
    assert refusal(raw) == (status, {"error": words})


@given(st.binary(max_size=300))
def test_no_body_gets_through_or_breaks_it(raw: bytes) -> None:
    assert refusal(raw)[0] in (400, 403)


def test_what_only_the_presser_reads() -> None:
    assert ephemeral_reply(not_allowed("#ops")) == {"ephemeral_text": "oc_trio ignored this action for #ops."}


def test_a_choice_of_a_user_needs_no_list_of_options() -> None:
    """With a data source the server offers the options, so any choice may be genuine."""
    shown = [{"actions": [{"id": "Env", "name": "Who", "type": "select", "data_source": "users"}]}]
    click = verify_click(menu_press("u7"), evolve(POST, props={"attachments": shown}), now_ms=NOW, used=False)
    assert isinstance(click, Click)
    assert (click.value, click.trigger) == ("u7", "interaction:p1:n1")


def test_a_press_is_read() -> None:
    assert (press().action_id, press().user_name, press().trigger) == ("yes", "alice", "interaction:p1:n1")


def test_a_scripts_context_without_channel_or_nonce_is_read() -> None:
    """The documented sample binds nothing; its click is admitted once per post and action."""
    read = press(context=sign_context(TOKEN, {"action_id": "mybutton01", "action": "approve"}), channel_id="c9")
    assert (read.trigger, read.custom) == ("interaction:p1:mybutton01", {"action": "approve"})


def test_a_click_is_verified() -> None:
    click = verify_click(press(), POST, now_ms=NOW, used=False)
    assert isinstance(click, Click)
    assert (click.label, click.value) == ("Yes", "yes!")


def menu_press(choice: str) -> ButtonCallback:
    return press(context={**CONTEXTS["Env"], "selected_option": choice}, type="select")


def test_a_choice_is_verified() -> None:
    click = verify_click(menu_press("t"), POST, now_ms=NOW, used=False)
    assert isinstance(click, Click)
    assert (click.label, click.value) == ("Test", "t")


@pytest.mark.parametrize(
    ("pressed", "post", "words"),
    [
        pytest.param(press(), evolve(POST, channel_id=ChannelId("c2")), "Post/channel mismatch", id="post elsewhere"),
        pytest.param(press(), evolve(POST, id=PostId("p2")), "Post/channel mismatch", id="another post"),
        pytest.param(press(), evolve(POST, props={}), "Unknown action", id="no attachments"),
        pytest.param(press(), evolve(POST, props={"attachments": "x"}), "Unknown action", id="odd attachments"),
        pytest.param(
            press(), evolve(POST, props={"attachments": [{"actions": [{"id": "yes"}]}]}), "Unknown action", id="no name"
        ),
        pytest.param(menu_press("forged"), POST, "Unknown action", id="never offered"),
    ],
)
def test_a_post_that_does_not_bear_the_click_out(pressed: ButtonCallback, post: Post, words: str) -> None:
    with pytest.raises(CallbackRefused) as caught:
        verify_click(pressed, post, now_ms=NOW, used=False)
    assert (caught.value.status_hint, caught.value.reason) == (403, words)


@pytest.mark.parametrize(
    ("now_ms", "used", "text"), [(NOW + 1, False, EXPIRED), (NOW, True, USED), (NOW + 9, True, EXPIRED)]
)
def test_a_late_or_second_click_gets_a_notice(now_ms: int, used: bool, text: str) -> None:
    assert verify_click(press(), POST, now_ms=now_ms, used=used) == Notice(text)


def test_the_reply_replaces_the_buttons_and_keeps_the_rest() -> None:
    """The message, other props and other attachments stay; other buttons go, for they would be dead."""
    others = [{"text": "report", "color": "#f00"}, {"text": "also", "actions": [{"id": "x", "name": "X"}]}]
    post = evolve(POST, props={"attachments": [others[0], *SHOWN, others[1]], "mine": "kept"})
    click = verify_click(press(), post, now_ms=NOW, used=False)
    assert isinstance(click, Click)
    assert selected_reply(click) == {
        "update": {
            "message": "Deploy?",
            "props": {
                "mine": "kept",
                "attachments": [others[0], {"text": "✓ **Yes** selected by @alice"}, {"text": "also"}],
            },
        }
    }


def test_the_agent_reads_label_and_data() -> None:
    click = verify_click(press(), POST, now_ms=NOW, used=False)
    assert isinstance(click, Click)
    assert click_text(click) == '[Button click: user @alice selected "Yes"]\ncallback_data: yes!'
    assert click_text(evolve(click, value="Yes")) == '[Button click: user @alice selected "Yes"]'
