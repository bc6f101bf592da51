"""Clicks end to end against the sandbox: forgery, replay, restart, strangers, the picker, and what the post shows."""

import json
from typing import Any

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock

from oc_trio.core.chat_commands import ChooseModel
from oc_trio.core.interactions import EXPIRED, USED
from oc_trio.core.ledger import Source
from oc_trio.core.mention_escape import clean, escape_channel_mentions
from oc_trio.core.model_picker import NOT_YOURS
from oc_trio.core.turn_events import Button
from oc_trio.mattermost.client import Api
from oc_trio.runtime.delivery.buttons import LIFETIME_MS
from oc_trio.runtime.handlers.callback_urls import plan_callbacks
from oc_trio.runtime.handlers.endpoints import open_endpoints
from oc_trio.sandbox.errors import ApiError
from oc_trio.sandbox.outgoing import IntegrationRequest, IntegrationResponse
from oc_trio.signing import build_button_attachments
from tests.runtime.callback_harness import MAIN, CallbackHarness, callback_harness

URL = "http://localhost:18789/mattermost/interactions/default"


def tamper(callbacks: CallbackHarness, **changes: Any) -> None:
    """From now on the bodies of callbacks arrive with these fields changed."""

    async def send(call: IntegrationRequest) -> IntegrationResponse:
        body = json.dumps({**json.loads(call.body), **changes}).encode()
        return await callbacks.post_out(IntegrationRequest(call.method, call.url, call.headers, body))

    callbacks.send = send


async def refused(callbacks: CallbackHarness, post: str, name: str) -> tuple[int, dict[str, str]]:
    with pytest.raises(ApiError):
        await callbacks.press(post, name)
    answer = callbacks.answers[-1]
    return answer.status, json.loads(answer.body)


async def test_a_click_becomes_a_message_and_the_post_says_so(autojump_clock: MockClock) -> None:
    """The buttons give way to the choice, and the agent gets label and callback data in the post's thread."""
    async with callback_harness().running() as callbacks:
        root = callbacks.world.post_as(callbacks.alice, callbacks.square, "deploy?")
        post = await callbacks.post_buttons("Yes", "No", root_id=root.id)
        await callbacks.press(post, "Yes")
        assert callbacks.shown(post) == ["✓ **Yes** selected by @alice"]
        assert callbacks.world.posts.live(post).message == "Choose"
        ((message, command),) = callbacks.admitted
        assert message.text == '[Button click: user @alice selected "Yes"]\ncallback_data: yes'
        assert message.is_marked
        assert (message.source, message.root_id, message.reply_root, command) == (Source.BUTTON, root.id, root.id, None)
        assert message.session.endswith(f":thread:{root.id}")


async def test_a_second_click_does_nothing(autojump_clock: MockClock) -> None:
    """A replayed press of the same post, on whichever button, finds the choice used."""
    async with callback_harness().running() as callbacks:
        post = await callbacks.post_buttons("Yes", "No")
        calls: list[IntegrationRequest] = []

        async def keep(call: IntegrationRequest) -> IntegrationResponse:
            calls.append(call)
            return await callbacks.post_out(call)

        callbacks.send = keep
        await callbacks.press(post, "Yes")
        # The post has no buttons any more, so a replay finds no such action; before the server drew that, it is used.
        callbacks.world.posts.live(post).props = {"attachments": [{"actions": [{"id": "yes", "name": "Yes"}]}]}
        answer = await callbacks.post_out(calls[0])
        assert json.loads(answer.body) == {"ephemeral_text": USED}
        assert len(callbacks.admitted) == 1


async def test_two_presses_at_the_same_moment_are_one_click(autojump_clock: MockClock) -> None:
    """Presses are not serialised by the server; the journal decides who was first."""
    async with callback_harness().running() as callbacks:
        post = await callbacks.post_buttons("Yes", "No")
        yes, no = callbacks.action_id(post, "Yes"), callbacks.action_id(post, "No")
        async with trio.open_nursery() as nursery:
            for action in (yes, no, yes):
                nursery.start_soon(callbacks.world.interactions.press, callbacks.alice, post, action, "", "")
        assert len(callbacks.admitted) == 1
        assert sorted("update" in json.loads(answer.body) for answer in callbacks.answers) == [False, False, True]


async def test_a_click_survives_a_restart_and_is_not_run_twice(autojump_clock: MockClock) -> None:
    """Admitted in one run, the click is an open obligation of the next, and can't be made again."""
    callbacks = callback_harness()
    async with callbacks.running():
        post = await callbacks.post_buttons("Yes", "No")
        shown = dict(callbacks.world.posts.live(post).props)
        await callbacks.press(post, "Yes")
        callbacks.world.posts.live(post).props = shown  # as if the server had never got our answer
    async with callbacks.running():
        (open_,) = await callbacks.store.obligations.open_for(MAIN)
        assert open_.source is Source.BUTTON
        assert await callbacks.press(post, "Yes") == {"ephemeral_text": USED}
        assert len(callbacks.admitted) == 1


async def test_a_button_of_an_earlier_run_still_works(autojump_clock: MockClock) -> None:
    """Nothing about a button is in memory."""
    callbacks = callback_harness()
    async with callbacks.running():
        post = await callbacks.post_buttons("Yes")
    async with callbacks.running():
        await callbacks.press(post, "Yes")
        assert callbacks.shown(post) == ["✓ **Yes** selected by @alice"]


async def test_who_may_not_click_is_told_so_and_uses_nothing_up(autojump_clock: MockClock) -> None:
    """A stranger's press is refused by policy; the one who may can still click."""
    async with callback_harness().running() as callbacks:
        post = await callbacks.post_buttons("Yes")
        reply = await callbacks.press(post, "Yes", by=callbacks.mallory)
        assert reply == {"ephemeral_text": "oc_trio ignored this action for ~square."}
        assert callbacks.admitted == []
        await callbacks.press(post, "Yes")
        assert len(callbacks.admitted) == 1


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        pytest.param({"channel_id": "otherchannel"}, 403, "Channel mismatch", id="foreign channel"),
        pytest.param({"context": {"action_id": "yes"}}, 403, "Missing token", id="unsigned"),
        pytest.param({"context": {"action_id": "yes", "_token": "f" * 64}}, 403, "Invalid token", id="forged"),
        pytest.param({"post_id": "p" * 26}, 500, "Failed to validate interaction", id="no such post"),
        pytest.param({"user_id": "u" * 26}, 500, "Interaction authorization failed", id="no such user"),
    ],
)
async def test_a_press_that_does_not_fit_is_refused(
    changes: dict[str, Any], status: int, error: str, autojump_clock: MockClock
) -> None:
    """Each forgery gets its documented answer; nothing is admitted."""
    async with callback_harness().running() as callbacks:
        post = await callbacks.post_buttons("Yes")
        tamper(callbacks, **changes)
        assert await refused(callbacks, post, "Yes") == (status, {"error": error})
        assert callbacks.admitted == []


async def test_a_context_of_another_post_is_refused(autojump_clock: MockClock) -> None:
    """A signed context used under a post that has no such button is unknown there."""
    async with callback_harness().running() as callbacks:
        post = await callbacks.post_buttons("Yes")
        other = callbacks.world.post_as(callbacks.mallory, callbacks.square, "look here")
        tamper(callbacks, post_id=other.id)
        assert await refused(callbacks, post, "Yes") == (403, {"error": "Unknown action"})


@pytest.mark.slow
async def test_an_expired_button_says_so(autojump_clock: MockClock) -> None:
    """After its lifetime a button does nothing but say that."""
    async with callback_harness().running() as callbacks:
        post = await callbacks.post_buttons("Yes")
        await trio.sleep(LIFETIME_MS / 1000 + 1)
        assert await callbacks.press(post, "Yes") == {"ephemeral_text": EXPIRED}
        assert callbacks.admitted == []


async def test_a_script_with_the_bots_token_can_make_buttons(autojump_clock: MockClock) -> None:
    """What `oc_trio.signing` builds works like our own, without a channel in it too."""
    async with callback_harness().running() as callbacks:
        made = build_button_attachments(
            bot_token=callbacks.bot.token, callback_url=URL, buttons=[[{"text": "Go", "callback_data": "go"}]]
        )
        post = callbacks.world.post_as(
            callbacks.alice, callbacks.square, "script", props={"attachments": made, "kept": 1}
        )
        await callbacks.press(post.id, "Go")
        assert callbacks.world.posts.live(post.id).props["kept"] == 1
        assert "callback_data: go" in callbacks.admitted[0][0].text


async def test_the_model_picker_is_walked_and_the_choice_goes_through_the_ledger(autojump_clock: MockClock) -> None:
    """Providers, pages, back, and a choice that becomes `/model NAME` of the picker's conversation."""
    async with callback_harness().running() as callbacks:
        await callbacks.registered()
        await callbacks.execute("/oc_model")
        await trio.sleep(1)
        (post,) = callbacks.posts()
        assert post.message.startswith("Current: big/m1")
        await callbacks.press(post.id, "Browse providers")
        await callbacks.press(post.id, "big (10)")
        names = [action["name"] for action in callbacks.actions(post.id)]
        assert names == ["m1 [current]", *[f"m{n}" for n in ("10", *range(2, 8))], "Next", "Back to providers"]
        await callbacks.press(post.id, "Next")
        assert await callbacks.press(post.id, "m8", by=callbacks.mallory) == {
            "ephemeral_text": "oc_trio ignored this action for ~square."
        }
        await callbacks.press(post.id, "m8")
        assert "m8 [current]" in [action["name"] for action in callbacks.actions(post.id)]
        ((message, command),) = callbacks.admitted
        assert (message.text, command) == ("/model big/m8", ChooseModel("big/m8"))
        await callbacks.press(post.id, "Back to providers")
        assert [action["name"] for action in callbacks.actions(post.id)] == ["big (10)", "small (1)"]


async def test_only_its_opener_uses_a_picker(autojump_clock: MockClock) -> None:
    """Another person who may talk to the bot still may not choose in somebody's picker."""
    async with callback_harness(groupPolicy="open").running() as callbacks:
        await callbacks.registered()
        await callbacks.execute("/oc_models")
        await trio.sleep(1)
        (post,) = callbacks.posts()
        assert await callbacks.press(post.id, "big (10)", by=callbacks.mallory) == {"ephemeral_text": NOT_YOURS}


async def test_a_menus_choice_is_taken_if_it_was_offered(autojump_clock: MockClock) -> None:
    """A select menu gives the option chosen; an option that was never offered is refused."""
    from oc_trio.core.presentation import Menu

    async with callback_harness().running() as callbacks:
        menu = Menu("Colour", (("Red", "r"), ("Blue", "b")))
        props = callbacks.buttons.props(callbacks.square.id, (), (menu,))  # type: ignore[arg-type]
        post = callbacks.world.post_as(callbacks.bot, callbacks.square, "Choose", props=props).id
        with pytest.raises(ApiError):
            await callbacks.press(post, "Colour", selected="green")
        await callbacks.press(post, "Colour", selected="b")
        assert callbacks.shown(post) == ["✓ **Blue** selected by @alice"]
        assert "callback_data: b" in callbacks.admitted[0][0].text


@pytest.mark.parametrize("allowed", [False, True])
async def test_the_clicked_post_pings_nobody(allowed: bool, autojump_clock: MockClock) -> None:
    """What takes the place of the post is as harmless as what is posted, unless `allowChannelMentions` is set."""
    async with callback_harness(allowChannelMentions=allowed).running() as callbacks:
        harmless = clean if allowed else escape_channel_mentions
        api = Api(callbacks.requests.services.api.transport, harmless)
        requests = evolve(callbacks.requests, services=evolve(callbacks.requests.services, api=api))
        plan = plan_callbacks(callbacks.loaded.config, callbacks.account)
        async with open_endpoints(requests, callbacks.registry, plan, callbacks.questions, callbacks.registration):
            rows = ((Button("Yes", "yes"),),)
            props = callbacks.buttons.props(callbacks.square.id, rows, text="for @here")  # type: ignore[arg-type]
            props["attachments"].insert(0, {"text": "hello @channel"})
            post = callbacks.world.post_as(callbacks.bot, callbacks.square, "Choose, @all", props=props)
            await callbacks.press(post.id, "Yes")
            shown = [callbacks.world.posts.live(post.id).message, *callbacks.shown(post.id)]
            assert [text.replace("\u200b", "") for text in shown] == [
                "Choose, @all",
                "hello @channel",
                "✓ **Yes** selected by @alice",
            ]
            assert ["\u200b" in text for text in shown] == [not allowed, not allowed, False]
