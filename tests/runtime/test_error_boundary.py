"""Whatever is raised for one message fails that message, in words, and nothing else."""

from collections.abc import Awaitable, Callable

import httpx
import pytest
import trio
import trio.testing

from oc_trio.agent.scripted import CallTool, Pause, Say
from oc_trio.core.turn_events import ToolStarted
from oc_trio.errors import FenceRefused, LeaseLost, MattermostUnavailable, StoreError
from oc_trio.ids import AccountId
from oc_trio.runtime.error_boundary import DEFECT, SORRY, ErrorBoundary
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from oc_trio.telemetry.metrics import Metrics
from tests.logbook import Logbook
from tests.runtime.harness import Harness

LOGGED = "a defect failed one of many"
WORDS = "one two three four five"


def raising(*problems: BaseException) -> Callable[[], Awaitable[None]]:
    async def work() -> None:
        await trio.lowlevel.checkpoint()
        if len(problems) == 1:
            raise problems[0]
        raise BaseExceptionGroup("several", problems)

    return work


@pytest.fixture
def boundary() -> ErrorBoundary:
    return ErrorBoundary(AccountId("default"), Metrics())


def counted(boundary: ErrorBoundary, part: str = "turn") -> float:
    return (
        boundary.metrics.registry.get_sample_value("oc_trio_defects_total", {"account": boundary.account, "kind": part})
        or 0.0
    )


@pytest.mark.parametrize(
    "problem",
    [
        KeyError("x"),
        RecursionError(),
        MemoryError(),
        UnicodeEncodeError("utf-8", "\ud83d", 0, 1, "surrogates not allowed"),
        MattermostUnavailable("away"),
        ExceptionGroup("one", [ExceptionGroup("in another", [KeyError("x"), ValueError("y")])]),
        BaseExceptionGroup("of a nursery", [KeyError("x")]),
    ],
    ids=repr,
)
async def test_a_defect_ends_at_the_border(boundary: ErrorBoundary, logbook: Logbook, problem: BaseException) -> None:
    """It is returned, logged once with its traceback and the ids, and counted."""
    defect = await boundary.contain(raising(problem), "turn", lambda: {"turn": "t1"})
    assert defect is not None
    (logged,) = logbook.find(LOGGED)
    assert (logged["turn"], logged["exc_info"], logged["level"]) == ("t1", defect, "error")
    assert counted(boundary) == 1


async def test_what_goes_well_leaves_no_trace(boundary: ErrorBoundary, logbook: Logbook) -> None:
    """Without an error nothing is returned, logged or counted."""
    assert await boundary.contain(trio.lowlevel.checkpoint, "turn") is None
    assert (logbook.events, counted(boundary)) == ([], 0)


@pytest.mark.parametrize(
    "problem",
    [StoreError("full"), ExceptionGroup("x", [StoreError("full")]), FenceRefused("taken"), LeaseLost("taken")],
    ids=repr,
)
async def test_the_journals_errors_cross_it(boundary: ErrorBoundary, logbook: Logbook, problem: Exception) -> None:
    """As they are: without its journal or its lease an account can't go on."""
    with pytest.raises(type(problem)) as raised:
        await boundary.contain(raising(problem), "turn")
    assert raised.value is problem
    assert not logbook.find(LOGGED)


async def test_what_comes_with_a_journals_error_is_logged(boundary: ErrorBoundary, logbook: Logbook) -> None:
    """The journal's part goes on alone."""
    with pytest.RaisesGroup(StoreError):
        await boundary.contain(raising(StoreError("full"), KeyError("x")), "turn")
    assert len(logbook.find(LOGGED)) == 1


async def test_cancellation_crosses_it(
    autojump_clock: trio.testing.MockClock, boundary: ErrorBoundary, logbook: Logbook
) -> None:
    """Alone, and beside a defect, which is logged: whoever cancelled goes on as if there had been no border."""

    async def work() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise KeyError("while it is being cancelled")

    for body in (trio.sleep_forever, work):
        with trio.move_on_after(1) as scope:
            await boundary.contain(body, "turn")
            pytest.fail("went on although it was cancelled")
        assert scope.cancelled_caught
    assert len(logbook.find(LOGGED)) == 1


# through the gateway


def failing(problem: Exception, *before: object) -> Callable[[object], object]:
    def script(_request: object) -> object:
        yield from before
        raise problem

    return script


async def serves_on(harness: Harness) -> None:
    """The account was not started again, and answers the next question in the same thread and elsewhere."""
    assert harness.gateway is not None
    account = {"account": "default"}
    assert not harness.gateway.metrics.registry.get_sample_value("oc_trio_account_restarts_total", account)
    harness.script = [Say("here I am")]
    other = harness.say("@helper still there?", by=harness.bob)
    await harness.settled()
    assert await harness.state(other) == "delivered"
    assert harness.answers()[-1] == "here I am"


@pytest.mark.parametrize(
    "problem",
    [
        RuntimeError("no"),
        KeyError("x"),
        RecursionError(),
        MemoryError(),
        UnicodeEncodeError("utf-8", "\ud83d", 0, 1, "surrogates not allowed"),
        ExceptionGroup("of a nursery", [KeyError("x"), TypeError("y")]),
        MattermostUnavailable("away"),
    ],
    ids=repr,
)
async def test_an_agent_that_raises_before_a_word(harness: Harness, logbook: Logbook, problem: Exception) -> None:
    """One sentence, a failed obligation, one traceback with the turn's id."""
    await harness.start()
    harness.script = failing(problem)  # type: ignore[assignment]
    question = harness.say("@helper go")
    await harness.settled()
    assert harness.answers() == [SORRY]
    assert await harness.state(question) == f"failed: {DEFECT}"
    obligation = await harness.obligation(question)
    (logged,) = logbook.find(LOGGED)
    assert obligation is not None
    assert (logged["turn"], logged["account"]) == (obligation.turn, "default")
    assert logged["exc_info"] is not None
    await serves_on(harness)


async def test_what_people_have_read_stays(harness: Harness, logbook: Logbook) -> None:
    """The sentence stands below the words, in the same post, and the next turn knows both."""
    await harness.start()
    harness.script = failing(KeyError("x"), Say(WORDS, delay=0.5))  # type: ignore[assignment]
    question = harness.say("@helper count")
    await harness.settled()
    assert harness.answers() == [f"{WORDS}\n\n{SORRY}"]
    assert len(harness.ours(deleted=True)) == 1
    assert await harness.state(question) == f"failed: {DEFECT}"
    assert logbook.find(LOGGED)
    harness.script = [Say("yes")]
    harness.say("@helper go on", root=question)
    await harness.settled()
    assert [message.text for message in harness.agent.requests[-1].messages][1] == f"{WORDS}\n\n{SORRY}"


@pytest.mark.parametrize(("lost", "seconds"), [("PUT", 15), ("POST", 100)])
async def test_a_draft_that_can_not_be_finished(harness: Harness, logbook: Logbook, lost: str, seconds: float) -> None:
    """The server goes away as the draft is edited, or as it is created, and comes back after its writer has given up:
    one post with the words and the sentence replaces it.
    """
    await harness.start({"streaming": {"mode": "block"}})
    back_at = 0.0

    async def away(request: SandboxRequest) -> SandboxResponse | None:
        await trio.lowlevel.checkpoint()
        if trio.current_time() < back_at:
            raise httpx.ConnectError("the server restarts")
        return None

    async def lose(request: SandboxRequest) -> SandboxResponse | None:
        nonlocal back_at
        if not back_at and request.method == lost and request.path.startswith("/api/v4/posts"):
            back_at = trio.current_time() + seconds
            raise httpx.ReadError("the answer is lost")
        return await away(request)

    harness.faults.before_rules.append(away)
    harness.faults.after_rules.append(lose)
    harness.script = failing(KeyError("x"), Pause(3), Say(WORDS), ToolStarted("1", "look"))  # type: ignore[assignment]
    question = harness.say("@helper count")
    await trio.sleep(seconds)
    await harness.settled()
    assert harness.answers() == [f"{WORDS}\n\n{SORRY}"]
    assert len(harness.ours(deleted=True)) == 2
    assert await harness.state(question) == f"failed: {DEFECT}"
    assert logbook.find(LOGGED)


async def test_a_tool_that_raises(harness: Harness, logbook: Logbook) -> None:
    """An exception out of a tool fails the message like one out of the agent."""

    class RaisingTools:
        specs = ()

        async def call(self, _call: object) -> object:
            raise TypeError("a tool's own mistake")

    def script(request: object) -> object:
        object.__setattr__(request, "tools", RaisingTools())
        yield Say("let me look")
        yield CallTool("look")

    await harness.start()
    harness.script = script  # type: ignore[assignment]
    question = harness.say("@helper look")
    await harness.settled()
    assert len(harness.answers()) == 1
    assert SORRY in harness.answers()[0]
    assert (await harness.state(question)).startswith("failed")
    assert len(logbook.find(LOGGED)) == 1
    await serves_on(harness)


async def test_a_defect_before_the_agent_is_asked(harness: Harness, logbook: Logbook) -> None:
    """A conversation whose settings can't be read: each of its turns fails in words, other conversations are served."""
    await harness.start()
    first = harness.say("@helper hello")
    await harness.settled()
    harness.journal.execute("UPDATE sessions SET settings = '[1]'")
    question = harness.say("@helper again", root=first)
    await harness.settled()
    assert harness.answers()[-1] == SORRY
    assert await harness.state(question) == f"failed: {DEFECT}"
    assert logbook.find(LOGGED)
    await serves_on(harness)


async def test_a_decided_end_that_can_not_be_delivered(harness: Harness, logbook: Logbook) -> None:
    """It is given up in plain words, below what its draft shows."""
    await harness.start()
    harness.script = [Say(WORDS, delay=0.5), Pause(600)]
    question = harness.say("@helper count")
    await harness.until(lambda: harness.answers() == [WORDS])
    await harness.crash()
    harness.journal.execute('UPDATE turns SET final = \'{"state": "delivered", "nonsense": 1}\'')
    await harness.start()
    await harness.settled()
    assert harness.answers() == [f"{WORDS}\n\n{SORRY}"]
    assert await harness.state(question) == f"failed: {DEFECT}"
    assert len(logbook.find(LOGGED)) == 1
    await serves_on(harness)


async def test_replies_to_words_of_failure_are_heard(harness: Harness, logbook: Logbook) -> None:
    """A turn that could not even be prepared has its thread all the same: who writes on there needs no mention."""
    await harness.start()
    harness.script = [Pause(600)]
    question = harness.say("@helper count")
    await harness.until(lambda: harness.agent.open)
    await harness.crash()
    harness.journal.execute("UPDATE turns SET final = '[]'")
    await harness.start()
    await harness.settled()
    assert harness.answers() == [SORRY]
    assert logbook.find(LOGGED)
    harness.script = [Say("I hear you")]
    more = harness.say("and now?", root=question)
    await harness.settled()
    assert await harness.state(more) == "delivered"


async def test_a_process_that_dies_while_it_delivers(harness: Harness) -> None:
    """The end was decided in the first attempt; the third one gives it up, and says so below the draft."""
    await harness.start()
    harness.script = [Say(WORDS, delay=0.5), Pause(600)]
    question = harness.say("@helper count")
    await harness.until(lambda: harness.answers() == [WORDS])
    await harness.crash()
    harness.journal.execute("UPDATE obligations SET attempts = 2")
    await harness.start()
    await harness.settled()
    assert harness.answers() == [f"{WORDS}\n\nI could not answer this, after several tries."]
    assert await harness.state(question) == "failed: gave up at attempt 3"
    assert len(harness.agent.requests) == 1


async def test_settings_that_can_not_be_read_at_a_start(harness: Harness, logbook: Logbook) -> None:
    """The conversation's queue rules are the configured ones, its turns and commands fail in words."""
    await harness.start()
    first = harness.say("@helper hello")
    await harness.settled()
    await harness.stop()
    harness.journal.execute("UPDATE sessions SET settings = '[1]'")
    await harness.start()
    for text in ("@helper again", "@helper /status"):
        question = harness.say(text, root=first)
        await harness.settled()
        assert harness.answers()[-1] == SORRY
        assert await harness.state(question) == f"failed: {DEFECT}"
    assert [line["failed"] for line in logbook.find(LOGGED)] == ["queue rules", "turn", "command"]
    await serves_on(harness)


async def test_an_event_that_the_program_fails_at(harness: Harness, logbook: Logbook) -> None:
    """An edit, a reaction or a deletion that can't be handled is passed over; its message is answered all the same."""
    await harness.start()
    fails = ["/posts/", "/channels/", "/users/"]

    async def mistake(request: SandboxRequest) -> SandboxResponse | None:
        if request.method == "GET" and any(path in request.path for path in fails):
            raise LookupError("a mistake in the program")
        return None

    harness.script = [Say("done", delay=3.0)]
    question = harness.say("@helper hello")
    await harness.until(lambda: harness.agent.open)
    harness.faults.before_rules.append(mistake)
    harness.edit(question, "@helper hello there")
    await trio.sleep(1.5)
    harness.faults.before_rules.clear()
    await harness.settled()
    assert harness.answers() == ["done"]
    assert [(line["kind"], line["post"]) for line in logbook.find(LOGGED)] == [("PostEdited", question.id)]
    await serves_on(harness)


@pytest.mark.parametrize(
    "trouble",
    [503, 429, httpx.ConnectError("no"), httpx.ReadTimeout("no"), OSError("no"), trio.BrokenResourceError()],
    ids=repr,
)
async def test_an_event_that_the_server_has_no_facts_for(
    harness: Harness, logbook: Logbook, trouble: int | Exception
) -> None:
    """Passing trouble is no defect: the event is told again after a reconnect, and its message answered once."""
    await harness.start()
    until, met = trio.current_time() + 20, list[str]()

    async def away(request: SandboxRequest) -> SandboxResponse | None:
        is_fact = request.method == "GET" and any(path in request.path for path in ("/users/", "/channels/"))
        if not is_fact or trio.current_time() >= until:
            return None
        met.append(request.path)
        if isinstance(trouble, Exception):
            raise trouble
        return SandboxResponse.json({"id": "app.away", "message": "no"}, trouble)

    harness.faults.before_rules.append(away)
    harness.script = [Say("done")]
    question = harness.say("@helper hello", by=harness.bob)
    await trio.sleep(120)
    await harness.settled()
    assert len(met) > 1
    assert harness.answers() == ["done"]
    assert await harness.state(question) == "delivered"
    assert logbook.find(LOGGED) == []


def mistaken(harness: Harness, times: int, *paths: str) -> list[str]:
    """So many looks at such a path raise; returns those that did."""
    met: list[str] = []

    async def mistake(request: SandboxRequest) -> SandboxResponse | None:
        if request.method != "GET" or not any(path in request.path for path in paths) or len(met) >= times:
            return None
        met.append(request.path)
        raise LookupError("a mistake in the program")

    harness.faults.before_rules.append(mistake)
    return met


def retried(logbook: Logbook) -> int:
    return len(logbook.find("a defect; trying again"))


@pytest.mark.parametrize("times", [1, 2])
async def test_a_message_that_a_later_try_can_handle(harness: Harness, logbook: Logbook, times: int) -> None:
    """A defect of the moment loses nothing: the message is answered, once."""
    await harness.start()
    met = mistaken(harness, times, "/users/")
    harness.script = [Say("done")]
    question = harness.say("@helper hello", by=harness.bob)
    await harness.settled()
    await trio.sleep(5)
    assert len(met) == times == retried(logbook)
    assert harness.answers() == ["done"]
    assert await harness.state(question) == "delivered"
    assert logbook.find(LOGGED) == []


async def test_a_caught_up_message_that_a_later_try_can_handle(harness: Harness, logbook: Logbook) -> None:
    """The same for what was said while nobody was there."""
    await harness.start()
    await harness.stop()
    harness.script = [Say("done")]
    question = harness.say("@helper hello", by=harness.bob)
    met = mistaken(harness, 2, f"/users/{harness.bob.id}")
    await harness.start()
    await trio.sleep(5)
    await harness.settled()
    assert len(met) == 2 == retried(logbook)
    assert harness.answers() == ["done"]
    assert await harness.state(question) == "delivered"


async def test_a_message_that_no_try_can_handle(harness: Harness, logbook: Logbook) -> None:
    """Who plainly asked is told, once, also by a restart; others are answered."""
    await harness.start()
    mistaken(harness, 3, f"/users/{harness.bob.id}")
    question = harness.say("@helper hello", by=harness.bob)
    await trio.sleep(5)
    assert harness.answers() == [SORRY]
    assert harness.ours()[0].root_id == question.id
    assert await harness.state(question) == "none"
    assert retried(logbook) == 2
    assert [line["failed"] for line in logbook.find(LOGGED)] == ["event"]
    await harness.stop()
    await harness.start()
    await trio.sleep(30)
    assert harness.answers() == [SORRY]
    await serves_on(harness)


async def test_words_that_a_restart_sends(harness: Harness, logbook: Logbook) -> None:
    """Who is passed over is told by the next run where this one could not."""
    await harness.start()
    mistaken(harness, 3, f"/users/{harness.bob.id}")
    away = True

    async def refuse(request: SandboxRequest) -> SandboxResponse | None:
        is_post = request.method == "POST" and request.path.endswith("/posts")
        return SandboxResponse.json({"id": "app.away", "message": "no"}, 503) if away and is_post else None

    harness.faults.before_rules.append(refuse)
    harness.say("@helper hello", by=harness.bob)
    await trio.sleep(5)
    await harness.crash()
    away = False
    assert harness.answers() == []
    await harness.start()
    await trio.sleep(5)
    assert harness.answers() == [SORRY]
    assert len(logbook.find(LOGGED)) == 1


@pytest.mark.parametrize(("text", "by"), [("good morning", "bob"), ("@helper hello", "other bot")])
async def test_who_did_not_ask_is_not_told(harness: Harness, logbook: Logbook, text: str, by: str) -> None:
    """Chatter and other bots are passed over in silence."""
    robot = harness.world.create_bot("robot", team=harness.team)
    harness.world.membership.add(harness.square, harness.world.users.get(robot.id), harness.alice)
    await harness.start()
    other = harness.bob if by == "bob" else harness.world.users.get(robot.id)
    mistaken(harness, 3, f"/users/{other.id}")
    question = harness.say(text, by=other)
    await trio.sleep(5)
    assert harness.answers() == []
    assert await harness.state(question) == "none"
    assert len(logbook.find(LOGGED)) == 1


async def test_what_fails_always_holds_nobody_up(harness: Harness, logbook: Logbook) -> None:
    """After one was given up, others that can't be handled are passed over at once."""
    await harness.start()
    mistaken(harness, 1000, f"/users/{harness.bob.id}")
    began = trio.current_time()
    for number in range(20):
        harness.say(f"@helper {number}", by=harness.bob)
    harness.script = [Say("done")]
    question = harness.say("@helper hello")
    await harness.until(lambda: "done" in harness.answers())
    assert trio.current_time() - began < 3
    await harness.settled()
    assert await harness.state(question) == "delivered"
    assert logbook.find(LOGGED)


def refuses(harness: Harness, table: str, column: str) -> None:
    """The journal takes no row of that table in which somebody speaks of poison."""
    harness.journal.execute(
        f"CREATE TRIGGER picky BEFORE INSERT ON {table} WHEN NEW.{column} LIKE '%poison%'"
        " BEGIN SELECT RAISE(ABORT, 'some poison'); END"
    )


@pytest.mark.parametrize(("table", "column"), [("transcripts", "entry"), ("obligations", "payload")])
async def test_a_row_that_the_journal_refuses(harness: Harness, logbook: Logbook, table: str, column: str) -> None:
    """It fails the turn, or the event, that wrote it, in words; the journal is not taken for broken."""
    await harness.start()
    refuses(harness, table, column)
    question = harness.say("@helper some poison", by=harness.bob)
    await trio.sleep(5)
    await harness.settled()
    assert harness.answers() == [SORRY]
    assert await harness.state(question) == (f"failed: {DEFECT}" if table == "transcripts" else "none")
    (logged,) = logbook.find(LOGGED)
    assert "poison" not in str(logged["exc_info"])
    await serves_on(harness)


async def test_an_answer_that_the_journal_refuses(harness: Harness, logbook: Logbook) -> None:
    """What people have read of it stays, with the sentence below."""
    await harness.start()
    harness.journal.execute(
        "CREATE TRIGGER picky BEFORE UPDATE ON turns WHEN NEW.final LIKE '%poison%'"
        " BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    harness.script = [Say(f"{WORDS} and poison", delay=0.3)]
    question = harness.say("@helper count")
    await harness.settled()
    assert await harness.state(question) == f"failed: {DEFECT}"
    assert harness.answers()[0].endswith(SORRY)
    assert harness.answers()[0].startswith(WORDS)
    assert len(logbook.find(LOGGED)) == 1
    await serves_on(harness)


async def test_a_command_that_the_process_dies_of(harness: Harness) -> None:
    """It is carried out twice at most; the third attempt says that it is given up."""
    await harness.start()
    harness.say("@helper hello")
    await harness.settled()
    question = harness.say("@helper /status")
    await harness.settled()
    harness.journal.execute("DELETE FROM outbox WHERE id LIKE '%.c'")
    harness.journal.execute(
        "UPDATE obligations SET state = 'open', attempts = 2, ended_at = 0 WHERE payload LIKE '%ShowS%'"
    )
    await harness.crash()
    before = len(harness.answers())
    await harness.start()
    await harness.settled()
    await trio.sleep(1)
    assert harness.answers()[before:] == ["I could not answer this, after several tries."]
    assert await harness.state(question) == "failed: gave up at attempt 3"


async def test_a_new_conversation_has_attempts_of_its_own(harness: Harness) -> None:
    """The words behind /new were not tried yet when the command was."""
    await harness.start()
    harness.script = [Pause(600)]
    question = harness.say("@helper /new count to five")
    await harness.until(lambda: harness.agent.open)
    await harness.crash()
    await harness.start()
    await harness.until(lambda: harness.agent.open)
    await harness.crash()
    obligation = await harness.obligation(question)
    assert obligation is not None
    assert obligation.attempts == 2
