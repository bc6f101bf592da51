"""Callbacks that arrive at a process which does not serve the account: verified there, handled where it is served."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import Random
from typing import Any

import pytest
import trio
from attrs import define, evolve, field, frozen
from trio.testing import MockClock

from oc_trio.admin.operator_page import ActionRefused
from oc_trio.callbacks.app import build_app
from oc_trio.callbacks.endpoints import HookEndpoint
from oc_trio.callbacks.reply import UNAVAILABLE
from oc_trio.config.load import build
from oc_trio.core.entities import Channel
from oc_trio.core.membership import ProcessInfo
from oc_trio.core.questions import Answer, Question
from oc_trio.core.relayed import (
    CLICK_ACCEPTED,
    COMMAND_ACCEPTED,
    DIALOG_UNANSWERED,
    FORM_UNANSWERED,
    NoticeKind,
    RelayedAnswer,
    RelayedHook,
    StopSession,
)
from oc_trio.core.slash import INVALID_TOKEN, NOT_READY, PROCESSING
from oc_trio.core.targets import ChannelById, Target
from oc_trio.errors import CallbackRefused, FenceRefused, StoreError, UnknownTarget
from oc_trio.ids import AgentId, ChannelId, SessionKey
from oc_trio.mattermost.rest.posts import PostsApi
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.account.live_accounts import LiveAccounts
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.handlers import relay as relay_module
from oc_trio.runtime.handlers.callback_urls import plan_callbacks
from oc_trio.runtime.handlers.endpoints import OpenEndpoints, build_registry, open_endpoints
from oc_trio.runtime.handlers.hooks import HookDelivery, HookHandler, HookTarget
from oc_trio.runtime.handlers.questions import QuestionPlace
from oc_trio.runtime.handlers.relay import Relay
from oc_trio.runtime.handlers.relay_endpoints import BURST, RelayEndpoints, set_relayed
from oc_trio.runtime.handlers.relayed_requests import RelayedHandlers, open_relayed_requests
from oc_trio.runtime.operator.stop_session import stop_by_journal
from oc_trio.runtime.process.operator_actions import OperatorActions
from oc_trio.sandbox.errors import ApiError
from oc_trio.sandbox.outgoing import IntegrationRequest, IntegrationResponse
from oc_trio.store.admission import Admissions
from oc_trio.store.relayed import Relayed
from oc_trio.store.sessions import SessionUse
from oc_trio.telemetry.health import Health
from tests.logbook import Logbook
from tests.runtime.callback_harness import MAIN, CallbackHarness, callback_harness, now_ms

SECRET = "a-secret-of-hooks"


@define(eq=False)
class TwoProcesses:
    """The account runs in one process, its holder; Mattermost calls the other one."""

    callbacks: CallbackHarness
    relay: Relay
    holder: Relay
    endpoints: OpenEndpoints
    hooks: HookHandler
    elsewhere: RelayEndpoints
    stopped: list[str] = field(factory=list)
    # The bodies of requests that open a form.
    opened: list[dict[str, Any]] = field(factory=list)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """The holder is there: for as long as the block runs."""

        async def hook(named: RelayedHook) -> str:
            return await self.hooks.handle(MAIN, named)

        def stop(session: SessionKey) -> bool:
            self.stopped.append(session)
            return session == "running"

        handlers = RelayedHandlers(self.endpoints.buttons, self.endpoints.command, hook, stop)
        async with open_relayed_requests(self.holder, self.callbacks.requests.services, handlers):
            yield

    @property
    def status(self) -> int:
        """Of the last answer."""
        return self.callbacks.answers[-1].status

    async def shown(self) -> dict[str, Any]:
        """What the last answer says."""
        await trio.lowlevel.checkpoint()
        answer: dict[str, Any] = json.loads(self.callbacks.answers[-1].body)
        return answer

    async def press(self, post: str, name: str) -> dict[str, Any]:
        return dict(await self.callbacks.press(post, name))

    async def hook(self, kind: str, body: dict[str, Any], secret: str = SECRET) -> tuple[int, dict[str, Any]]:
        """Another program calls the process that does not serve the account."""
        client: Any = self.callbacks.app.test_client()  # type: ignore[union-attr]
        headers = {"Authorization": f"Bearer {secret}"}
        response = await client.post(f"/hooks/{kind}", json=body, headers=headers)
        return response.status_code, json.loads(await response.get_data())

    def forms(self) -> list[dict[str, Any]]:
        """Each form that was opened, as alice sends it back."""
        return [
            {
                "url": opened["url"],
                "callback_id": opened["dialog"]["callback_id"],
                "state": opened["dialog"]["state"],
                "channel_id": self.callbacks.square.id,
                "submission": {"answer": "Because."},
            }
            for opened in self.opened
        ]

    async def open_rows(self) -> int:
        return len(await self.callbacks.store.relayed.open_for(MAIN))


@asynccontextmanager
async def two_processes(callbacks: CallbackHarness) -> AsyncIterator[TwoProcesses]:
    """The holder has registered its commands; nobody handles what is relayed until `serving`."""
    async with callbacks.running(), AsyncExitStack() as stack:
        await callbacks.registered()
        nursery = await stack.enter_async_context(trio.open_nursery())
        stack.callback(nursery.cancel_scope.cancel)
        services, store = callbacks.requests.services, callbacks.store
        relays = [Relay(store, Clock(now_ms, Random(number)), callbacks.metrics, f"p{number}") for number in (1, 2)]
        for relay in relays:
            nursery.start_soon(relay.run)

        async def locate(target: Target) -> Channel:
            if not isinstance(target, ChannelById):
                raise UnknownTarget("There is no such place.")
            return await services.directory.channel(target.id)

        hooks = HookHandler(MAIN, services.clock.new_id)
        delivery = HookDelivery(callbacks.requests, callbacks.buttons, nursery)
        stack.enter_context(hooks.account(MAIN, HookTarget(callbacks.requests, locate, delivery.deliver)))
        plan = plan_callbacks(callbacks.loaded.config, callbacks.account)
        (command,) = {
            id(each): each for each in callbacks.registry.commands_at(plan.command_paths[0]).values()
        }.values()
        buttons = callbacks.registry.clicks_of(MAIN)
        assert buttons is not None
        elsewhere = RelayEndpoints.of(relays[0], Health(now_ms))
        registry = build_registry(callbacks.loaded.accounts)
        # With tokens, which the harness leaves out.
        set_relayed(registry, build(callbacks.loaded.document, {}).accounts, elsewhere)
        their_hooks = HookHandler(MAIN, relays[0].clock.new_id, elsewhere.hook)
        registry.hooks = HookEndpoint("/hooks", lambda: SECRET, their_hooks.take)
        callbacks.app = build_app(registry, metrics=callbacks.metrics)
        two = TwoProcesses(callbacks, relays[0], relays[1], OpenEndpoints(buttons, command), hooks, elsewhere)
        callbacks.world.interactions.open_dialog = two.opened.append  # type: ignore[method-assign, assignment]
        yield two


async def test_a_command_is_answered_as_by_the_holder(autojump_clock: MockClock) -> None:
    """Its caller reads what a direct call gives, and the command goes to the chat commands, once."""
    async with two_processes(callback_harness()) as two, two.serving():
        shown = await two.callbacks.execute("/oc_status")
        assert (shown["response_type"], shown["text"]) == ("ephemeral", PROCESSING)
        ((message, _),) = two.callbacks.admitted
        assert message.text == "/status"
        assert await two.open_rows() == 0


async def test_who_may_not_is_told_so_by_the_holder(autojump_clock: MockClock) -> None:
    """The access policy is asked where the account is served."""
    async with two_processes(callback_harness()) as two, two.serving():
        shown = await two.callbacks.execute("/oc_status", by=two.callbacks.mallory)
        assert shown["text"] not in (PROCESSING, COMMAND_ACCEPTED)
        assert two.callbacks.admitted == []


async def test_a_command_while_nobody_serves_the_account_is_received_and_done_once(autojump_clock: MockClock) -> None:
    """Its caller reads so within Mattermost's time; the next holder takes it, and a third nothing more."""
    async with two_processes(callback_harness()) as two:
        began = trio.current_time()
        shown = await two.callbacks.execute("/oc_new")
        assert shown["text"] == COMMAND_ACCEPTED
        assert trio.current_time() - began < 2.5
        assert two.callbacks.admitted == []
        for _ in range(2):
            async with two.serving():
                await trio.sleep(2)
        assert [message.text for message, _ in two.callbacks.admitted] == ["/new"]


async def test_a_click_is_answered_with_the_update(autojump_clock: MockClock) -> None:
    """The post shows the choice, and a second click finds no button."""
    async with two_processes(callback_harness()) as two, two.serving():
        post = await two.callbacks.post_buttons("Yes", "No")
        await two.press(post, "Yes")
        assert two.callbacks.shown(post) == ["✓ **Yes** selected by @alice"]
        assert len(two.callbacks.admitted) == 1


async def test_a_late_click_is_done_once_and_the_post_says_so(autojump_clock: MockClock) -> None:
    """Mattermost had its answer long ago, so the holder changes the post itself."""
    async with two_processes(callback_harness()) as two:
        post = await two.callbacks.post_buttons("Yes", "No")
        assert await two.press(post, "Yes") == {"ephemeral_text": CLICK_ACCEPTED}
        assert await two.press(post, "No") == {"ephemeral_text": CLICK_ACCEPTED}
        async with two.serving():
            await trio.sleep(5)
        assert two.callbacks.shown(post) == ["✓ **Yes** selected by @alice"]
        ((message, _),) = two.callbacks.admitted
        assert "callback_data: yes" in message.text


async def test_a_click_counts_once_whichever_process_it_reaches(autojump_clock: MockClock) -> None:
    """One goes to the holder, one to the other, at the same moment."""
    async with two_processes(callback_harness()) as two, two.serving():
        callbacks = two.callbacks
        post = await callbacks.post_buttons("Yes", "No")
        direct = build_app(callbacks.registry, metrics=callbacks.metrics)
        apps, count = [direct, callbacks.app], 0

        async def alternating(call: IntegrationRequest) -> IntegrationResponse:
            nonlocal count
            count += 1
            callbacks.app = apps[count % 2]
            return await callbacks.post_out(call)

        callbacks.send = alternating
        ids = callbacks.action_id(post, "Yes"), callbacks.action_id(post, "No")

        async def press(action: str) -> None:
            # The second may find the post without buttons.
            with suppress(ApiError):
                await callbacks.world.interactions.press(callbacks.alice, post, action, "", "")

        async with trio.open_nursery() as nursery:
            for action in ids:
                nursery.start_soon(press, action)
        assert len(callbacks.admitted) == 1
        assert sorted(b"update" in answer.body for answer in callbacks.answers[-2:]) == [False, True]


async def test_what_is_forged_is_refused_where_it_arrives(autojump_clock: MockClock) -> None:
    """Nothing of it gets into the journal."""
    async with two_processes(callback_harness()) as two, two.serving():
        post = await two.callbacks.post_buttons("Yes")

        async def forge(call: IntegrationRequest) -> IntegrationResponse:
            body = json.loads(call.body)
            body["context"]["callback_data"] = "other"
            return await two.callbacks.post_out(
                IntegrationRequest(call.method, call.url, call.headers, json.dumps(body).encode())
            )

        two.callbacks.send = forge
        with pytest.raises(ApiError):
            await two.press(post, "Yes")
        assert two.status == 403
        assert (await two.hook("wake", {"text": "news"}, secret="wrong"))[0] == 401
        assert two.callbacks.database.execute("SELECT COUNT(*) FROM relayed").fetchone() == (0,)


async def test_a_command_waits_for_a_server_that_can_not_be_asked_about_its_token(autojump_clock: MockClock) -> None:
    """Its caller has read that it was received: an outage of Mattermost must not undo that."""
    async with two_processes(callback_harness()) as two:
        assert (await two.callbacks.execute("/oc_new"))["text"] == COMMAND_ACCEPTED
        tokens = [(each, each.token) for each in two.callbacks.world.commands.of_team(two.callbacks.team.id)]
        for command, _ in tokens:
            command.token = "n" * 26
        async with two.serving():
            await trio.sleep(8)
            assert two.callbacks.admitted == []
            for command, token in tokens:
                command.token = token
            await trio.sleep(20)
        assert [message.text for message, _ in two.callbacks.admitted] == ["/new"]


async def test_a_token_that_was_regenerated_is_asked_about(autojump_clock: MockClock) -> None:
    """The journal does not have it yet, and the holder does what it does for a direct call: it asks Mattermost."""
    async with two_processes(callback_harness()) as two, two.serving():
        for command in two.callbacks.world.commands.of_team(two.callbacks.team.id):
            command.token = "n" * 26
        assert (await two.callbacks.execute("/oc_status"))["text"] == PROCESSING


async def test_unknown_tokens_are_let_through_a_few_at_a_time(autojump_clock: MockClock) -> None:
    """Whoever guesses fills no journal; while nobody serves the account such a call leaves nothing behind."""
    async with two_processes(callback_harness()) as two:

        async def forge(call: IntegrationRequest) -> IntegrationResponse:
            token = next(c.token for c in two.callbacks.world.commands.of_team(two.callbacks.team.id))
            body = b"&".join(
                b"token=" + b"x" * 26 if part.startswith(b"token=") else part for part in call.body.split(b"&")
            )
            assert token.encode() not in body
            headers = tuple(pair for pair in call.headers if pair[0].lower() != "authorization")
            return await two.callbacks.post_out(IntegrationRequest(call.method, call.url, headers, body))

        two.callbacks.send = forge
        async with trio.open_nursery() as nursery:

            async def call() -> None:
                with pytest.raises(ApiError):
                    await two.callbacks.execute("/oc_status")

            for _ in range(int(BURST) + 2):
                nursery.start_soon(call)
        bodies = [json.loads(answer.body)["text"] for answer in two.callbacks.answers]
        assert sorted(set(bodies)) == sorted({INVALID_TOKEN, NOT_READY})
        assert bodies.count(NOT_READY) == BURST
        assert await two.open_rows() == 0


async def test_a_hook_is_accepted_and_becomes_one_turn(autojump_clock: MockClock) -> None:
    """With its id, which `oc-trio explain` knows; the same key is the same turn."""
    async with two_processes(callback_harness()) as two, two.serving():
        body = {"message": "summarise", "to": f"channel:{two.callbacks.square.id}", "idempotencyKey": "k1"}
        answers = [await two.hook("agent", body) for _ in range(2)]
        assert answers[0] == answers[1]
        assert answers[0][0] == 202
        ((message, _),) = two.callbacks.admitted
        assert message.trigger == answers[0][1]["id"]


async def test_a_hook_without_a_holder_is_accepted_and_done_later(autojump_clock: MockClock) -> None:
    """It is in the journal by then, which is what 202 says."""
    async with two_processes(callback_harness()) as two:
        status, answer = await two.hook("agent", {"message": "go", "to": f"channel:{two.callbacks.square.id}"})
        assert status == 202
        async with two.serving():
            await trio.sleep(2)
        assert [message.trigger for message, _ in two.callbacks.admitted] == [answer["id"]]


async def test_what_the_holder_refuses_is_refused_to_the_caller(autojump_clock: MockClock) -> None:
    """With its words."""
    async with two_processes(callback_harness()) as two, two.serving():
        status, answer = await two.hook("deliver", {"to": "@nobody", "text": "hi"})
        assert (status, "There is no such place." in json.dumps(answer)) == (400, True)


async def test_the_same_hook_is_handled_once_though_its_holder_died_before_the_answer(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between the effect and the end of the row: the next holder takes it again, and finds it done."""
    async with two_processes(callback_harness()) as two:
        real = Relayed.end

        async def dies(*_: Any) -> bool:
            await trio.sleep_forever()
            raise AssertionError

        monkeypatch.setattr(Relayed, "end", dies)
        post = await two.callbacks.post_buttons("Yes")
        with trio.move_on_after(10):
            async with two.serving():
                await two.press(post, "Yes")
                await two.callbacks.execute("/oc_status")
                await two.hook("agent", {"message": "go", "to": f"channel:{two.callbacks.square.id}"})
                await trio.sleep_forever()
        assert len(two.callbacks.admitted) == 2
        monkeypatch.setattr(Relayed, "end", real)
        async with two.serving():
            await trio.sleep(5)
        assert len(two.callbacks.admitted) == 3
        assert await two.open_rows() == 0


async def test_a_form_is_opened_by_the_holder_within_its_time(autojump_clock: MockClock) -> None:
    """The dialog comes, its answer reaches the turn that waits, and closes it."""
    async with two_processes(callback_harness()) as two, two.serving():
        callbacks, answers = two.callbacks, []
        place = QuestionPlace(SessionKey("s"), ChannelId(callbacks.square.id))

        async def ask() -> None:
            answers.append(await callbacks.questions.ask(Question("q1", "Why?"), place))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.sleep(1)
            (post,) = [post for post in callbacks.posts() if post.message == "Why?"]
            began = trio.current_time()
            await two.press(post.id, "Answer")
            assert trio.current_time() - began < 3.0
            (submission,) = two.forms()
            await callbacks.world.interactions.submit_dialog(callbacks.alice, submission)
        assert answers == [Answer("q1", "Because.")]


async def test_a_form_that_nobody_opens_is_to_be_asked_for_again(autojump_clock: MockClock) -> None:
    """And is not opened later: the id for it has expired by then."""
    async with two_processes(callback_harness()) as two:
        callbacks = two.callbacks
        place = QuestionPlace(SessionKey("s"), ChannelId(callbacks.square.id))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(callbacks.questions.ask, Question("q1", "Why?"), place)
            await trio.sleep(1)
            (post,) = [post for post in callbacks.posts() if post.message == "Why?"]
            assert await two.press(post.id, "Answer") == {"ephemeral_text": FORM_UNANSWERED}
            assert await two.open_rows() == 0
            nursery.cancel_scope.cancel()


async def test_one_persons_requests_are_handled_in_order(autojump_clock: MockClock) -> None:
    """As they typed them; nothing of it waits for other people."""
    async with two_processes(callback_harness()) as two:
        for line in ("/oc_new", "/oc_status", "/oc_stop"):
            await two.callbacks.execute(line)
        async with two.serving():
            await trio.sleep(5)
        assert [message.text for message, _ in two.callbacks.admitted] == ["/new", "/status", "/stop"]


async def test_a_conversation_is_stopped_by_its_holder(autojump_clock: MockClock) -> None:
    """What an operator does at another process; the answer says whether anything ran."""
    async with two_processes(callback_harness()) as two, two.serving():
        for session, is_stopped in (("running", True), ("idle", False)):
            answer = await two.relay.ask(MAIN, StopSession(SessionKey(session)))
            assert answer == RelayedAnswer(is_stopped)
        assert two.stopped == ["running", "idle"]


async def test_too_much_that_waits_is_refused(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, logbook: Logbook
) -> None:
    """The journal is no place to fill."""
    monkeypatch.setattr(relay_module, "MAX_OPEN_ROWS", 1)
    async with two_processes(callback_harness()) as two:
        await two.callbacks.execute("/oc_new")
        with pytest.raises(ApiError):
            await two.callbacks.execute("/oc_new")
        assert (two.status, (await two.shown())["text"]) == (503, UNAVAILABLE)
        assert logbook.find("too many requests wait for a process that serves the account")


async def test_a_journal_that_is_away_refuses_and_what_was_accepted_waits_for_it(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, logbook: Logbook
) -> None:
    """Nothing is answered as received that is in no journal; what was, is tried until the journal takes it."""
    async with two_processes(callback_harness()) as two:
        await two.callbacks.execute("/oc_new")
        real = Admissions.admit_soon

        async def away(*_: Any, **_options: Any) -> Any:
            raise StoreError("away")

        monkeypatch.setattr(Admissions, "admit_soon", away)
        async with two.serving():
            await trio.sleep(10)
            assert two.callbacks.admitted == []
            monkeypatch.setattr(Admissions, "admit_soon", real)
            await trio.sleep(30)
        assert [message.text for message, _ in two.callbacks.admitted] == ["/new"]
        assert len(logbook.find("a relayed request waits for the journal")) == 1
        monkeypatch.setattr(Relayed, "put", away)
        with pytest.raises(ApiError):
            await two.callbacks.execute("/oc_new")
        assert two.status == 503
        assert logbook.find("callback failed")


async def test_a_row_of_another_release_fails_alone(autojump_clock: MockClock, logbook: Logbook) -> None:
    """It is ended with a line in the log, and the others are handled."""
    async with two_processes(callback_harness()) as two, two.serving():
        two.callbacks.database.execute(
            "INSERT INTO relayed (id, account, kind, body, process, created_at, state, given_up_at, answer, ended_at)"
            " VALUES ('odd', ?, 'click', '[1]', 'p9', ?, 'waiting', 0, '', 0)",
            (MAIN, now_ms()),
        )
        assert (await two.callbacks.execute("/oc_status"))["text"] == PROCESSING
        await trio.sleep(1)
        assert await two.open_rows() == 0
        assert logbook.find("a relayed request can't be read")


async def test_an_answer_to_a_form_that_nobody_takes_can_be_sent_again(autojump_clock: MockClock) -> None:
    """The dialog stays open with what was written, and says so."""
    async with two_processes(callback_harness()) as two:
        callbacks = two.callbacks
        place = QuestionPlace(SessionKey("s"), ChannelId(callbacks.square.id))
        answers = []

        async def ask() -> None:
            answers.append(await callbacks.questions.ask(Question("q1", "Why?"), place))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.sleep(1)
            (post,) = [post for post in callbacks.posts() if post.message == "Why?"]
            async with two.serving():
                await two.press(post.id, "Answer")
            (submission,) = two.forms()
            refused = await callbacks.world.interactions.submit_dialog(callbacks.alice, submission)
            assert DIALOG_UNANSWERED in json.dumps(refused)
            async with two.serving():
                await callbacks.world.interactions.submit_dialog(callbacks.alice, submission)
        assert answers == [Answer("q1", "Because.")]


async def test_a_request_larger_than_any_is_refused(autojump_clock: MockClock) -> None:
    """Before it is written."""
    async with two_processes(callback_harness()) as two:
        with pytest.raises(CallbackRefused, match="too_large"):
            await two.relay.ask(MAIN, StopSession(SessionKey("x" * 1_000_001)))


async def test_a_notice_reaches_all_other_processes_once(autojump_clock: MockClock) -> None:
    """Also one that starts at that moment; not who gave it, and none that was given long before."""
    async with two_processes(callback_harness()) as two:
        followed: list[str] = []
        two.holder.follow(NoticeKind.RELOAD, lambda: followed.append("holder reads"))
        two.relay.follow(NoticeKind.RELOAD, lambda: followed.append("relay reads"))
        two.holder.follow(NoticeKind.JOBS, lambda: followed.append("holder looks"))
        two.relay.announce(NoticeKind.RELOAD)
        two.relay.announce(NoticeKind.RELOAD)
        await trio.sleep(2)
        assert followed == ["holder reads"]
        two.relay.announce(NoticeKind.JOBS)
        await trio.sleep(2)
        assert followed == ["holder reads", "holder looks"]
        for name, seconds in (("early", 0), ("late", 60)):
            await trio.sleep(seconds)
            fresh = Relay(two.callbacks.store, Clock(now_ms, Random(9)), two.callbacks.metrics, name)
            fresh.follow(NoticeKind.RELOAD, lambda name=name: followed.append(f"{name} reads"))  # type: ignore[misc]
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fresh.run)
                await trio.sleep(2)
                nursery.cancel_scope.cancel()
        assert followed[2:] == ["early reads"]


async def test_a_notice_waits_for_a_journal_that_is_away(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, logbook: Logbook
) -> None:
    """It is given when the journal is back, and the log says once why nothing is read."""
    async with two_processes(callback_harness()) as two:
        followed: list[str] = []
        two.holder.follow(NoticeKind.JOBS, lambda: followed.append("looks"))
        real = Relayed.announce

        async def away(*_: Any) -> None:
            raise StoreError("away")

        monkeypatch.setattr(Relayed, "announce", away)
        two.relay.announce(NoticeKind.JOBS)
        await trio.sleep(5)
        assert len(logbook.find("relayed requests can't be read")) == 1
        monkeypatch.setattr(Relayed, "announce", real)
        await trio.sleep(2)
        assert followed == ["looks"]


async def test_a_notice_that_is_given_while_one_is_written(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is one of its own: others may have followed the first one already."""
    async with two_processes(callback_harness()) as two:
        followed: list[str] = []
        two.holder.follow(NoticeKind.RELOAD, lambda: followed.append("reads"))
        real = Relayed.announce

        async def slow(self: Relayed, *row: Any) -> None:
            await real(self, *row)
            await trio.sleep(2)
            if len(followed) == 1:
                two.relay.announce(NoticeKind.RELOAD)

        monkeypatch.setattr(Relayed, "announce", slow)
        two.relay.announce(NoticeKind.RELOAD)
        await trio.sleep(10)
        assert followed == ["reads", "reads"]


async def test_an_operator_stops_a_conversation_of_another_process(autojump_clock: MockClock) -> None:
    """On the status page or by a command; the account is the one that the journal names."""
    async with two_processes(callback_harness()) as two:
        loaded, now = two.callbacks.loaded, now_ms
        actions = OperatorActions(
            LiveAccounts(), two.callbacks.store, lambda: loaded, Dependencies(), now, two.relay
        ).by_name()
        for key in ("running", "idle"):
            await two.callbacks.store.sessions.touch(
                SessionUse(SessionKey(key), MAIN, ChannelId(two.callbacks.square.id), "", AgentId("main"), 1)
            )
        with pytest.raises(ActionRefused, match="nothing was stopped: try again"):
            await actions["stop"]({"session": "running"})
        async with two.serving():
            await trio.sleep(5)
            assert two.stopped == []  # what was answered as not done is not done later
            assert await actions["stop"]({"session": "running"}) == "Stopped: running"
            for fields in ({"session": "idle"}, {"session": "unknown"}, {"session": "idle", "account": "default"}):
                with pytest.raises(ActionRefused, match="Nothing is running there"):
                    await actions["stop"](fields)
        assert two.stopped == ["running", "idle", "idle"]


async def test_a_command_stops_a_conversation_from_a_machine_without_a_gateway(autojump_clock: MockClock) -> None:
    """By the journal alone; where no process has it, the command hears so."""
    async with two_processes(callback_harness()) as two, two.serving():
        store = two.callbacks.store
        assert await stop_by_journal(store, SessionKey("running"), MAIN) is None
        await store.leases.beat(ProcessInfo("p2", "host", 7, "1.0", 1), {})
        assert await stop_by_journal(store, SessionKey("running"), MAIN) == (True, "Stopped: running")
        assert await stop_by_journal(store, SessionKey("idle"), MAIN) == (False, "Nothing is running there any more.")
        assert two.stopped == ["running", "idle"]


async def test_what_an_account_can_not_finish_because_it_stops_goes_to_its_next_process(
    autojump_clock: MockClock,
) -> None:
    """A click is being verified when the account is cancelled: it is not refused, and counts once."""
    async with two_processes(callback_harness()) as two:
        callbacks, services = two.callbacks, two.callbacks.requests.services
        set_relayed(callbacks.registry, build(callbacks.loaded.document, {}).accounts, two.elsewhere)
        post = await callbacks.post_buttons("Yes")
        plan = plan_callbacks(callbacks.loaded.config, callbacks.account)
        callbacks.app = build_app(callbacks.registry, metrics=callbacks.metrics)
        is_slow = trio.Event()
        async with trio.open_nursery() as nursery:
            api = evolve(services.api)
            api.posts = _SlowPosts(services.api.posts, is_slow)  # type: ignore[assignment]
            requests = evolve(callbacks.requests, services=evolve(services, api=api))
            with trio.CancelScope() as account:
                questions, registration = callbacks.questions, callbacks.registration
                async with open_endpoints(requests, callbacks.registry, plan, questions, registration):
                    nursery.start_soon(two.press, post, "Yes")
                    await is_slow.wait()
                    account.cancel()
                    await trio.sleep_forever()
            async with two.serving():
                await trio.sleep(5)
        assert callbacks.shown(post) == ["✓ **Yes** selected by @alice"]
        assert len(callbacks.admitted) == 1


@frozen(eq=False)
class _SlowPosts:
    """A server that takes long to show a post."""

    posts: PostsApi
    is_asked: trio.Event

    async def get(self, _post_id: str) -> None:
        self.is_asked.set()
        await trio.sleep(9)


async def test_what_was_refused_while_the_journal_hung_is_not_done(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is written in the end; its caller was told to try again, soon enough for Mattermost, and does."""
    async with two_processes(callback_harness()) as two:
        is_back, real = trio.Event(), Relayed.give_up

        async def hangs(*arguments: Any, **options: Any) -> Any:
            await is_back.wait()
            return await real(*arguments, **options)

        monkeypatch.setattr(Relayed, "give_up", hangs)
        began = trio.current_time()
        with pytest.raises(ApiError):
            await two.callbacks.execute("/oc_new")
        assert two.status == 503
        assert trio.current_time() - began < 3.5
        is_back.set()
        await trio.sleep(2)
        async with two.serving():
            await trio.sleep(5)
        assert two.callbacks.admitted == []


async def test_a_former_holder_leaves_rows_to_the_next_one(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, logbook: Logbook
) -> None:
    """The journal refuses its writes: it goes on with nothing, and says nothing of it."""
    async with two_processes(callback_harness()) as two:
        assert (await two.callbacks.execute("/oc_new"))["text"] == COMMAND_ACCEPTED
        real = Relayed.end

        async def refused(*_: Any) -> bool:
            raise FenceRefused("another process serves the account default by now")

        monkeypatch.setattr(Relayed, "end", refused)
        async with two.serving():
            await trio.sleep(20)
        assert await two.open_rows() == 1
        assert not logbook.find("a relayed request waits")
        monkeypatch.setattr(Relayed, "end", real)
        async with two.serving():
            await trio.sleep(2)
        assert await two.open_rows() == 0
        assert [message.text for message, _ in two.callbacks.admitted] == ["/new"]
