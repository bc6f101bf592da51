"""A turn from mention to answer, in a whole gateway against the sandbox."""

import httpx
import pytest
import trio

from oc_trio.agent.scripted import CallTool, Pause, Say
from oc_trio.core.draft_view import StreamMode
from oc_trio.core.turn_events import Failed, Final, Opaque, ToolEnded, ToolStarted, ToolStatus, Usage
from oc_trio.errors import AgentFailed
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from oc_trio.sandbox.writing import Change
from tests.logbook import Logbook
from tests.runtime.harness import Harness

WORDS = "one two three four five six seven eight nine ten"


async def test_a_mention_is_answered_in_one_growing_post(harness: Harness) -> None:
    """The first word appears at once, the post grows, and the last edit is the answer."""
    await harness.start()
    harness.script = [Say(WORDS, delay=0.3)]
    question = harness.say("@helper count")
    await harness.settled()
    [answer] = harness.ours()
    assert answer.message == WORDS
    assert answer.root_id == question.id
    assert answer.history[0][1] == "one"
    assert await harness.state(question) == "delivered"


@pytest.mark.slow
async def test_threads_are_answered_at_the_same_time(harness: Harness) -> None:
    """As many as may run at once; the others wait for their place, and none is lost."""
    await harness.start(agents={"defaults": {"maxConcurrent": 2}})
    harness.script = [Pause(10), Say("done")]
    began = trio.current_time()
    posts = [harness.say(f"@helper {number}") for number in range(5)]
    await trio.sleep(1)
    assert harness.agent.open == 2
    await harness.settled()
    assert harness.answers() == ["done"] * 5
    assert 30 < trio.current_time() - began < 32
    assert {await harness.state(post) for post in posts} == {"delivered"}


async def test_waiting_for_a_place_can_be_stopped(harness: Harness) -> None:
    """The model is not even asked."""
    await harness.start(agents={"defaults": {"maxConcurrent": 1}})
    harness.script = [Pause(10), Say("done")]
    harness.say("@helper first")
    second = harness.say("@helper second")
    await trio.sleep(1)
    harness.say("@helper stop", root=second)
    await harness.settled()
    assert await harness.state(second) == "cancelled: stopped"
    assert len(harness.agent.requests) == 1


async def test_who_waits_for_a_place_is_told_so(harness: Harness) -> None:
    """Typing at once, after three seconds a draft with their number, which becomes the answer."""
    await harness.start(agents={"defaults": {"maxConcurrent": 1}})
    harness.script = [Pause(9), Say("done")]
    posts = [harness.say("@helper first")]
    await trio.sleep(0.5)
    for number in range(2):
        posts.append(harness.say(f"@helper {number}"))
        await trio.sleep(0.5)
    assert len(harness.ours()) == 0
    await trio.sleep(5)
    drafts = {post.root_id: post.message for post in harness.ours()}
    assert drafts == {posts[1].id: "Waiting: next…", posts[2].id: "Waiting: 1 before this one…"}
    await trio.sleep(6)
    drafts = {post.root_id: post.message for post in harness.ours()}
    assert drafts[posts[1].id] == "Thinking…"
    await harness.settled()
    assert harness.answers() == ["done"] * 3
    assert len(harness.ours()) == 3


async def test_who_waits_in_a_draft_can_still_stop(harness: Harness) -> None:
    """Nothing of the draft that said so is left as an answer."""
    await harness.start(agents={"defaults": {"maxConcurrent": 1}})
    harness.script = [Pause(20), Say("done")]
    harness.say("@helper first")
    await trio.sleep(0.5)
    second = harness.say("@helper second")
    await trio.sleep(5)
    harness.say("@helper stop", root=second)
    await harness.settled()
    assert await harness.state(second) == "cancelled: stopped"
    assert not [post for post in harness.ours() if "Waiting" in post.message]


async def test_only_the_text_is_sent_with_an_edit(harness: Harness) -> None:
    """Pins and props that came meanwhile survive."""
    await harness.start()
    harness.script = [Say(WORDS, delay=0.5)]
    harness.say("@helper count")
    await harness.until(harness.answers)
    [draft] = harness.ours()
    harness.world.writing.apply(draft, Change(is_pinned=True, props={**draft.props, "mine": 1}))
    await harness.settled()
    assert (draft.message, draft.is_pinned, draft.props["mine"]) == (WORDS, True, 1)


async def test_the_interval_holds_while_text_arrives_during_writes(harness: Harness) -> None:
    """A slow server does not turn every word into an edit."""
    await harness.start()
    harness.faults.latency = 0.1
    harness.script = [Say("word " * 100, delay=0.05)]
    harness.say("@helper count")
    await harness.until(harness.answers)
    await harness.settled()
    [answer] = harness.ours()
    gaps = [late - early for (early, _), (late, _) in zip(answer.history[1:-1], answer.history[2:-1])]
    assert min(gaps) >= 1200
    assert len(answer.history) <= 6


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_a_refused_edit_loses_no_answer(harness: Harness, status: int) -> None:
    """The answer goes out fresh."""

    async def refuse(request: SandboxRequest) -> SandboxResponse | None:
        return SandboxResponse.json({"id": "x", "message": "no"}, status) if request.method == "PUT" else None

    await harness.start()
    harness.faults.before_rules.append(refuse)
    harness.script = [Say(WORDS, delay=0.5)]
    question = harness.say("@helper count")
    await harness.settled()
    assert harness.answers()[-1] == WORDS
    assert await harness.state(question) == "delivered"


@pytest.mark.slow
async def test_previews_back_off_and_recover(harness: Harness) -> None:
    """A server that is busy for a while costs edits, not the draft and not the answer."""
    until = trio.current_time() + 10

    async def busy(request: SandboxRequest) -> SandboxResponse | None:
        if request.method == "PUT" and trio.current_time() < until:
            return SandboxResponse.text("limit exceeded\n", 429)
        return None

    await harness.start()
    harness.faults.before_rules.append(busy)
    harness.script = [Say("word " * 60, delay=0.5)]
    question = harness.say("@helper count")
    await harness.settled()
    [answer] = harness.ours()
    assert answer.message == ("word " * 60).strip()
    assert len(answer.history) > 3
    assert harness.calls("PUT") < 40
    assert await harness.state(question) == "delivered"


async def test_a_final_whose_answer_is_lost(harness: Harness) -> None:
    """A final whose response was lost is written again, and is there once."""
    lost: list[str] = []

    async def lose(request: SandboxRequest) -> SandboxResponse | None:
        if request.method in ("PUT", "POST") and WORDS.encode() in request.body and len(lost) < 3:
            lost.append(request.method)
            raise httpx.ReadError("the answer is lost")
        return None

    await harness.start()
    harness.faults.after_rules.append(lose)
    harness.script = [Say(WORDS, delay=0.1)]
    question = harness.say("@helper count")
    await harness.settled()
    assert harness.answers() == [WORDS]
    assert await harness.state(question) == "delivered"


async def test_an_agent_that_fails_at_once(harness: Harness) -> None:
    """Its one honest sentence is the answer."""
    await harness.start()

    def script(request: object) -> list[Say]:
        raise AgentFailed("401 from the model", for_user="The model's key was refused.")

    harness.script = script
    question = harness.say("@helper go")
    await harness.settled()
    assert harness.answers() == ["The model's key was refused."]
    assert await harness.state(question) == "failed: 401 from the model"


async def test_a_later_error_deletes_no_answer(harness: Harness) -> None:
    """An answer that stands is not touched by the next turn's failure."""
    await harness.start()
    harness.script = [Say("an answer")]
    first = harness.say("@helper go")
    await harness.settled()
    harness.script = [Say("I was about", 0.5), Failed("It broke.", "broken")]
    harness.say("@helper again", root=first)
    await harness.settled()
    assert harness.answers() == ["an answer", "I was about\n\nIt broke."]


async def test_tool_calls_are_remembered(harness: Harness) -> None:
    """A completed call is in the transcript of a turn that goes on after a crash, the words around it in its post."""
    await harness.start()
    ended = ToolEnded("1", "look", ToolStatus.COMPLETED, "the result")
    harness.script = [Say("Let me look."), ToolStarted("1", "look", {"q": 1}), ended, Pause(600)]
    harness.say("@helper look")
    await harness.until(lambda: any("Look" in text for text in harness.answers()))
    await harness.crash()
    harness.script = [Say("found")]
    await harness.start()
    await harness.settled()
    roles = [message.role.value for message in harness.agent.requests[-1].messages]
    assert roles == ["user", "assistant", "tool"]
    assert harness.agent.requests[-1].messages[2].text == "the result"
    assert harness.answers() == ["Let me look.\n\nfound"], "what people have read stays"


@pytest.mark.parametrize(
    ("last", "assistant_texts"),
    [
        ("Let me look.\n\nI see.\n\nFound three.", ["Let me look.", "I see.", "Found three."]),
        ("Found three.", ["Let me look.", "I see.", "Found three."]),
        ("Let me look.\n\nI see.", ["Let me look.", "I see.", "Let me look.\n\nI see."]),
    ],
)
async def test_the_words_before_a_call_are_told_once(harness: Harness, last: str, assistant_texts: list[str]) -> None:
    """The next turn is not sent an answer twice, once along its tool calls and once as a whole."""
    await harness.start()
    harness.script = [
        Say("Let me look."),
        *(ToolStarted("1", "look"), ToolEnded("1", "look", ToolStatus.COMPLETED, "a"), Say("I see.")),
        *(ToolStarted("2", "look"), ToolEnded("2", "look", ToolStatus.COMPLETED, "b")),
        Final(last),
    ]
    first = harness.say("@helper look")
    await harness.settled()
    harness.say("@helper and now?", root=first)
    await harness.settled()
    messages = harness.agent.requests[-1].messages
    assert [message.text for message in messages if message.role.value == "assistant"] == assistant_texts


async def test_an_unknown_tool_ends_nothing(harness: Harness) -> None:
    """The agent reads that there is none."""
    await harness.start()
    harness.script = [CallTool("nonsense"), Say("then not")]
    harness.say("@helper go")
    await harness.settled()
    assert harness.answers() == ["then not"]


@pytest.mark.parametrize("end", [Failed("It broke.", "broken"), Failed("", "broken")])
async def test_a_failure_is_an_answer_too(harness: Harness, end: Failed) -> None:
    """The next turn reads what people read, and so does not take the question for an open one."""
    await harness.start()
    harness.script = [end]
    first = harness.say("@helper first")
    await harness.settled()
    harness.script = [Say("the second answer")]
    harness.say("@helper second", root=first)
    await harness.settled()
    messages = harness.agent.requests[-1].messages
    assert [message.role.value for message in messages] == ["user", "assistant", "user"]
    assert messages[1].text == harness.answers()[0]


BROKEN_TEXT = "One paragraph.\n\nAnother one.\n\n```py\nx = 1"


@pytest.mark.parametrize(
    ("streaming", "posts"),
    [
        *(
            pytest.param({"mode": mode.value}, [BROKEN_TEXT + "\n```\n\nIt broke."], id=mode.value)
            for mode in StreamMode
        ),
        pytest.param(
            {"mode": "off", "block": {"enabled": True, "coalesce": {"minChars": 5}}},
            ["One paragraph.\n\nAnother one.", "```py\nx = 1\n```\n\nIt broke."],
            id="blocks",
        ),
    ],
)
async def test_what_people_have_read_stays(harness: Harness, streaming: dict[str, object], posts: list[str]) -> None:
    """An answer that breaks off keeps its words, with the sentence below, and the next turn is told both."""
    await harness.start({"streaming": streaming})
    harness.script = [Say(BROKEN_TEXT, 0.4), Failed("It broke.", "reset")]
    first = harness.say("@helper go")
    await harness.settled()
    assert harness.answers() == posts
    assert await harness.state(first) == "failed: reset"
    harness.script = [Say("again")]
    harness.say("@helper and now?", root=first)
    await harness.settled()
    assistant_texts = [
        message.text for message in harness.agent.requests[-1].messages if message.role.value == "assistant"
    ]
    assert assistant_texts == [BROKEN_TEXT + "\n```\n\nIt broke."]


async def test_what_was_said_before_a_tool_call_stays_too(harness: Harness) -> None:
    """A failure in a later round deletes nothing of the earlier ones, nor is it told twice."""
    await harness.start()
    ended = ToolEnded("1", "look", ToolStatus.COMPLETED, "the result")
    harness.script = [Say("Let me look."), ToolStarted("1", "look"), ended, Say("I see"), Failed("It broke.", "reset")]
    first = harness.say("@helper go")
    await harness.settled()
    assert harness.answers() == ["Let me look.\n\nI see\n\nIt broke."]
    harness.script = [Say("again")]
    harness.say("@helper and now?", root=first)
    await harness.settled()
    assistant_texts = [
        message.text for message in harness.agent.requests[-1].messages if message.role.value == "assistant"
    ]
    assert assistant_texts == ["Let me look.", "I see\n\nIt broke."]


async def test_a_thought_that_only_its_end_gives_away_is_gone(harness: Harness) -> None:
    """Neither the answer nor what later turns are told has what stood before a lone closing tag."""
    await harness.start()
    ended = ToolEnded("1", "look", ToolStatus.COMPLETED, "the result")
    thought = "I will think.\n</think>\n\nI look."
    harness.script = [Say(thought), ToolStarted("1", "look"), ended, Say("It is 4."), Final("I look.\n\nIt is 4.")]
    first = harness.say("@helper go")
    await harness.settled()
    assert harness.answers() == ["I look.\n\nIt is 4."]
    harness.say("@helper and now?", root=first)
    await harness.settled()
    assert not [message for message in harness.agent.requests[-1].messages if "think" in message.text]


async def test_what_a_provider_wants_back_outlives_a_restart(harness: Harness) -> None:
    """It stays with the call, as it came."""
    await harness.start()
    opaque = Opaque("p", "1", {"reasoning_content": "hm"}, {"extra_content": {"sig": "S"}})
    ended = ToolEnded("1", "look", ToolStatus.COMPLETED, "the result")
    harness.script = [Say("Let me look."), ToolStarted("1", "look", {"q": 1}, opaque=opaque), ended, Pause(600)]
    harness.say("@helper look")
    await harness.until(lambda: any("Look" in text for text in harness.answers()))
    await harness.crash()
    harness.script = [Say("found")]
    await harness.start()
    await harness.settled()
    [call] = harness.agent.requests[-1].messages[1].tool_calls
    assert call.opaque == opaque


async def test_history_is_told(harness: Harness) -> None:
    """The next turn of a conversation knows what was said, the answer included, and its tokens are counted."""
    await harness.start()
    harness.script = [Final("the first answer", usage=Usage(3, 4, "m"))]
    first = harness.say("@helper first")
    await harness.settled()
    harness.script = [Say("the second answer")]
    harness.say("@helper second", root=first)
    await harness.settled()
    texts = [message.text for message in harness.agent.requests[-1].messages]
    assert "first" in texts[0]
    assert texts[1] == "the first answer"
    assert "second" in texts[2]


async def test_a_journal_that_fails_fails_the_account_only(harness: Harness, logbook: Logbook) -> None:
    """The account is started again and goes on with the message."""
    await harness.start()
    harness.script = [Say(WORDS, delay=0.5)]
    question = harness.say("@helper count")
    await harness.until(harness.answers)
    harness.journal.execute("PRAGMA query_only = ON")
    await trio.sleep(6)
    harness.journal.execute("PRAGMA query_only = OFF")
    await harness.settled()
    assert harness.answers() == [WORDS]
    assert await harness.state(question) == "delivered"
    assert logbook.find("the journal failed")


@pytest.mark.slow
async def test_a_journal_that_keeps_failing_uses_up_no_attempts(harness: Harness, logbook: Logbook) -> None:
    """A disk that is nearly full fails turns again and again; once it has room, the answer is given."""
    await harness.start()
    harness.script = [Say(WORDS, delay=0.5)]
    question = harness.say("@helper count")
    for _ in range(12):
        await harness.until(lambda: harness.agent.open, within=120)
        harness.journal.execute("PRAGMA query_only = ON")
        await harness.until(lambda: not harness.agent.open, within=120)
        harness.journal.execute("PRAGMA query_only = OFF")
    await harness.settled()
    assert len(harness.agent.requests) > 8
    assert harness.answers() == [WORDS]
    assert await harness.state(question) == "delivered"
    assert logbook.find("the journal failed")
