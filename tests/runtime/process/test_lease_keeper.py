"""Several processes on one journal: each account is served by one, and goes on at another in the same posts."""

import pytest
import trio

from oc_trio.agent.port import TurnRequest
from oc_trio.agent.scripted import Pause, Say
from oc_trio.config.load import Loaded
from oc_trio.ids import AccountId
from oc_trio.lease import LEASE_SECONDS, MARGIN_SECONDS, RENEW_SECONDS
from oc_trio.runtime.process.lease_keeper import OVERDUE_SECONDS
from oc_trio.runtime.process.placement import Changes
from tests.logbook import Logbook
from tests.runtime.harness import Harness
from tests.runtime.processes import Process, Processes, leases

STOPPED = "an account stops here: its lease has ended"
AWAY = "leases can't be renewed"


def slow(_request: TurnRequest) -> list[object]:
    """Words for a quarter of a minute."""
    return [part for at in range(12) for part in (Say(f"word{at} "), Pause(1.2))]


def whole_answer(harness: Harness) -> str:
    [answer] = harness.answers()
    return answer


async def test_one_serves_and_the_other_stands_by(harness: Harness, processes: Processes, logbook: Logbook) -> None:
    """A standby is ready, says who serves, and sends nothing."""
    one = await processes.start("one")
    began = trio.current_time()
    two = await processes.start("two")
    assert trio.current_time() - began < 2 * RENEW_SECONDS + 0.5
    assert (one.state(), two.state()) == ("live", "standby")
    assert two.detail().startswith("served by ")
    assert two.gateway.health.snapshot()["ready"]
    harness.script = [Say("hello")]
    harness.say("@helper hi")
    await harness.settled()
    assert whole_answer(harness) == "hello"
    assert two.sent == []
    assert (one.metric("lease_held", account="default"), two.metric("lease_held", account="default")) == (1, 0)
    assert two.gateway.health.membership is not None
    membership = two.gateway.health.membership.to_json(trio.current_time())
    assert {each["me"]: each["serves"] for each in membership["processes"]} == {True: [], False: ["default"]}
    assert membership["leases"][0]["lag"] <= RENEW_SECONDS + 0.1
    await two.stop()
    await one.stop()
    assert leases(harness)["default"] == ("", 1)
    assert harness.journal.execute("SELECT count(*) FROM processes").fetchone() == (0,)


async def test_a_dead_holder_is_replaced_within_ten_seconds(harness: Harness, processes: Processes) -> None:
    """The answer that it was writing goes on in its post, with the transcript so far, and is there once."""
    one, two = await processes.pair()
    harness.script = slow
    post = harness.say("@helper tell me")
    await harness.until(lambda: harness.answers() and "word3" in harness.answers()[0])
    draft = harness.ours()[0].id
    await one.kill()
    killed = trio.current_time()
    await harness.until(lambda: two.state() == "live")
    assert trio.current_time() - killed < 10
    await harness.settled()
    assert [each.id for each in harness.ours()] == [draft]
    assert whole_answer(harness).endswith("word11")
    assert await harness.state(post) == "delivered"
    assert two.metric("takeovers_total", account="default") == 1
    assert two.metric("lease_epoch", account="default") == 2


@pytest.mark.parametrize("has_notices", [True, False])
async def test_a_stop_hands_over_at_once(harness: Harness, processes: Processes, has_notices: bool) -> None:
    """The next one has it in the moment that it is free, or else with its next look; it writes on in the same post."""
    processes.has_notices = has_notices
    one, two = (
        await processes.start("one", harness.configured(gateway={"drainSeconds": 1})),
        await processes.start("two"),
    )
    harness.script = slow
    harness.say("@helper tell me")
    await harness.until(lambda: harness.answers() and "word3" in harness.answers()[0])
    draft = harness.ours()[0].id
    one.gateway.stop("SIGTERM")
    await one.ended.wait()
    stopped = trio.current_time()
    await harness.until(lambda: two.state() == "live")
    assert trio.current_time() - stopped < (0.5 if has_notices else RENEW_SECONDS + 0.5)
    await harness.settled()
    assert [each.id for each in harness.ours()] == [draft]
    assert whole_answer(harness).endswith("word11")
    assert two.metric("takeovers_total", account="default") == 0


async def test_a_holder_without_its_database_stops_in_time(
    harness: Harness, processes: Processes, logbook: Logbook
) -> None:
    """Nothing of it reaches the server after the end of its lease, and the other one finishes the answer."""
    one, two = await processes.pair()
    harness.script = slow
    post = harness.say("@helper tell me")
    await harness.until(lambda: harness.answers() and "word3" in harness.answers()[0])
    one.is_cut_off, cut_at = True, trio.current_time()
    await trio.sleep(LEASE_SECONDS - MARGIN_SECONDS - RENEW_SECONDS - 1)
    assert one.gateway.health.membership is not None
    assert one.gateway.health.membership.problem == "postgres: connection refused"
    await harness.until(lambda: two.state() == "live")
    assert trio.current_time() - cut_at < 10
    last = max(at for at, _ in one.sent)
    first = min(at for at, _ in two.sent)
    assert last < cut_at + LEASE_SECONDS - MARGIN_SECONDS
    assert last < first
    assert one.state() == "standby"
    assert not one.gateway.health.is_ready
    await trio.sleep(5)
    one.is_cut_off = False
    await harness.settled()
    await trio.sleep(RENEW_SECONDS)
    assert whole_answer(harness).endswith("word11")
    # Its attempt counts for nothing: it was no fault of the message.
    [attempts] = harness.journal.execute("SELECT attempts FROM obligations WHERE trigger = ?", (post.id,)).fetchone()
    assert attempts == 1
    assert (one.state(), two.state()) == ("standby", "live")
    assert one.gateway.health.is_ready
    assert one.metric("lease_renewal_failures_total") > 0
    assert not logbook.find("defect")
    assert len(logbook.find(AWAY)) == 1
    assert len(logbook.find(STOPPED)) == 1
    assert logbook.find("the journal fail")


async def test_an_edit_of_the_former_holder_that_lands_late_is_repaired(
    harness: Harness, processes: Processes, logbook: Logbook
) -> None:
    """Nobody can call it back. The new holder watches every draft that it goes on with, and writes the text again."""
    one, two = await processes.pair()
    harness.script = slow
    harness.say("@helper tell me")
    await harness.until(lambda: harness.answers() and "word3" in harness.answers()[0])
    one.held_back = "/patch"
    await harness.until(lambda: len(one.sent) > 0 and one.sent[-1][1].endswith("/patch"))
    await trio.sleep(2)
    await one.kill()
    await harness.settled()
    assert whole_answer(harness).endswith("word11")
    one.let_go.set()
    await harness.until(lambda: logbook.find("an edit landed after the final text"))
    await harness.until(lambda: whole_answer(harness).endswith("word11"))
    [answer] = [entry for entry in harness.world.transcript(harness.square) if entry.username == "helper"]
    before, late, repaired = [text for _, text in answer.versions][-3:]
    assert before == repaired != late
    assert two.state() == "live"


async def test_a_post_of_the_former_holder_that_lands_late_is_removed(harness: Harness, processes: Processes) -> None:
    """The server has forgotten its key by then and makes a second post of it."""
    one, two = await processes.pair()
    harness.script = [Say("here I am")]
    one.held_back = "/posts"
    post = harness.say("@helper are you there?")
    await harness.until(lambda: one.sent and one.sent[-1][1].endswith("/posts"))
    await one.kill()
    await harness.until(lambda: two.state() == "live")
    await harness.settled()
    assert harness.answers() == ["here I am"]
    await trio.sleep(40)
    one.let_go.set()
    await harness.until(lambda: len(harness.ours(deleted=True)) == 2)
    await harness.until(lambda: len(harness.ours()) == 1)
    assert harness.answers() == ["here I am"]
    assert await harness.state(post) == "delivered"


async def test_alone_it_goes_on_when_the_database_is_back(
    harness: Harness, processes: Processes, logbook: Logbook
) -> None:
    """Nobody has taken over: it serves again at once, with a new epoch."""
    one = await processes.start()
    one.is_cut_off = True
    await trio.sleep(20)
    assert (one.state(), one.detail()) == ("standby", "the database does not answer")
    said = harness.say("@helper are you there?")
    harness.script = [Say("yes")]
    one.is_cut_off, back_at = False, trio.current_time()
    await harness.until(lambda: one.state() == "live")
    assert trio.current_time() - back_at < 2
    await harness.settled()
    assert whole_answer(harness) == "yes"
    assert await harness.state(said) == "delivered"
    assert leases(harness)["default"][1] == 2
    assert logbook.find("the journal fail")
    assert logbook.find(STOPPED)


async def test_a_short_outage_costs_nothing(harness: Harness, processes: Processes, logbook: Logbook) -> None:
    """Two renewals fail, and the account has not been interrupted."""
    one = await processes.start()
    one.is_cut_off = True
    await trio.sleep(2 * RENEW_SECONDS - 0.5)
    one.is_cut_off = False
    await trio.sleep(RENEW_SECONDS)
    assert one.state() == "live"
    assert leases(harness)["default"][1] == 1
    assert len(logbook.find("leases are renewed again")) == 1


async def test_a_slow_database_is_asked_more_often(harness: Harness, processes: Processes) -> None:
    """The time that a renewal takes is a part of the time until the next one."""
    one = await processes.start()
    one.latency = 2.5
    await trio.sleep(30)
    assert one.state() == "live"
    assert leases(harness)["default"][1] == 1
    one.latency = 0.0


async def test_a_machine_that_slept_sends_nothing_before_it_has_asked(
    harness: Harness, processes: Processes, logbook: Logbook
) -> None:
    """Its first word is a question to the database; what it was writing is the other one's by then."""
    one, two = await processes.pair()
    harness.script = slow
    harness.say("@helper tell me")
    await harness.until(lambda: harness.answers() and "word3" in harness.answers()[0])
    # Somebody else has it, and Trio's clock has stood still meanwhile.
    harness.journal.execute("UPDATE leases SET holder = 'another', epoch = 2, deadline = oc_now_ms() + 3000")
    one.slept, woken = 60, trio.current_time()
    await trio.sleep(2.9)
    assert max(at for at, _ in one.sent) <= woken
    assert two.sent == []
    await harness.settled()
    assert whole_answer(harness).endswith("word11")
    assert leases(harness)["default"][1] == 3
    assert len(logbook.find(STOPPED)) == 1


async def test_a_message_at_which_the_process_stands_still_is_given_up(
    harness: Harness, processes: Processes, logbook: Logbook
) -> None:
    """It costs the lease each time, as an outage does; that counts for nothing once in a while only."""
    one = await processes.start()
    harness.script = slow
    post = harness.say("@helper tell me")
    await harness.until(lambda: harness.agent.requests)
    losses = 0
    while await harness.state(post) == "open":
        await trio.sleep(1.5)
        one.slept += 60
        losses += 1
        await harness.until(lambda after=losses: leases(harness)["default"][1] > after)  # type: ignore[misc]
        await harness.until(lambda: one.state() == "live")
        await trio.sleep(0.5)
    assert await harness.state(post) == "failed: gave up at attempt 3"
    assert len(harness.agent.requests) == losses == 3
    assert logbook.find(STOPPED)
    assert logbook.find("turn ended")


async def test_who_is_overtaken_stops_with_its_next_write(
    harness: Harness, processes: Processes, logbook: Logbook
) -> None:
    """Though its own clock still trusts the lease: the journal refuses what it writes."""
    one = await processes.start()
    harness.journal.execute("UPDATE leases SET holder = 'another', epoch = 7, deadline = oc_now_ms() + 7000")
    sent = len(one.sent)
    harness.say("@helper hello?")
    await trio.sleep(1)
    assert one.state() == "standby"
    assert len(one.sent) == sent
    # That one never renews.
    await harness.until(lambda: one.state() == "live")
    await harness.settled()
    assert len(harness.answers()) == 1
    assert leases(harness)["default"][1] == 8
    [line] = logbook.find(STOPPED)
    assert line["problem"] == "another process serves the account by now"
    assert not logbook.find("starting it again")


async def test_accounts_spread_when_a_process_joins(harness: Harness, processes: Processes) -> None:
    """One moves, by a drain of at most a few seconds, and none moves back; both go on answering."""
    bot = harness.world.create_bot("second", team=harness.team)
    loaded = harness.configured({"accounts": {"second": {"botToken": bot.token}}})
    harness.square = harness.world.create_channel(harness.team, "all", harness.alice, harness.bob, harness.bot, bot)
    one = await processes.start("one", loaded)
    await harness.until(lambda: one.serves == {"default", "second"})
    two = await processes.start("two", loaded)
    await harness.until(lambda: len(two.serves) == 1 == len(one.serves))
    assert one.serves | two.serves == {"default", "second"}
    moved = dict(leases(harness))
    await trio.sleep(60)
    assert dict(leases(harness)) == moved
    harness.script = [Say("served")]
    harness.say("@helper hi")
    harness.say("@second hi")
    await trio.sleep(5)
    posts = [post for post in harness.world.posts.of_channel(harness.square.id) if post.message == "served"]
    assert {post.user_id for post in posts} == {harness.bot.id, bot.id}
    await one.stop()
    await harness.until(lambda: two.serves == {"default", "second"}, within=10)


async def test_a_reload_pins_and_unpins(harness: Harness, processes: Processes) -> None:
    """What a process may not serve any more goes to one that may, and an account that is gone is given back."""
    bot = harness.world.create_bot("second", team=harness.team)
    both = {"accounts": {"second": {"botToken": bot.token}}}
    loaded = harness.configured(both)
    one = await processes.start("one", loaded)
    two = await processes.start("two", harness.configured(both, gateway={"accounts": ["Second"]}))
    await harness.until(lambda: two.serves == {"second"} and one.serves == {"default"})

    async def reload(process: Process, fresh: Loaded) -> None:
        async def reread() -> Loaded:
            await trio.lowlevel.checkpoint()
            return fresh

        process.gateway.reread = reread
        await process.gateway.reload()

    await reload(two, harness.configured(both, gateway={"accounts": ["default"]}))
    await harness.until(lambda: one.serves == {"second"} and two.serves == {"default"}, within=20)
    await reload(two, harness.configured())
    await reload(one, harness.configured())
    await harness.until(lambda: len(one.serves | two.serves) == 1, within=20)
    await harness.until(lambda: leases(harness)["second"][0] == "")
    assert "second" not in {health.account for health in one.gateway.health.accounts}
    # Another setting restarts the account where it is, under the same lease.
    [holder] = [process for process in (one, two) if process.serves]
    epoch = leases(harness)["default"]
    await reload(holder, harness.configured({"replyToMode": "off"}))
    await harness.until(lambda: holder.serves == {"default"})
    assert leases(harness)["default"] == epoch


async def test_where_the_next_one_can_not_another_takes_over(
    harness: Harness, processes: Processes, logbook: Logbook
) -> None:
    """The process that should have it has just lost the database: the third one has it within ten seconds, too."""
    one, two, three = [await processes.start(name) for name in ("one", "two", "three")]
    one.is_cut_off, cut_at = True, trio.current_time()
    # So late that it still counts as alive when the lease ends. Of two that serve nothing the older one is next.
    await trio.sleep(LEASE_SECONDS - 2 * RENEW_SECONDS)
    two.is_cut_off = True
    await harness.until(lambda: three.state() == "live")
    assert OVERDUE_SECONDS + LEASE_SECONDS - RENEW_SECONDS < trio.current_time() - cut_at < 10
    one.is_cut_off = two.is_cut_off = False
    assert logbook.find(AWAY)
    assert logbook.find(STOPPED)
    logbook.find("the journal fail")


async def test_a_start_waits_for_its_own_former_lease(harness: Harness, processes: Processes) -> None:
    """Killed and started again at once, it is as any other process: it serves when the lease has ended."""
    one = await processes.start("one")
    await one.kill()
    killed = trio.current_time()
    again = await processes.start("again")
    assert LEASE_SECONDS - RENEW_SECONDS - 0.5 < trio.current_time() - killed < 10
    assert again.state() == "live"


async def test_an_account_that_fails_keeps_its_lease(harness: Harness, processes: Processes, logbook: Logbook) -> None:
    """It is started again where it is, as without leases."""
    one, two = await processes.pair()

    async def break_it(_request: object) -> None:
        raise ZeroDivisionError("a bug")

    harness.faults.before_rules.append(break_it)
    await harness.until(lambda: logbook.find("account failed"), within=120)
    harness.faults.before_rules.remove(break_it)
    await harness.until(lambda: one.state() == "live", within=120)
    assert logbook.find("account failed")
    assert leases(harness)["default"][1] == 1
    assert two.state() == "standby"


async def test_two_that_start_at_once_share(harness: Harness, processes: Processes) -> None:
    """Neither fails, and one of them serves."""
    started = list[Process]()

    async def begin(name: str) -> None:
        started.append(await processes.start(name))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(begin, "one")
        nursery.start_soon(begin, "two")
    assert sorted(process.state() for process in started) == ["live", "standby"]


async def test_one_process_at_its_sqlite_has_no_leases(harness: Harness) -> None:
    """Nothing is written for them."""
    await harness.start()
    harness.say("@helper hi")
    await harness.settled()
    assert leases(harness) == {}
    assert harness.journal.execute("SELECT count(*) FROM processes").fetchone() == (0,)
    assert harness.gateway is not None
    assert "membership" not in harness.gateway.health.snapshot()


@pytest.mark.parametrize("way", ["stop", "hand over"])
async def test_a_failure_of_the_journal_counts_no_attempt_where_the_account_then_moves(
    harness: Harness, processes: Processes, logbook: Logbook, way: str
) -> None:
    """The account leaves the process during the pause after the failure, before it has gone on there."""
    one, two = await processes.pair()
    harness.script = slow
    post = harness.say("@helper tell me")
    await harness.until(lambda: harness.answers() and "word1" in harness.answers()[0])
    one.is_cut_off = True
    harness.say("@helper and this?")
    await harness.until(lambda: one.state() == "failed")
    one.is_cut_off = False
    if way == "stop":
        one.gateway.stop("SIGTERM")
    else:
        # As a reload that pins it to others does.
        assert one.gateway._reloader is not None
        await one.gateway._reloader.placement.apply(Changes(stop=(AccountId("default"),)), {}, 1.0)
    await harness.until(lambda: two.state() == "live" and harness.agent.open > 0)
    # Now, since the answer's end sets it back.
    [attempts] = harness.journal.execute("SELECT attempts FROM obligations WHERE trigger = ?", (post.id,)).fetchone()
    assert attempts == 1
    await harness.settled()
    assert await harness.state(post) == "delivered"
    logbook.find("the journal failed; starting the account again")
