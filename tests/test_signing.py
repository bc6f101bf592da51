import time

import pytest

from oc_trio.core.buttons import EXPIRES_AT, NONCE
from oc_trio.signing import BadPresentation, build_button_attachments, sign_context, verify_context

TOKEN = "test-bot-token"
URL = "https://gateway.example.com/mattermost/interactions/default"


def test_a_scripts_buttons_verify() -> None:
    rows = [[{"text": "Approve", "callback_data": "approve"}, {"text": "Deny", "callback_data": "deny"}]]
    (attachment,) = build_button_attachments(
        bot_token=TOKEN, callback_url=URL, buttons=rows, channel_id="c1", text="Deploy?", context={"build": 7}
    )
    contexts = [action["integration"]["context"] for action in attachment["actions"]]
    assert [each["action_id"] for each in contexts] == [action["id"] for action in attachment["actions"]]
    assert all(verify_context(TOKEN, each) and each["build"] == 7 for each in contexts)
    assert len({each[NONCE] for each in contexts}) == 1


def test_single_use_and_expiry_are_choices() -> None:
    before = time.time() * 1000
    (attachment,) = build_button_attachments(
        bot_token=TOKEN,
        callback_url=URL,
        buttons=[{"text": "Yes", "callback_data": "yes"}],
        expires_in=60,
        single_use=False,
    )
    context = attachment["actions"][0]["integration"]["context"]
    assert NONCE not in context
    assert before + 59_000 < context[EXPIRES_AT] < time.time() * 1000 + 61_000


def test_two_posts_have_different_nonces() -> None:
    made = [
        build_button_attachments(bot_token=TOKEN, callback_url=URL, buttons=[{"text": "Y", "callback_data": "y"}])
        for _ in range(2)
    ]
    nonces = {each[0]["actions"][0]["integration"]["context"][NONCE] for each in made}
    assert len(nonces) == 2


@pytest.mark.parametrize("button", [{"text": "Docs", "url": "https://x.example"}, {"text": "Yes"}, {}])
def test_what_cannot_be_a_button_is_refused(button: dict[str, str]) -> None:
    with pytest.raises(BadPresentation, match="button"):
        build_button_attachments(bot_token=TOKEN, callback_url=URL, buttons=[[button]])


def test_the_facade_signs_what_it_verifies() -> None:
    signed = sign_context(TOKEN, {"action_id": "mybutton01", "action": "approve"})
    assert signed["_token"] == "0acfa571485b629a77b08e8c73cf4ef10551f7b6d54d0a689230a2cb3c6006dc"
    assert verify_context(TOKEN, signed)
