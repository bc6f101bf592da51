"""Whatever is raised for one message fails that message, in words, and nothing else."""

from collections.abc import Awaitable, Callable

import httpx
import pytest
import trio

from oc_trio.agent.scripted import CallTool, Pause, Say
from oc_trio.errors import MattermostUnavailable, StoreError
from oc_trio.ids import AccountId
from oc_trio.runtime.error_boundary import DEFECT, SORRY, Border
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from oc_trio.telemetry.metrics import Metrics
from tests.logbook import Logbook
from tests.runtime.harness import Town

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
def border() -> Border:
    return Border(AccountId("default"), Metrics())


def counted(border: Border, part: str = "turn") -> float:
    return (
        border.metrics.registry.get_sample_value("oc_trio_defects_total", {"account": border.account, "kind": part})
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
async def test_a_defect_ends_at_the_border(border: Border, logbook: Logbook, problem: BaseException) -> None:
    """It is returned, logged once with its traceback and the ids, and counted."""
    defect = await border.contain(raising(problem), "turn", lambda: {"turn": "t1"})
    assert defect is not None
    (logged,) = logbook.said(LOGGED)
    assert (logged["turn"], logged["exc_info"], logged["level"]) == ("t1", defect, "error")
    assert counted(border) == 1


async def test_what_goes_well_leaves_no_trace(border: Border, logbook: Logbook) -> None:
    """Nothing is returned, logged or counted."""
    assert await border.contain(trio.lowlevel.checkpoint, "turn") is None
    assert (logbook.events, counted(border)) == ([], 0)


@pytest.mark.parametrize("problem", [StoreError("full"), ExceptionGroup("x", [StoreError("full")])], ids=repr)
async def test_the_journals_errors_cross_it(border: Border, logbook: Logbook, problem: Exception) -> None:
    """As they are: without its journal an account can't go on."""
    with pytest.raises(type(problem)) as raised:
        await border.contain(raising(problem), "turn")
    assert raised.value is problem
    assert not logbook.said(LOGGED)


async def test_what_comes_with_a_journals_error_is_logged(border: Border, logbook: Logbook) -> None:
    """The journal's part goes on alone."""
    with pytest.RaisesGroup(StoreError):
        await border.contain(raising(StoreError("full"), KeyError("x")), "turn")
    assert len(logbook.said(LOGGED)) == 1


async def test_cancellation_crosses_it(border: Border, logbook: Logbook) -> None:
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
            await border.contain(body, "turn")
            pytest.fail("went on although it was cancelled")
        assert scope.cancelled_caught
    assert len(logbook.said(LOGGED)) == 1


# through the gateway


def failing(problem: Exception, *before: object) -> Callable[[object], object]:
    def script(_request: object) -> object:
        yield from before
        raise problem

    return script


async def serves_on(town: Town) -> None:
    """The account was not started again, and answers the next question in the same thread and elsewhere."""
    assert town.gateway is not None
    account = {"account": "default"}
    assert not town.gateway.metrics.registry.get_sample_value("oc_trio_account_restarts_total", account)
    town.script = [Say("here I am")]
    other = town.say("@helper still there?", by=town.bob)
    await town.settled()
    assert await town.state(other) == "delivered"
    assert town.answers()[-1] == "here I am"


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
async def test_an_agent_that_raises_before_a_word(town: Town, logbook: Logbook, problem: Exception) -> None:
    """One sentence, a failed obligation, one traceback with the turn's id."""
    await town.start()
    town.script = failing(problem)  # type: ignore[assignment]
    asked = town.say("@helper go")
    await town.settled()
    assert town.answers() == [SORRY]
    assert await town.state(asked) == f"failed: {DEFECT}"
    obligation = await town.obligation(asked)
    (logged,) = logbook.said(LOGGED)
    assert obligation is not None
    assert (logged["turn"], logged["account"]) == (obligation.turn, "default")
    assert logged["exc_info"] is not None
    await serves_on(town)


async def test_what_people_have_read_stays(town: Town, logbook: Logbook) -> None:
    """The sentence stands below the words, in the same post, and the next turn knows both."""
    await town.start()
    town.script = failing(KeyError("x"), Say(WORDS, delay=0.5))  # type: ignore[assignment]
    asked = town.say("@helper count")
    await town.settled()
    assert town.answers() == [f"{WORDS}\n\n{SORRY}"]
    assert len(town.ours(deleted=True)) == 1
    assert await town.state(asked) == f"failed: {DEFECT}"
    assert logbook.said(LOGGED)
    town.script = [Say("yes")]
    town.say("@helper go on", root=asked)
    await town.settled()
    assert [message.text for message in town.stage.requests[-1].messages][1] == f"{WORDS}\n\n{SORRY}"


async def test_a_tool_that_raises(town: Town, logbook: Logbook) -> None:
    """As an agent that does."""

    class Box:
        specs = ()

        async def call(self, _call: object) -> object:
            raise TypeError("a tool's own mistake")

    def script(request: object) -> object:
        object.__setattr__(request, "tools", Box())
        yield Say("let me look")
        yield CallTool("look")

    await town.start()
    town.script = script  # type: ignore[assignment]
    asked = town.say("@helper look")
    await town.settled()
    assert len(town.answers()) == 1
    assert SORRY in town.answers()[0]
    assert (await town.state(asked)).startswith("failed")
    assert len(logbook.said(LOGGED)) == 1
    await serves_on(town)


async def test_a_defect_before_the_agent_is_asked(town: Town, logbook: Logbook) -> None:
    """A conversation whose settings can't be read: each of its turns fails in words, other conversations are served."""
    await town.start()
    first = town.say("@helper hello")
    await town.settled()
    town.journal.execute("UPDATE sessions SET settings = '[1]'")
    asked = town.say("@helper again", root=first)
    await town.settled()
    assert town.answers()[-1] == SORRY
    assert await town.state(asked) == f"failed: {DEFECT}"
    assert logbook.said(LOGGED)
    await serves_on(town)


async def test_a_decided_end_that_can_not_be_delivered(town: Town, logbook: Logbook) -> None:
    """It is given up in plain words, below what its draft shows."""
    await town.start()
    town.script = [Say(WORDS, delay=0.5), Pause(600)]
    asked = town.say("@helper count")
    await town.until(lambda: town.answers() == [WORDS])
    await town.crash()
    town.journal.execute('UPDATE turns SET final = \'{"state": "delivered", "nonsense": 1}\'')
    await town.start()
    await town.settled()
    assert town.answers() == [f"{WORDS}\n\n{SORRY}"]
    assert await town.state(asked) == f"failed: {DEFECT}"
    assert len(logbook.said(LOGGED)) == 1
    await serves_on(town)


async def test_replies_to_words_of_failure_are_heard(town: Town, logbook: Logbook) -> None:
    """A turn that could not even be prepared has its thread all the same: who writes on there needs no mention."""
    await town.start()
    town.script = [Pause(600)]
    asked = town.say("@helper count")
    await town.until(lambda: town.stage.open)
    await town.crash()
    town.journal.execute("UPDATE turns SET final = '[]'")
    await town.start()
    await town.settled()
    assert town.answers() == [SORRY]
    assert logbook.said(LOGGED)
    town.script = [Say("I hear you")]
    more = town.say("and now?", root=asked)
    await town.settled()
    assert await town.state(more) == "delivered"


async def test_a_process_that_dies_while_it_delivers(town: Town) -> None:
    """The end was decided in the first attempt; the third one gives it up, and says so below the draft."""
    await town.start()
    town.script = [Say(WORDS, delay=0.5), Pause(600)]
    asked = town.say("@helper count")
    await town.until(lambda: town.answers() == [WORDS])
    await town.crash()
    town.journal.execute("UPDATE obligations SET attempts = 2")
    await town.start()
    await town.settled()
    assert town.answers() == [f"{WORDS}\n\nI could not answer this, after several tries."]
    assert await town.state(asked) == "failed: gave up at attempt 3"
    assert len(town.stage.requests) == 1


async def test_settings_that_can_not_be_read_at_a_start(town: Town, logbook: Logbook) -> None:
    """The conversation's queue rules are the configured ones, its turns and commands fail in words."""
    await town.start()
    first = town.say("@helper hello")
    await town.settled()
    await town.stop()
    town.journal.execute("UPDATE sessions SET settings = '[1]'")
    await town.start()
    for text in ("@helper again", "@helper /status"):
        asked = town.say(text, root=first)
        await town.settled()
        assert town.answers()[-1] == SORRY
        assert await town.state(asked) == f"failed: {DEFECT}"
    assert [line["failed"] for line in logbook.said(LOGGED)] == ["queue rules", "turn", "command"]
    await serves_on(town)


async def test_an_event_that_the_program_fails_at(town: Town, logbook: Logbook) -> None:
    """An edit, a reaction or a deletion that can't be handled is passed over; its message is answered all the same."""
    await town.start()
    fails = ["/posts/", "/channels/", "/users/"]

    async def mistake(request: SandboxRequest) -> SandboxResponse | None:
        if request.method == "GET" and any(path in request.path for path in fails):
            raise LookupError("a mistake in the program")
        return None

    town.script = [Say("done", delay=3.0)]
    asked = town.say("@helper hello")
    await town.until(lambda: town.stage.open)
    town.weather.before_rules.append(mistake)
    town.edit(asked, "@helper hello there")
    await trio.sleep(1.5)
    town.weather.before_rules.clear()
    await town.settled()
    assert town.answers() == ["done"]
    assert [(line["kind"], line["post"]) for line in logbook.said(LOGGED)] == [("PostEdited", asked.id)]
    await serves_on(town)


@pytest.mark.parametrize(
    "trouble",
    [503, 429, httpx.ConnectError("no"), httpx.ReadTimeout("no"), OSError("no"), trio.BrokenResourceError()],
    ids=repr,
)
async def test_an_event_that_the_server_has_no_facts_for(
    town: Town, logbook: Logbook, trouble: int | Exception
) -> None:
    """Passing trouble is no defect: the event is told again after a reconnect, and its message answered once."""
    await town.start()
    until, met = trio.current_time() + 20, list[str]()

    async def away(request: SandboxRequest) -> SandboxResponse | None:
        is_fact = request.method == "GET" and any(path in request.path for path in ("/users/", "/channels/"))
        if not is_fact or trio.current_time() >= until:
            return None
        met.append(request.path)
        if isinstance(trouble, Exception):
            raise trouble
        return SandboxResponse.json({"id": "app.away", "message": "no"}, trouble)

    town.weather.before_rules.append(away)
    town.script = [Say("done")]
    asked = town.say("@helper hello", by=town.bob)
    await trio.sleep(120)
    await town.settled()
    assert len(met) > 1
    assert town.answers() == ["done"]
    assert await town.state(asked) == "delivered"
    assert logbook.said(LOGGED) == []


def mistaken(town: Town, times: int, *paths: str) -> list[str]:
    """So many looks at such a path raise; returns those that did."""
    met: list[str] = []

    async def mistake(request: SandboxRequest) -> SandboxResponse | None:
        if request.method != "GET" or not any(path in request.path for path in paths) or len(met) >= times:
            return None
        met.append(request.path)
        raise LookupError("a mistake in the program")

    town.weather.before_rules.append(mistake)
    return met


def retried(logbook: Logbook) -> int:
    return len(logbook.said("a defect; trying again"))


@pytest.mark.parametrize("times", [1, 2])
async def test_a_message_that_a_later_try_can_handle(town: Town, logbook: Logbook, times: int) -> None:
    """A defect of the moment loses nothing: the message is answered, once."""
    await town.start()
    met = mistaken(town, times, "/users/")
    town.script = [Say("done")]
    asked = town.say("@helper hello", by=town.bob)
    await town.settled()
    await trio.sleep(5)
    assert len(met) == times == retried(logbook)
    assert town.answers() == ["done"]
    assert await town.state(asked) == "delivered"
    assert logbook.said(LOGGED) == []


async def test_a_caught_up_message_that_a_later_try_can_handle(town: Town, logbook: Logbook) -> None:
    """The same for what was said while nobody was there."""
    await town.start()
    await town.stop()
    town.script = [Say("done")]
    asked = town.say("@helper hello", by=town.bob)
    met = mistaken(town, 2, f"/users/{town.bob.id}")
    await town.start()
    await trio.sleep(5)
    await town.settled()
    assert len(met) == 2 == retried(logbook)
    assert town.answers() == ["done"]
    assert await town.state(asked) == "delivered"


async def test_a_message_that_no_try_can_handle(town: Town, logbook: Logbook) -> None:
    """Who plainly asked is told, once, also by a restart; others are answered."""
    await town.start()
    mistaken(town, 3, f"/users/{town.bob.id}")
    asked = town.say("@helper hello", by=town.bob)
    await trio.sleep(5)
    assert town.answers() == [SORRY]
    assert town.ours()[0].root_id == asked.id
    assert await town.state(asked) == "none"
    assert retried(logbook) == 2
    assert [line["failed"] for line in logbook.said(LOGGED)] == ["event"]
    await town.stop()
    await town.start()
    await trio.sleep(30)
    assert town.answers() == [SORRY]
    await serves_on(town)


async def test_words_that_a_restart_sends(town: Town, logbook: Logbook) -> None:
    """Who is passed over is told by the next run where this one could not."""
    await town.start()
    mistaken(town, 3, f"/users/{town.bob.id}")
    away = True

    async def refuse(request: SandboxRequest) -> SandboxResponse | None:
        is_post = request.method == "POST" and request.path.endswith("/posts")
        return SandboxResponse.json({"id": "app.away", "message": "no"}, 503) if away and is_post else None

    town.weather.before_rules.append(refuse)
    town.say("@helper hello", by=town.bob)
    await trio.sleep(5)
    await town.crash()
    away = False
    assert town.answers() == []
    await town.start()
    await trio.sleep(5)
    assert town.answers() == [SORRY]
    assert len(logbook.said(LOGGED)) == 1


@pytest.mark.parametrize(("text", "by"), [("good morning", "bob"), ("@helper hello", "other bot")])
async def test_who_did_not_ask_is_not_told(town: Town, logbook: Logbook, text: str, by: str) -> None:
    """Chatter and other bots are passed over in silence."""
    robot = town.world.create_bot("robot", team=town.team)
    town.world.membership.add(town.square, town.world.users.get(robot.id), town.alice)
    await town.start()
    other = town.bob if by == "bob" else town.world.users.get(robot.id)
    mistaken(town, 3, f"/users/{other.id}")
    asked = town.say(text, by=other)
    await trio.sleep(5)
    assert town.answers() == []
    assert await town.state(asked) == "none"
    assert len(logbook.said(LOGGED)) == 1


async def test_what_fails_always_holds_nobody_up(town: Town, logbook: Logbook) -> None:
    """After one was given up, others that can't be handled are passed over at once."""
    await town.start()
    mistaken(town, 1000, f"/users/{town.bob.id}")
    began = trio.current_time()
    for number in range(20):
        town.say(f"@helper {number}", by=town.bob)
    town.script = [Say("done")]
    asked = town.say("@helper hello")
    await town.until(lambda: "done" in town.answers())
    assert trio.current_time() - began < 3
    await town.settled()
    assert await town.state(asked) == "delivered"
    assert logbook.said(LOGGED)


def refuses(town: Town, table: str, column: str) -> None:
    """The journal takes no row of that table in which somebody speaks of poison."""
    town.journal.execute(
        f"CREATE TRIGGER picky BEFORE INSERT ON {table} WHEN NEW.{column} LIKE '%poison%'"
        " BEGIN SELECT RAISE(ABORT, 'some poison'); END"
    )


@pytest.mark.parametrize(("table", "column"), [("transcripts", "entry"), ("obligations", "payload")])
async def test_a_row_that_the_journal_refuses(town: Town, logbook: Logbook, table: str, column: str) -> None:
    """It fails the turn, or the event, that wrote it, in words; the journal is not taken for broken."""
    await town.start()
    refuses(town, table, column)
    asked = town.say("@helper some poison", by=town.bob)
    await trio.sleep(5)
    await town.settled()
    assert town.answers() == [SORRY]
    assert await town.state(asked) == (f"failed: {DEFECT}" if table == "transcripts" else "none")
    (logged,) = logbook.said(LOGGED)
    assert "poison" not in str(logged["exc_info"])
    await serves_on(town)


async def test_an_answer_that_the_journal_refuses(town: Town, logbook: Logbook) -> None:
    """What people have read of it stays, with the sentence below."""
    await town.start()
    town.journal.execute(
        "CREATE TRIGGER picky BEFORE UPDATE ON turns WHEN NEW.final LIKE '%poison%'"
        " BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    town.script = [Say(f"{WORDS} and poison", delay=0.3)]
    asked = town.say("@helper count")
    await town.settled()
    assert await town.state(asked) == f"failed: {DEFECT}"
    assert town.answers()[0].endswith(SORRY)
    assert town.answers()[0].startswith(WORDS)
    assert len(logbook.said(LOGGED)) == 1
    await serves_on(town)


async def test_a_command_that_the_process_dies_of(town: Town) -> None:
    """It is carried out twice at most; the third attempt says that it is given up."""
    await town.start()
    town.say("@helper hello")
    await town.settled()
    asked = town.say("@helper /status")
    await town.settled()
    town.journal.execute("DELETE FROM outbox WHERE id LIKE '%.c'")
    town.journal.execute(
        "UPDATE obligations SET state = 'open', attempts = 2, ended_at = 0 WHERE payload LIKE '%ShowS%'"
    )
    await town.crash()
    before = len(town.answers())
    await town.start()
    await town.settled()
    await trio.sleep(1)
    assert town.answers()[before:] == ["I could not answer this, after several tries."]
    assert await town.state(asked) == "failed: gave up at attempt 3"


async def test_a_new_conversation_has_attempts_of_its_own(town: Town) -> None:
    """The words behind /new were not tried yet when the command was."""
    await town.start()
    town.script = [Pause(600)]
    asked = town.say("@helper /new count to five")
    await town.until(lambda: town.stage.open)
    await town.crash()
    await town.start()
    await town.until(lambda: town.stage.open)
    await town.crash()
    obligation = await town.obligation(asked)
    assert obligation is not None
    assert obligation.attempts == 2
