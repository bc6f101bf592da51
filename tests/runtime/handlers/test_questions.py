"""Questions and approvals: answered by click, menu, dialog or message; once, in time, and never by accident."""

import json
import sqlite3
from typing import Any

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock

from oc_trio.agent.port import ToolCall
from oc_trio.agent.toolbox import ApprovalResult, Approve
from oc_trio.core.approvals import ALLOWED, ASKER, Approvers
from oc_trio.core.interactions import USED
from oc_trio.core.questions import ANSWERED, SUBMITTED, Answer, Question
from oc_trio.errors import MattermostRejected
from oc_trio.ids import ChannelId, SessionKey, UserId
from oc_trio.runtime.handlers.questions import GONE, NOT_YOURS, QuestionPlace
from oc_trio.sandbox.errors import ApiError
from oc_trio.sandbox.faults import Faults
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from tests.logbook import Logbook
from tests.runtime.callback_harness import CallbackHarness, callback_harness

COLOUR = Question("q1", "Which colour?", ("Red", "Blue"), free_text=False)
NAME = Question("q2", "What is its name?")


def place(callbacks: CallbackHarness) -> QuestionPlace:
    return QuestionPlace(SessionKey("agent:main:x"), ChannelId(callbacks.square.id))


async def ask_and_keep(
    callbacks: CallbackHarness, question: Question, answers: list[Answer | None], seconds: float = 60.0
) -> None:
    answers.append(await callbacks.questions.ask(question, place(callbacks), seconds=seconds))


async def test_a_click_answers(autojump_clock: MockClock) -> None:
    """The waiting turn gets the option, the post shows it, no message is made of the click."""
    answers: list[Answer | None] = []
    async with callback_harness().running() as callbacks, trio.open_nursery() as nursery:
        nursery.start_soon(ask_and_keep, callbacks, COLOUR, answers)
        await trio.sleep(1)
        (post,) = callbacks.posts()
        reply = await callbacks.press(post.id, "Blue")
        assert reply["ephemeral_text"] == SUBMITTED
        await trio.sleep(1)
        assert answers == [Answer("q1", "Blue", 1)]
        assert callbacks.shown(post.id) == ["✓ **Blue** selected by @alice"]
        assert callbacks.admitted == []


async def test_a_click_whose_caller_hangs_up_answers(autojump_clock: MockClock) -> None:
    """Once it is written, it counts: no other click could be the answer any more."""
    answers: list[Answer | None] = []
    async with callback_harness().running() as callbacks, trio.open_nursery() as nursery:
        nursery.start_soon(ask_and_keep, callbacks, COLOUR, answers)
        await trio.sleep(1)
        (post,) = callbacks.posts()
        with trio.CancelScope() as call:
            callbacks.database.set_trace_callback(lambda sql: call.cancel() if "INTO claims" in sql else None)
            await callbacks.press(post.id, "Blue")
        assert call.cancelled_caught
        callbacks.database.set_trace_callback(None)
        await trio.sleep(1)
        assert answers == [Answer("q1", "Blue", 1)]


async def test_a_stranger_does_not_answer(autojump_clock: MockClock) -> None:
    """Who may not talk to the bot may not answer for others."""
    answers: list[Answer | None] = []
    async with callback_harness().running() as callbacks, trio.open_nursery() as nursery:
        nursery.start_soon(ask_and_keep, callbacks, COLOUR, answers)
        await trio.sleep(1)
        (post,) = callbacks.posts()
        assert "ignored" in (await callbacks.press(post.id, "Blue", by=callbacks.mallory))["ephemeral_text"]
        assert answers == []
        nursery.cancel_scope.cancel()


async def test_a_message_answers_too(autojump_clock: MockClock) -> None:
    """Text in the conversation that waits is the answer, by label or freely; other conversations are left alone."""
    answers: list[Answer | None] = []
    async with callback_harness().running() as callbacks, trio.open_nursery() as nursery:
        await callbacks.registered()
        nursery.start_soon(ask_and_keep, callbacks, NAME, answers)
        await trio.sleep(1)
        await callbacks.execute("/oc_status")
        ((message, _),) = callbacks.admitted
        assert not callbacks.questions.take_text(message.with_text("Rex"))
        assert callbacks.questions.take_text(evolve(message, session=place(callbacks).session, text="Rex"))
        await trio.sleep(1)
        assert answers == [Answer("q2", "Rex")]
        (post,) = callbacks.posts()
        assert callbacks.shown(post.id) == ["✓ **Rex** answered by @alice"]


async def test_a_free_answer_is_given_in_a_dialog(autojump_clock: MockClock) -> None:
    """The button opens a dialog at the server; what is written there is the answer."""
    answers: list[Answer | None] = []
    async with callback_harness().running() as callbacks, trio.open_nursery() as nursery:
        nursery.start_soon(ask_and_keep, callbacks, NAME, answers)
        await trio.sleep(1)
        (post,) = callbacks.posts()
        opened: list[dict[str, Any]] = []
        show = callbacks.world.interactions.open_dialog

        def remember(body: dict[str, Any]) -> None:
            opened.append(body)
            show(body)

        callbacks.world.interactions.open_dialog = remember  # type: ignore[method-assign]
        await callbacks.press(post.id, "Answer")
        (request,) = opened
        submission = {
            "url": request["url"],
            "callback_id": request["dialog"]["callback_id"],
            "state": request["dialog"]["state"],
            "channel_id": callbacks.square.id,
            "submission": {"answer": " Rex "},
        }
        assert await callbacks.world.interactions.submit_dialog(callbacks.mallory, submission) == {
            "error": "oc_trio ignored this action for ~square."
        }
        assert await callbacks.world.interactions.submit_dialog(callbacks.alice, submission) == {}
        await trio.sleep(1)
        assert answers == [Answer("q2", "Rex")]
        assert await callbacks.world.interactions.submit_dialog(callbacks.alice, submission) == {"error": GONE}


async def test_silence_ends_the_question(autojump_clock: MockClock) -> None:
    """After the deadline nobody's click counts, and the post has no buttons any more."""
    answers: list[Answer | None] = []
    async with callback_harness().running() as callbacks, trio.open_nursery() as nursery:
        nursery.start_soon(ask_and_keep, callbacks, COLOUR, answers, 10.0)
        await trio.sleep(1)
        (post,) = callbacks.posts()
        before = dict(callbacks.world.posts.live(post.id).props)
        await trio.sleep(10)
        assert answers == [None]
        assert callbacks.shown(post.id) == ["_This choice has expired._"]
        callbacks.world.posts.live(post.id).props = before  # a client that still shows them
        assert await callbacks.press(post.id, "Red") == {"ephemeral_text": ANSWERED}
        assert callbacks.admitted == []


class NoPosts(Faults):
    """Fails at every post."""

    async def before(self, request: SandboxRequest) -> SandboxResponse | None:
        await trio.lowlevel.checkpoint()
        is_post = request.method == "POST" and request.path.endswith("/posts")
        return SandboxResponse.json({"id": "app.post.broken", "message": "no"}, 500) if is_post else None


async def test_a_question_that_the_server_does_not_take(autojump_clock: MockClock) -> None:
    """Whoever asks is told so, long before the deadline, and no later start asks in their stead."""
    async with callback_harness().running() as callbacks:
        callbacks.world.faults = NoPosts()
        began = trio.current_time()
        with pytest.raises(MattermostRejected, match="gave up"):
            await callbacks.questions.ask(COLOUR, place(callbacks))
        assert trio.current_time() - began < 200
        callbacks.world.faults = Faults()
        assert await callbacks.store.outbox.unfinished(callbacks.requests.services.account) == ()
        assert callbacks.posts() == []


async def test_an_answer_after_a_crash_is_a_message(autojump_clock: MockClock) -> None:
    """Nobody waits any more, but what was chosen reaches the agent, once."""
    callbacks = callback_harness()
    async with callbacks.running():
        post_row = callbacks.questions._question_post(COLOUR, place(callbacks))
        await callbacks.requests.services.delivery.post_until_done(post_row)
        (post,) = callbacks.posts()
        before = dict(callbacks.world.posts.live(post.id).props)
    async with callbacks.running():
        await callbacks.press(post.id, "Red")
        ((message, _),) = callbacks.admitted
        assert message.text == '[Button click: user @alice selected "Red"]\nquestion: Which colour?'
        callbacks.world.posts.live(post.id).props = before
        assert await callbacks.press(post.id, "Blue") == {"ephemeral_text": ANSWERED}


async def test_a_late_click_that_the_journal_does_not_take_can_be_repeated(
    autojump_clock: MockClock, logbook: Logbook
) -> None:
    """It is neither lost nor taken twice, and no other choice counts beside it."""

    def no_message(action: int, table: str | None, *_: object) -> int:
        return sqlite3.SQLITE_DENY if (action, table) == (sqlite3.SQLITE_INSERT, "seen") else sqlite3.SQLITE_OK

    async with callback_harness().running() as callbacks:
        await callbacks.requests.services.delivery.post_until_done(
            callbacks.questions._question_post(COLOUR, place(callbacks))
        )
        (post,) = callbacks.posts()
        before = dict(callbacks.world.posts.live(post.id).props)
        callbacks.database.set_authorizer(no_message)
        with pytest.raises(ApiError):
            await callbacks.press(post.id, "Red")
        assert callbacks.answers[-1].status == 503
        assert logbook.find("callback failed")
        callbacks.database.set_authorizer(None)
        assert await callbacks.press(post.id, "Blue") == {"ephemeral_text": ANSWERED}
        await callbacks.press(post.id, "Red")
        callbacks.world.posts.live(post.id).props = before  # a client that still shows them
        assert await callbacks.press(post.id, "Red") == {"ephemeral_text": USED}
        assert [message.text for message, _ in callbacks.admitted] == [
            '[Button click: user @alice selected "Red"]\nquestion: Which colour?'
        ]


@pytest.mark.parametrize(
    ("label", "allowed"), [pytest.param("Approve", True, id="yes"), pytest.param("Deny", False, id="no")]
)
async def test_a_tool_is_approved_by_button(label: str, allowed: bool, autojump_clock: MockClock) -> None:
    """The call is shown as it is; the button decides."""
    verdicts: list[ApprovalResult] = []
    async with callback_harness().running() as callbacks, trio.open_nursery() as nursery:
        approve = callbacks.questions.approver(place(callbacks))

        async def ask() -> None:
            verdicts.append(await approve(ToolCall("c1", "delete_file", {"path": "/tmp/x"})))

        nursery.start_soon(ask)
        await trio.sleep(1)
        (post,) = callbacks.posts()
        assert post.message == 'Approve: `delete_file`?\n```text\npath = "/tmp/x"\n```'
        assert post.file_ids == []
        await callbacks.press(post.id, label)
        await trio.sleep(1)
        assert [verdict.allowed for verdict in verdicts] == [allowed]


async def test_an_approval_that_nobody_waits_for_approves_nothing(autojump_clock: MockClock) -> None:
    """After a restart an old Approve button is dead, and tells so."""
    callbacks = callback_harness()
    async with callbacks.running():
        from oc_trio.core.questions import approval

        question = approval("q9", "Approve: `rm`, without arguments?")
        post_row = callbacks.questions._question_post(question, place(callbacks))
        await callbacks.requests.services.delivery.post_until_done(post_row)
        (post,) = callbacks.posts()
    async with callbacks.running():
        assert await callbacks.press(post.id, "Approve") == {"ephemeral_text": GONE}
        assert callbacks.admitted == []


async def test_no_answer_is_no_approval(autojump_clock: MockClock) -> None:
    """Silence is a no, and the model reads why."""
    async with callback_harness().running() as callbacks:
        verdict = await callbacks.questions.approver(place(callbacks), seconds=5)(ToolCall("c1", "rm"))
        assert verdict == ApprovalResult(False, "rm was not approved: nobody answered in time.")


async def test_many_options_are_a_menu(autojump_clock: MockClock) -> None:
    """More than four options are chosen from a select menu."""
    answers: list[Answer | None] = []
    question = Question("q3", "Which?", tuple("abcdef"), free_text=False)
    async with callback_harness().running() as callbacks, trio.open_nursery() as nursery:
        nursery.start_soon(ask_and_keep, callbacks, question, answers)
        await trio.sleep(1)
        (post,) = callbacks.posts()
        (action,) = callbacks.actions(post.id)
        assert (action["type"], json.loads(json.dumps(action))["options"][2]) == ("select", {"text": "c", "value": "2"})
        await callbacks.press(post.id, "Choose an answer", selected="2")
        await trio.sleep(1)
        assert answers == [Answer("q3", "c", 2)]


LONG = {"note": "x" * 5000, "path": "a`b\n@channel", "force": True}


async def test_what_is_shortened_is_attached_whole(autojump_clock: MockClock) -> None:
    """A long first value hides no other argument, says how long it is, and the file holds the call as it would be."""
    async with callback_harness().running() as callbacks:
        verdict = await callbacks.questions.approver(place(callbacks), seconds=5)(ToolCall("1", "files__write", LONG))
        assert not verdict.allowed
        (post,) = callbacks.posts()
        head, fence, note, *others = post.message.split("\n")
        assert (head, fence) == ("Approve: `files__write`?", "```text")
        assert note.startswith('note = "xxx')
        assert note.endswith("x... (5,000 characters, see the attached file)")
        assert others == ['path = "a\\u0060b\\n\\u0040channel"', "force = true", "```"]
        (file_id,) = post.file_ids
        info = callbacks.world.files.get(file_id)
        assert (info.name, info.post_id) == ("tool-call.json", post.id)
        assert json.loads(info.data) == {"tool": "files__write", "arguments": LONG}


class NoFiles(Faults):
    """Refuses every upload."""

    async def before(self, request: SandboxRequest) -> SandboxResponse | None:
        await trio.lowlevel.checkpoint()
        is_file = request.method == "POST" and request.path.endswith("/files")
        return SandboxResponse.json({"id": "app.file.broken", "message": "no"}, 403) if is_file else None


async def test_a_call_that_can_t_be_attached_is_refused(autojump_clock: MockClock) -> None:
    """Nobody is asked about half a call: the model reads why, the chat nothing."""
    async with callback_harness().running() as callbacks:
        callbacks.world.faults = NoFiles()
        verdict = await callbacks.questions.approver(place(callbacks))(ToolCall("1", "files__write", LONG))
        assert verdict == ApprovalResult(
            False,
            "files__write was not approved: it is too long for a message, and the file with all of it could not be "
            "uploaded.",
        )
        assert callbacks.posts() == []


async def test_a_call_that_can_t_be_shown_is_refused(autojump_clock: MockClock) -> None:
    """Names are never cut: where they don't fit into a post, nobody is asked."""
    arguments = {f"{number}{'n' * 200}": 1 for number in range(100)}
    async with callback_harness().running() as callbacks:
        verdict = await callbacks.questions.approver(place(callbacks))(ToolCall("1", "files__write", arguments))
        assert not verdict.allowed
        assert verdict.reason == (
            "files__write was not approved: a person can't be shown all its arguments (100, whose names have 20,390 "
            "characters); use fewer, or shorter names."
        )
        assert callbacks.posts() == []


@pytest.mark.parametrize(
    ("entries", "by_asker", "by_other"),
    [
        pytest.param((ALLOWED,), True, True, id="everybody who may talk"),
        pytest.param((ASKER,), True, False, id="who asked"),
        pytest.param(("user:{bob}",), False, True, id="a person by id"),
        pytest.param((ASKER, "{bob}"), True, True, id="who asked, or a person"),
        pytest.param(("@bob",), False, False, id="a name, where names don't count"),
        pytest.param(("accessGroup:ops",), False, True, id="a group"),
    ],
)
async def test_who_may_approve(
    entries: tuple[str, ...], by_asker: bool, by_other: bool, autojump_clock: MockClock
) -> None:
    """Who may not is told so alone, and the question stays open for those who may."""
    callbacks = callback_harness(groupAllowFrom=["*"])
    bob = callbacks.world.create_user("bob", "Passw0rd!x", team=callbacks.team)
    callbacks.world.membership.add(callbacks.square, bob, callbacks.alice)
    listed = tuple(entry.format(bob=bob.id) for entry in entries)
    async with callbacks.running():
        groups = evolve(callbacks.requests.services.policies.access, access_groups={"ops": (bob.id,)})
        callbacks.questions.services = evolve(
            callbacks.requests.services, policies=evolve(callbacks.requests.services.policies, access=groups)
        )
        for person, may in ((callbacks.alice, by_asker), (bob, by_other)):
            for label in ("Approve", "Deny"):
                verdicts: list[ApprovalResult] = []
                async with trio.open_nursery() as nursery:
                    approve = callbacks.questions.approver(
                        place(callbacks), approvers=lambda: Approvers(listed, frozenset({UserId(callbacks.alice.id)}))
                    )

                    async def ask(approve: Approve = approve, verdicts: list[ApprovalResult] = verdicts) -> None:
                        verdicts.append(await approve(ToolCall("c1", "rm", {})))

                    nursery.start_soon(ask)
                    await trio.sleep(1)
                    post = callbacks.posts()[-1]
                    reply_text = (await callbacks.press(post.id, label, by=person))["ephemeral_text"]
                    await trio.sleep(1)
                    assert reply_text == (SUBMITTED if may else NOT_YOURS)
                    assert [verdict.allowed for verdict in verdicts] == ([label == "Approve"] if may else [])
                    assert bool(callbacks.actions(post.id)) is not may
                    nursery.cancel_scope.cancel()


async def test_where_nobody_asked_nobody_is_waited_for(autojump_clock: MockClock) -> None:
    """A schedule's turn under `asker` has no one who may approve: the model is told at once."""
    async with callback_harness().running() as callbacks:
        approve = callbacks.questions.approver(place(callbacks), approvers=lambda: Approvers((ASKER,)))
        verdict = await approve(ToolCall("c1", "rm", {}))
        assert verdict.reason == (
            "rm was not approved: only who asked may approve it, and no person started this turn."
        )
        assert trio.current_time() == 0
        assert callbacks.posts() == []


async def test_an_approval_takes_no_dialog(autojump_clock: MockClock) -> None:
    """The signed context of its button, sent as a dialog's state, neither approves nor denies."""
    verdicts: list[ApprovalResult] = []
    async with callback_harness().running() as callbacks, trio.open_nursery() as nursery:

        async def ask() -> None:
            verdicts.append(await callbacks.questions.approver(place(callbacks))(ToolCall("c1", "rm", {})))

        nursery.start_soon(ask)
        await trio.sleep(1)
        (post,) = callbacks.posts()
        integration = callbacks.actions(post.id)[0]["integration"]
        submission = {
            "url": integration["url"],
            "callback_id": "oc_question",
            "state": json.dumps(integration["context"]),
            "channel_id": callbacks.square.id,
            "submission": {"answer": "Approve"},
        }
        with pytest.raises(ApiError):
            await callbacks.world.interactions.submit_dialog(callbacks.alice, submission)
        await callbacks.press(post.id, "Approve")
        await trio.sleep(1)
        assert [verdict.allowed for verdict in verdicts] == [True]
