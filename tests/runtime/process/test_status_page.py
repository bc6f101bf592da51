"""The status page of a running gateway: what goes on is shown while it does, and an operator can act on it."""

import json
from typing import cast

import httpx
import trio
from attrs import define, evolve

from oc_trio.agent.scripted import Pause, Say
from oc_trio.errors import StoreError
from oc_trio.runtime.process.admin import admin_app, run_feed
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from oc_trio.store.recent import Recent, RecentRows
from tests.admin.page_client import Browser, Stream, open_stream
from tests.logbook import Logbook
from tests.runtime.harness import Harness

PAIRING = {"dmPolicy": "pairing", "allowFrom": []}


@define(eq=False)
class Page:
    """A browser that has logged in to the page of the harness's gateway, with its events."""

    browser: Browser
    stream: Stream

    def table(self, name: str) -> list[list[str]]:
        """The texts of a table as it is shown now; times are left out."""
        parts = [part for _, data in self.stream.events for part in (data or {}).get("parts", ()) if part["id"] == name]
        return [
            [cell if isinstance(cell, str) else cell.get("text", "") for cell in row["cells"]]
            for row in parts[-1]["rows"]
        ]

    def texts(self) -> list[str]:
        """Each text of an answer as it was shown, in order."""
        shown = [""]
        for name, data in self.stream.events:
            if name == "snapshot":
                shown += data["texts"].values()
            elif name == "text":
                shown.append(data["text"] if "text" in data else shown[-1] + data["append"])
        return shown[1:]

    async def act(self, name: str, **fields: str) -> tuple[bool, str]:
        """Press a button of the page."""
        reply = await self.browser.post(
            f"/actions/{name}", {"accept": "application/json"}, csrf=await self.browser.csrf(), **fields
        )
        answer = json.loads(reply.text)
        return answer["ok"], answer["text"]


async def open_page(harness: Harness, nursery: trio.Nursery, recent: "FlakyRecent | None" = None) -> Page:
    assert harness.gateway is not None
    store = harness.store if recent is None else evolve(harness.store, recent=cast("Recent", recent))
    inputs = harness.gateway.admin_inputs(store)
    app = admin_app(inputs)
    for feed in (app.operator_feed, app.public_feed):
        nursery.start_soon(run_feed, inputs, feed)
    browser = Browser(app)
    await browser.log_in()
    stream = open_stream(nursery, browser)
    await stream.until(lambda: stream.events)
    return Page(browser, stream)


async def test_an_answer_grows(harness: Harness, nursery: trio.Nursery) -> None:
    """While it is written its text, who asked and what the agent does are shown; then how it ended, and how long."""
    await harness.start()
    page = await open_page(harness, nursery)
    assert page.table("turns") == []
    harness.script = [Pause(2), Say("one two three", delay=1.0), Pause(3)]
    harness.say("@helper count")
    await trio.sleep(1.5)
    ((who, account, where, _, state),) = page.table("turns")
    assert (who, account, state) == ("@alice", "default", "waiting for the model")
    assert where.startswith("thread in ~square: agent:main:mattermost:")
    await harness.settled()
    await trio.sleep(3)
    assert page.texts() == ["", "one", "one two", "one two three"]
    assert page.table("turns") == []
    ((_, who, _, _, state, reason, took),) = page.table("outcomes")
    assert (who, state, reason) == ("@alice", "delivered", "")
    assert float(took.removesuffix(" s")) > 5


async def test_what_waits(harness: Harness, nursery: trio.Nursery) -> None:
    """Messages behind a running answer are counted, with who sent them."""
    await harness.start(messages={"queue": {"mode": "followup"}})
    harness.script = [Say("slow", delay=20.0)]
    root = harness.say("@helper one")
    await trio.sleep(1)
    harness.say("@helper two", root=root)
    harness.say("@helper three", root=root, by=harness.bob)
    await trio.sleep(1)
    page = await open_page(harness, nursery)
    ((count, names, account, _, _),) = page.table("queues")
    assert (count, names, account) == ("2", "@alice, @bob", "default")


async def test_an_operator_stops_an_answer(harness: Harness, nursery: trio.Nursery, logbook: Logbook) -> None:
    """As /stop does; the log says that it was an operator on this machine. A second press says that it is over."""
    await harness.start()
    harness.script = [Say("one two three four", delay=5.0)]
    post = harness.say("@helper count")
    await trio.sleep(12)
    page = await open_page(harness, nursery)
    session = page.table("turns")[0][2].partition(": ")[2]
    assert await page.act("stop", session=session, account="default") == (True, f"Stopped: {session}")
    await harness.settled()
    assert await harness.state(post) == "cancelled: stopped"
    (event,) = logbook.find("an operator stopped a turn")
    assert (event["by"], event["session"], event["accounts"]) == ("local", session, ("default",))
    assert await page.act("stop", session=session) == (False, "Nothing is running there any more.")
    assert await page.act("stop", session=session, account="other") == (False, "Nothing is running there any more.")
    assert await page.act("stop") == (False, "The field session is missing.")


async def test_an_operator_lets_somebody_in(harness: Harness, nursery: trio.Nursery, logbook: Logbook) -> None:
    """By the page as by the command, and tells them where that was ticked."""
    await harness.start(PAIRING)
    page = await open_page(harness, nursery)
    direct = harness.direct()
    harness.say("hello", channel=direct)
    await trio.sleep(3)
    ((who, user_id, account, code, _, _),) = page.table("pairing")
    assert (who, user_id) == ("@alice", harness.alice.id)
    done = "@alice may write to account default now."
    assert await page.act("approve", account=account, code=code.lower(), notify="yes") == (True, done)
    await trio.sleep(1)
    assert page.table("pairing") == []
    assert harness.answers(direct)[-1] == "You may write to me here now."
    (event,) = logbook.find("let somebody in")
    assert (event["by"], event["user"], event["notified"]) == ("local", user_id, True)
    harness.script = [Say("welcome")]
    harness.say("again", channel=direct)
    await harness.settled()
    assert harness.answers(direct)[-1] == "welcome"
    gone = "That request does not wait any more: it was answered, or is void."
    assert await page.act("approve", account=account, code=code) == (False, gone)


async def test_an_operator_dismisses_somebody(harness: Harness, nursery: trio.Nursery, logbook: Logbook) -> None:
    """They are not let in, and may ask again."""
    await harness.start(PAIRING)
    harness.say("hello", channel=harness.direct())
    await trio.sleep(3)
    page = await open_page(harness, nursery)
    ((_, _, account, code, _, _),) = page.table("pairing")
    result_text = "@alice was not let in, and may ask again."
    assert await page.act("dismiss", account=account, code=code) == (True, result_text)
    assert await harness.store.pairing.pending(None, harness.now_ms()) == ()
    assert await harness.store.pairing.approved(harness.account) == frozenset()
    assert logbook.find("an operator dismissed a request")[0]["user"] == harness.alice.id
    assert not (await page.act("dismiss", account=account, code=code))[0]


async def test_who_could_not_be_told(harness: Harness, nursery: trio.Nursery) -> None:
    """Is let in all the same, and the operator reads why."""
    await harness.start(PAIRING)
    harness.say("hello", channel=harness.direct())
    await trio.sleep(3)
    page = await open_page(harness, nursery)
    ((_, _, account, code, _, _),) = page.table("pairing")

    async def no_posts(request: SandboxRequest) -> SandboxResponse | None:
        await trio.lowlevel.checkpoint()
        if request.method == "POST" and request.path.endswith("/posts"):
            raise httpx.ConnectError("the cable is out")
        return None

    harness.faults.before_rules.append(no_posts)
    ok, text = await page.act("approve", account=account, code=code, notify="yes")
    assert ok
    assert text.startswith("@alice may write to account default now, but could not be told: ")
    assert await harness.store.pairing.approved(harness.account) == {harness.alice.id}


async def test_texts_are_kept_from_operators(harness: Harness, nursery: trio.Nursery) -> None:
    """Where the configuration says so: who is answered is shown, what is said is not."""
    await harness.start(gateway={"admin": {"showText": False}})
    harness.script = [Say("quittenmus and more", delay=2.0)]
    harness.say("@helper kumquat")
    await trio.sleep(4.5)
    page = await open_page(harness, nursery)
    assert page.table("turns")[0][4] == "writing"
    await harness.settled()
    await trio.sleep(3)
    assert page.texts() == []
    assert b"quittenmus" not in page.stream.raw


async def test_who_may_read_the_words(harness: Harness, nursery: trio.Nursery) -> None:
    """Only who has logged in reads what is answered, and nobody what was asked; the status never has either."""
    await harness.start()
    harness.script = [Say("quittenmus and more", delay=2.0)]
    harness.say("@helper kumquat")
    await trio.sleep(4.5)
    page = await open_page(harness, nursery)
    stranger = Browser(page.browser.app)
    watched = open_stream(nursery, stranger)
    await watched.until(lambda: watched.events)
    public = [(await stranger.get(path)).text for path in ("/", "/status.json", "/metrics")]
    assert "quittenmus" in (await page.browser.get("/")).text
    await harness.settled()
    await trio.sleep(3)
    everything = [*public, watched.raw.decode()]
    assert all("quittenmus" not in text and "@alice" not in text for text in everything)
    assert b"kumquat" not in page.stream.raw


async def test_refused_people_and_charts(harness: Harness, nursery: trio.Nursery) -> None:
    """Who asked and got no answer, and why; turns, edits and seconds of the last hour."""
    await harness.start({"groupPolicy": "allowlist", "groupAllowFrom": [harness.alice.id]})
    harness.script = [Say("one two three", delay=1.5)]
    harness.say("@helper count")
    harness.say("@helper count", by=harness.bob)
    harness.say("not meant for it")
    await harness.settled()
    page = await open_page(harness, nursery)
    ((_, user_id, _, channel, reason, _),) = page.table("refused")
    assert (user_id, channel) == (f"@bob ({harness.bob.id})", f"~square ({harness.square.id})")
    assert reason == "group_policy_not_allowlisted"
    charts = {part["id"]: part for part in page.stream.events[0][1]["parts"] if part["kind"] == "chart"}
    assert charts["chart-turns"]["summary"] == "1 in the last hour, 0 failed"
    assert sum(charts["chart-turns"]["series"][0]["values"]) == 1
    assert harness.gateway is not None
    edits = harness.gateway.metrics.registry.get_sample_value("oc_trio_draft_edits_total", {"account": "default"})
    assert charts["chart-edits"]["summary"] == f"{edits:.0f} in the last hour"
    assert edits
    assert charts["chart-latency"]["summary"].endswith("s at most")
    assert len(charts["chart-turns"]["times"]) == 60


@define(eq=False)
class FlakyRecent:
    """Reads the journal for the page, and fails with `problem` where there is one."""

    recent: Recent
    problem: Exception | None = None

    async def read(self, since: int) -> RecentRows:
        if self.problem is not None:
            await trio.lowlevel.checkpoint()
            raise self.problem
        return await self.recent.read(since)


async def test_a_journal_in_trouble(harness: Harness, nursery: trio.Nursery) -> None:
    """What is in memory is shown all the same, with the problem; when the journal is back, that is gone."""
    await harness.start()
    flaky = FlakyRecent(harness.store.recent)
    page = await open_page(harness, nursery, flaky)
    flaky.problem = StoreError("the disk is full")
    await trio.sleep(5)
    assert page.table("trouble") == [["the disk is full"]]
    flaky.problem = None
    await trio.sleep(5)
    assert ("gone", {"ids": ["trouble"]}) in page.stream.events
    assert page.table("turns") == []


async def test_a_defect_of_the_page(harness: Harness, nursery: trio.Nursery, logbook: Logbook) -> None:
    """It ends the page's streams, which browsers open again, and nothing else."""
    await harness.start()
    flaky = FlakyRecent(harness.store.recent)
    page = await open_page(harness, nursery, flaky)
    flaky.problem = KeyError("a defect")
    await trio.sleep(4)
    flaky.problem = None
    assert page.stream.is_over
    assert len(logbook.find("a defect failed one of many")) == 1
    again = open_stream(nursery, page.browser)
    await trio.sleep(6)
    assert again.names()[0] == "snapshot"
    harness.script = [Say("well")]
    harness.say("@helper are you well?")
    await harness.settled()
    assert harness.answers()[-1] == "well"
