"""Hooks against the sandbox: runs, wakes, deliveries, and what the same key twice means."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, evolve
from trio.testing import MockClock, wait_all_tasks_blocked

from oc_trio.callbacks.app import build_app
from oc_trio.callbacks.endpoints import HookEndpoint
from oc_trio.core.entities import Channel, NewPost
from oc_trio.core.events import Post
from oc_trio.core.hooks import DeliverHook
from oc_trio.core.ledger import Source
from oc_trio.core.ratelimit import Lane
from oc_trio.core.targets import ChannelById, Target
from oc_trio.errors import StoreError, UnknownTarget
from oc_trio.ids import AgentId, ChannelId, OutboxId
from oc_trio.runtime.conversation.settings import load_settings
from oc_trio.runtime.handlers.hooks import HookDelivery, HookHandler, HookTarget
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from oc_trio.store.admission import Admissions
from oc_trio.store.context import Context
from oc_trio.store.engine import Tx
from oc_trio.store.sessions import SessionUse
from tests.logbook import Logbook
from tests.runtime.callback_harness import MAIN, CallbackHarness, callback_harness
from tests.runtime.harness import Harness

SECRET = "a-secret-of-hooks"


@define(eq=False)
class Caller:
    """Another program with the hooks' token."""

    callbacks: CallbackHarness

    async def post(self, kind: str, body: dict[str, Any], *, key: str = "") -> tuple[int, dict[str, Any]]:
        assert self.callbacks.app is not None
        headers = {"Authorization": f"Bearer {SECRET}", **({"Idempotency-Key": key} if key else {})}
        client: Any = self.callbacks.app.test_client()
        response = await client.post(f"/hooks/{kind}", json=body, headers=headers)
        return response.status_code, json.loads(await response.get_data())


async def start(callbacks: CallbackHarness, nursery: trio.Nursery) -> Caller:
    """Hooks of a running account; targets are channel ids."""

    async def locate(target: Target) -> Channel:
        if not isinstance(target, ChannelById):
            raise UnknownTarget("There is no such place.")
        return await callbacks.requests.services.directory.channel(target.id)

    hooks = HookHandler(MAIN, callbacks.requests.services.clock.new_id)
    delivery = HookDelivery(callbacks.requests, callbacks.buttons, nursery)
    callbacks.stack.enter_context(hooks.account(MAIN, HookTarget(callbacks.requests, locate, delivery.deliver)))
    callbacks.registry.hooks = HookEndpoint("/hooks", lambda: SECRET, hooks.take)
    callbacks.app = build_app(callbacks.registry, metrics=callbacks.metrics)
    return Caller(callbacks)


async def test_a_run_becomes_a_turn_that_answers_in_the_target(autojump_clock: MockClock) -> None:
    """The prompt is an obligation in the target's channel, in a session of the hook's own."""
    async with callback_harness().running() as callbacks, trio.open_nursery() as nursery:
        caller = await start(callbacks, nursery)
        status, answer = await caller.post(
            "agent",
            {"message": "summarise", "name": "cron", "to": f"channel:{callbacks.square.id}", "sessionKey": "daily"},
        )
        assert status == 202
        ((message, command),) = callbacks.admitted
        assert (message.text, message.user_name, message.channel_id) == ("summarise", "cron", callbacks.square.id)
        assert not evolve(message, text="[Event] summarise").is_marked
        assert (message.source, message.session, command) == (Source.HOOK, "agent:main:hook:daily", None)
        life = await callbacks.store.explain(answer["id"])
        assert life is not None


async def test_the_same_key_is_the_same_run(autojump_clock: MockClock) -> None:
    """A caller that tries again gets the id of its first try, and one turn."""
    async with callback_harness().running() as callbacks, trio.open_nursery() as nursery:
        caller = await start(callbacks, nursery)
        body = {"message": "once", "to": f"channel:{callbacks.square.id}"}
        first, second = await caller.post("agent", body, key="k"), await caller.post("agent", body, key="k")
        other = await caller.post("agent", body, key="k2")
        assert first == second != other
        assert len(callbacks.admitted) == 2


async def test_a_hook_sets_the_longest_turn(autojump_clock: MockClock) -> None:
    """`timeoutSeconds` travels with the message; without it the agent's own limit holds."""
    async with callback_harness().running() as callbacks, trio.open_nursery() as nursery:
        caller = await start(callbacks, nursery)
        for extra in ({"timeoutSeconds": 7}, {}):
            body = {"message": "go", "to": f"channel:{callbacks.square.id}", **extra}
            assert (await caller.post("agent", body))[0] == 202
        assert [message.time_limit for message, _ in callbacks.admitted] == [7.0, None]


async def test_a_wake_goes_to_the_last_conversation(autojump_clock: MockClock) -> None:
    """An event is told to the session that was used last, at once or with its next turn."""
    async with callback_harness().running() as callbacks, trio.open_nursery() as nursery:
        caller = await start(callbacks, nursery)
        key, services = "agent:main:x", callbacks.requests.services
        await callbacks.store.sessions.touch(SessionUse(key, MAIN, callbacks.square.id, "", AgentId("main"), 5))  # type: ignore[arg-type]
        assert (await caller.post("wake", {"text": "backup done"}))[0] == 202
        ((message, _),) = callbacks.admitted
        assert (message.text, message.session, message.is_marked) == ("[Event] backup done", key, True)
        event = {"text": "disk full", "mode": "next-heartbeat"}
        answers = [await caller.post("wake", event, key="d") for _ in range(2)]
        assert [status for status, _ in answers] == [202, 202]
        assert len(callbacks.admitted) == 1
        rows = await callbacks.store.context.take(message.session, services.clock.now_ms())
        assert [json.loads(row)["text"] for row in rows] == ["disk full"]
        assert await callbacks.store.explain(answers[0][1]["id"]) is not None


async def test_an_event_outlives_a_journal_that_fails_in_between(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, logbook: Logbook
) -> None:
    """A caller that is told to try again has its event told once, wherever the journal failed."""
    async with callback_harness().running() as callbacks, trio.open_nursery() as nursery:
        caller = await start(callbacks, nursery)
        key, services = "agent:main:x", callbacks.requests.services
        await callbacks.store.sessions.touch(SessionUse(key, MAIN, callbacks.square.id, "", AgentId("main"), 5))  # type: ignore[arg-type]
        event = {"text": "disk full", "mode": "next-heartbeat"}

        async def full(*_: object) -> None:
            raise StoreError("full")

        for broken in (Admissions, Context):
            with monkeypatch.context() as patch:
                patch.setattr(broken, "admit" if broken is Admissions else "add", full)
                assert (await caller.post("wake", event, key="d"))[0] == 503
        assert logbook.find("callback failed")
        assert (await caller.post("wake", event, key="d"))[0] == 202
        rows = await callbacks.store.context.take(key, services.clock.now_ms())  # type: ignore[arg-type]
        assert [json.loads(row)["text"] for row in rows] == ["disk full"]


async def post_run(caller: Caller, key: str, answers: list[int]) -> None:
    body = {"message": "go", "to": f"channel:{caller.callbacks.square.id}"}
    answers.append((await caller.post("agent", body, key=key))[0])


def stall(callbacks: CallbackHarness, nursery: trio.Nursery, gate: threading.Event) -> trio.Event:
    """Have the journal's thread wait for `gate` in a transaction; what is returned is set once it does."""
    has_begun, token = trio.Event(), trio.lowlevel.current_trio_token()

    def wait(_: Tx) -> None:
        token.run_sync_soon(has_begun.set)
        gate.wait(20)

    nursery.start_soon(callbacks.store._engine.run, wait)
    return has_begun


async def test_what_a_stalled_journal_refuses_is_never_answered(
    tmp_path: Path, mock_clock: MockClock, logbook: Logbook
) -> None:
    """The caller reads 503 after 10 s, and the hook is neither taken in later nor at the next start; repeated, it is
    taken in once.
    """
    callbacks, stalled, answers = callback_harness(), threading.Event(), list[int]()
    callbacks.journal = tmp_path / "journal.sqlite3"
    async with callbacks.running(), trio.open_nursery() as nursery:
        caller = await start(callbacks, nursery)
        await callbacks.registered()
        await stall(callbacks, nursery, stalled).wait()
        nursery.start_soon(post_run, caller, "k", answers)
        await wait_all_tasks_blocked()
        mock_clock.jump(9)
        await wait_all_tasks_blocked()
        assert answers == []
        mock_clock.jump(1)
        await wait_all_tasks_blocked()
        assert answers == [503]
        assert "did not begin within 10 s" in logbook.find("callback failed")[0]["problem"]
        stalled.set()
    async with callbacks.running(), trio.open_nursery() as nursery:
        assert await callbacks.store.obligations.open_for(MAIN) == ()
        assert callbacks.admitted == []
        await post_run(await start(callbacks, nursery), "k", answers)
        assert answers == [503, 202]
        assert len(callbacks.admitted) == 1


async def test_what_the_journal_has_begun_to_write_is_waited_for(tmp_path: Path, mock_clock: MockClock) -> None:
    """A commit that takes 25 s is no refusal: the caller reads 202, and the turn begins at once."""
    callbacks, gates, answers = callback_harness(), (threading.Event(), threading.Event()), list[int]()
    callbacks.journal = tmp_path / "journal.sqlite3"
    async with callbacks.running(), trio.open_nursery() as nursery:
        caller = await start(callbacks, nursery)
        await callbacks.registered()
        await stall(callbacks, nursery, gates[0]).wait()
        nursery.start_soon(post_run, caller, "k", answers)
        await wait_all_tasks_blocked()
        # In the same commit as the hook, behind it.
        has_begun = stall(callbacks, nursery, gates[1])
        await wait_all_tasks_blocked()
        gates[0].set()
        await has_begun.wait()
        mock_clock.jump(25)
        await wait_all_tasks_blocked()
        assert answers == []
        gates[1].set()
    assert answers == [202]
    assert len(callbacks.admitted) == 1


async def test_a_delivery_is_posted_once(autojump_clock: MockClock) -> None:
    """Text and buttons go out as one post, however often the caller tries; the id is known to explain."""
    async with callback_harness().running() as callbacks, trio.open_nursery() as nursery:
        caller = await start(callbacks, nursery)
        body = {
            "to": f"channel:{callbacks.square.id}",
            "text": "Deploy?",
            "buttons": [[{"text": "Go", "callback_data": "go"}]],
        }
        answers = [await caller.post("deliver", body, key="k") for _ in range(2)]
        assert [status for status, _ in answers] == [202, 202]
        (post,) = callbacks.posts()
        assert post.message == "Deploy?"
        assert await callbacks.store.explain(answers[0][1]["id"]) is not None
        await callbacks.press(post.id, "Go")
        assert "callback_data: go" in callbacks.admitted[0][0].text


async def test_a_caller_that_hangs_up_takes_no_delivery_along(autojump_clock: MockClock) -> None:
    """What is on its way goes on: whoever repeats the key is promised it, and nobody else would send it."""
    async with callback_harness().running() as callbacks, trio.open_nursery() as nursery:
        services = callbacks.requests.services

        async def slow(new: NewPost, lane: Lane, in_doubt: bool) -> Post:
            await trio.sleep(5)
            return await services.delivery.send(new, lane, in_doubt)

        requests = evolve(callbacks.requests, services=evolve(services, delivery=evolve(services.delivery, send=slow)))
        delivery = HookDelivery(requests, callbacks.buttons, nursery)
        hook = DeliverHook(ChannelById(ChannelId(callbacks.square.id)), "Deployed.")
        channel = await services.directory.channel(ChannelId(callbacks.square.id))
        with trio.move_on_after(1) as scope:
            await delivery.deliver(hook, channel, OutboxId("hook:deliver:k"))
        assert scope.cancelled_caught
        await delivery.deliver(hook, channel, OutboxId("hook:deliver:k"))
        await trio.sleep(10)
        assert [post.message for post in callbacks.posts()] == ["Deployed."]


async def test_a_delivery_that_was_refused_is_refused_again(autojump_clock: MockClock) -> None:
    """A caller that did not hear of the first refusal is not told that it will be posted."""
    async with callback_harness().running() as callbacks, trio.open_nursery() as nursery:
        caller = await start(callbacks, nursery)
        body = {"to": f"channel:{callbacks.square.id}", "text": "x" * 20_000}
        answers = [await caller.post("deliver", body, key="k") for _ in range(2)]
        assert [status for status, _ in answers] == [400, 400]
        assert all("longer than allowed" in answer["error"] for _, answer in answers)
        assert callbacks.posts() == []


async def test_a_delivery_whose_file_can_not_be_uploaded_now_is_not_refused_for_good(harness: Harness) -> None:
    """Mattermost is away: the caller is told to come again, and nothing is posted."""
    gateway = await harness.start(hooks={"enabled": True, "token": SECRET})
    asked: list[str] = []

    async def refuse(request: SandboxRequest) -> SandboxResponse | None:
        await trio.lowlevel.checkpoint()
        asked.append(request.path)
        return SandboxResponse(503) if request.path.endswith("/config/client") else None

    harness.faults.before_rules.append(refuse)
    client: Any = build_app(gateway.port.registry, metrics=gateway.metrics).test_client()
    body = {"to": f"channel:{harness.square.id}", "text": "x", "media": ["https://files.example/a.png"]}
    response = await client.post("/hooks/deliver", json=body, headers={"Authorization": f"Bearer {SECRET}"})
    assert response.status_code == 503
    assert "Mattermost can't be asked now" in json.loads(await response.get_data())["error"]
    assert sum(path.endswith("/config/client") for path in asked) == 4
    assert harness.answers() == []


@pytest.mark.slow
async def test_more_files_than_a_post_takes_are_refused(autojump_clock: MockClock) -> None:
    """In a sentence, before any of them is fetched; ten are not too many."""
    async with callback_harness().running() as callbacks, trio.open_nursery() as nursery:
        caller = await start(callbacks, nursery)
        body = {"to": f"channel:{callbacks.square.id}", "text": "x"}
        tries = [{**body, "media": ["http://nowhere.example/a.png"] * count} for count in (11, 10)]
        (many, few) = [await caller.post("deliver", each, key=f"k{len(each['media'])}") for each in tries]
        assert many[0] == 400
        assert "a post takes 10 files at most, and here are 11" in many[1]["error"]
        assert "at most" not in few[1]["error"]
        assert callbacks.posts() == []


@pytest.mark.parametrize(
    ("kind", "body", "status", "words"),
    [
        pytest.param("agent", {"message": "x", "to": "#nowhere"}, 400, "no such place", id="unknown target"),
        pytest.param("agent", {"message": "x"}, 400, "no conversation yet", id="no target and no conversation"),
        pytest.param("agent", {"message": "x", "model": "none/such"}, 400, "no model", id="unknown model"),
        pytest.param("agent", {"message": "x", "agentId": "nobody"}, 400, "no agent", id="unknown agent"),
        pytest.param("agent", {"message": "x", "deliver": False}, 400, "deliver", id="no delivery"),
        pytest.param("wake", {"text": "x", "account": "other"}, 503, "not running", id="account is not there"),
        pytest.param("deliver", {"to": f"channel:{'z' * 26}", "text": "x"}, 400, "refuses", id="channel is not there"),
    ],
)
async def test_a_hook_that_cannot_be_done_is_refused_in_words(
    kind: str, body: dict[str, Any], status: int, words: str, autojump_clock: MockClock
) -> None:
    """The answer names what is wrong; nothing is admitted."""
    async with callback_harness().running() as callbacks, trio.open_nursery() as nursery:
        caller = await start(callbacks, nursery)
        got, answer = await caller.post(kind, body)
        assert (got, words in answer["error"]) == (status, True)
        assert callbacks.admitted == []


async def test_a_model_is_set_for_the_hooks_own_session(autojump_clock: MockClock) -> None:
    """What a hook chooses is not what people in the channel get."""
    async with callback_harness().running() as callbacks, trio.open_nursery() as nursery:
        caller = await start(callbacks, nursery)
        to = f"channel:{callbacks.square.id}"
        await caller.post("agent", {"message": "x", "to": to, "model": "small/one", "thinking": "high"})
        ((message, _),) = callbacks.admitted
        settings = await load_settings(callbacks.requests.services.store, message.session)
        assert (settings.model, settings.thinking) == ("small/one", "high")
