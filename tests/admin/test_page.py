"""The status page's login, its actions and who may ask for them, and the events that keep it live."""

import json
from collections.abc import Mapping

import pytest
import trio
import trio.testing
from attrs import define, field

from oc_trio.admin.app import AdminApp, build_admin_app
from oc_trio.admin.feed import CLIENT_EVENTS, HEARTBEAT_SECONDS, MAX_CLIENTS
from oc_trio.admin.operator_page import ActionRefused, OperatorPage
from oc_trio.admin.page_logins import LOGIN_SECONDS, MAX_LOGINS, PageLogins
from oc_trio.admin.requests import MAX_BODY
from oc_trio.admin.tables import Action, Cell, Chart, Table, TableRow
from oc_trio.ids import AccountId
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.log_tail import LogTail
from oc_trio.telemetry.metrics import Metrics
from tests.admin.page_client import FORM, HOST, Browser, open_stream
from tests.logbook import Logbook

Jumping = trio.testing.MockClock


@define(eq=False)
class World:
    """What the page shows and does: a turn with a text, and an action that records what it was given."""

    now: int = 1_700_000_000_000
    text: str = "It is"
    reads: int = 0
    done: list[Mapping[str, str]] = field(factory=list)
    problem: str = ""
    app: AdminApp = field(init=False)

    def __attrs_post_init__(self) -> None:
        health = Health(lambda: self.now)
        health.update(AccountId("default"), state="live", bot="bot")
        page = OperatorPage(self.read, {"stop": self.stop})
        self.app = build_admin_app(health, Metrics(), now_ms=lambda: self.now, page=page, tail=LogTail())

    async def read(self) -> tuple[tuple[Table, ...], tuple[Chart, ...]]:
        await trio.lowlevel.checkpoint()
        self.reads += 1
        action = Action("stop", "Stop", "the answer to @<i>eve</i>", {"session": 'a"b'})
        row = TableRow("t1", (Cell("@<i>eve</i>"),), (action,), text=self.text)
        return (Table("turns", "Turns", ("For",), (row,)),), ()

    async def stop(self, fields: Mapping[str, str]) -> str:
        await trio.lowlevel.checkpoint()
        if self.problem:
            raise ActionRefused(self.problem)
        self.done.append(dict(fields))
        return f"Stopped: {fields['session']}"

    async def browser(self) -> Browser:
        browser = Browser(self.app)
        await browser.log_in()
        return browser


@pytest.fixture
def world() -> World:
    return World()


# who sees what


async def test_only_who_has_logged_in_sees_what_people_write(world: World) -> None:
    """Without the token there is the status and a form; nothing else is even computed."""
    stranger = Browser(world.app)
    page = (await stranger.get("/")).text
    assert 'action="/login"' in page
    assert "@bot" in page
    assert "It is" not in page
    assert world.reads == 0
    browser = await world.browser()
    page = (await browser.get("/")).text
    assert ">It is</pre>" in page
    assert 'action="/login"' not in page


async def test_words_of_people_are_text(world: World) -> None:
    """Markup and quotes in names, texts and ids are escaped, in cells, labels and hidden fields."""
    world.text = "</pre><script>alert(1)</script>"
    page = (await (await world.browser()).get("/")).text
    assert "@&lt;i&gt;eve&lt;/i&gt;" in page
    assert "&lt;/pre&gt;&lt;script&gt;" in page
    assert 'value="a&quot;b"' in page
    assert page.count("<script") == 2  # its own files


async def test_a_wrong_token(world: World, logbook: Logbook) -> None:
    """It is refused in words, and in the log once for many tries."""
    browser = Browser(world.app)
    for _ in range(3):
        reply = await browser.post("/login", token="guess")
        assert reply.status == 403
        assert "That is not the token" in reply.text
        assert "set-cookie" not in reply.headers
    assert len(logbook.find("a wrong token was sent")) == 1


async def test_the_cookie(world: World, logbook: Logbook) -> None:
    """Scripts can't read it, other sites can't send it, and it has neither the token nor the value of the forms."""
    browser = Browser(world.app)
    reply = await browser.post("/login", token=f" {world.app.logins.token}\n")
    cookie = reply.headers["set-cookie"]
    assert cookie.endswith("; HttpOnly; SameSite=Strict; Path=/; Max-Age=43200")
    assert world.app.logins.token not in cookie
    browser.cookie = cookie.partition(";")[0]
    assert await browser.csrf() not in cookie
    assert logbook.find("logged in")[0]["by"] == "local"


async def test_cookies_of_other_programs(world: World) -> None:
    """Browsers send those of all ports, whatever is in them."""
    browser = await world.browser()
    browser.cookie = f'prefs={{"a": [1]}}; =; bad name=x; {browser.cookie}; later'
    assert ">It is<" in (await browser.get("/")).text


async def test_what_a_form_may_hold(world: World) -> None:
    """No NUL reaches the journal, and what is no UTF-8 becomes a replacement character."""
    browser = await world.browser()
    body = f"csrf={await browser.csrf()}&session=a%00b%ff%ed%a0%80".encode()
    headers = {"origin": f"http://{HOST}", "content-type": FORM}
    assert (await browser.send("POST", "/actions/stop", headers, body)).status == 303
    assert world.done[0]["session"].startswith("ab\ufffd")
    headers |= {"content-type": f"{FORM}; charset=utf-8"}
    assert (await browser.send("POST", "/actions/stop", headers, b"csrf=\xff")).status == 400


async def test_a_login_ends(world: World) -> None:
    """A login ends by logging out, and by itself after twelve hours."""
    browser = await world.browser()
    reply = await browser.post("/logout", csrf=await browser.csrf())
    assert reply.status == 303
    assert "It is" not in (await browser.get("/")).text
    browser = await world.browser()
    world.now += LOGIN_SECONDS * 1000
    assert "It is" not in (await browser.get("/")).text


def test_the_oldest_login_gives_way() -> None:
    """Logins are bounded in number: one more than the limit ends the oldest."""
    logins = PageLogins(lambda: 0)
    cookies = [logins.log_in(logins.token) for _ in range(MAX_LOGINS + 1)]
    assert logins.find(cookies[0]) is None
    assert logins.find(cookies[1]) is not None


async def test_the_token_is_for_the_unix_socket_only(world: World) -> None:
    """`oc-trio status --page` asks there; a loopback port, which every user of the machine reaches, has none."""
    world.app.addresses[:] = ["http://127.0.0.1:9790"]
    browser = Browser(world.app)
    found = json.loads((await browser.get("/page.json", server=None)).text)
    assert found == {"addresses": ["http://127.0.0.1:9790"], "token": world.app.logins.token}
    assert (await browser.get("/page.json")).status == 404


# actions


async def test_an_action_of_the_page(world: World) -> None:
    """It is done once, and the page that is shown next says so once: that works without JavaScript."""
    browser = await world.browser()
    reply = await browser.post("/actions/stop", csrf=await browser.csrf(), session="a")
    assert (reply.status, reply.headers["location"]) == (303, "/")
    assert [fields["session"] for fields in world.done] == ["a"]
    assert "Stopped: a" in (await browser.get("/")).text
    assert "Stopped: a" not in (await browser.get("/")).text


async def test_an_action_of_a_script(world: World, logbook: Logbook) -> None:
    """JSON for the page's own script; what can't be done is said, with a status of its own."""
    browser = await world.browser()
    csrf = await browser.csrf()
    reply = await browser.post("/actions/stop", {"accept": "application/json"}, csrf=csrf, session="a")
    assert (reply.status, json.loads(reply.text)) == (200, {"ok": True, "text": "Stopped: a"})
    world.problem = "Nothing is running there."
    reply = await browser.post("/actions/stop", {"accept": "application/json"}, csrf=csrf, session="a")
    assert (reply.status, json.loads(reply.text)) == (409, {"ok": False, "text": "Nothing is running there."})
    assert logbook.find("was refused")[0]["by"] == "local"


async def test_a_program_acts_with_the_token_itself(world: World) -> None:
    """As bearer, which no other web page can make a browser send; it needs no cookie and no value of a form."""
    program = Browser(world.app)
    headers = {"authorization": f"Bearer {world.app.logins.token}", "origin": "", "sec-fetch-site": ""}
    reply = await program.post("/actions/stop", headers, session="a")
    assert (reply.status, len(world.done)) == (200, 1)
    reply = await program.post("/actions/stop", headers | {"authorization": "Bearer guess"}, session="a")
    assert (reply.status, len(world.done)) == (403, 1)


FORGED = [
    pytest.param({"host": "evil.example:9790"}, {}, 403, id="a name that was bent to loopback"),
    pytest.param({"origin": "http://evil.example"}, {}, 403, id="another site"),
    pytest.param({"origin": "http://localhost:6666"}, {}, 403, id="another port of this machine"),
    pytest.param({"origin": "null"}, {}, 403, id="a sandboxed frame"),
    pytest.param({"sec-fetch-site": "same-site"}, {}, 403, id="as the browser says"),
    pytest.param({"cookie": ""}, {}, 403, id="without a login"),
    pytest.param({"cookie": "oc_trio_x=1; =;;"}, {}, 403, id="with something else's cookie"),
    pytest.param({}, {"csrf": ""}, 403, id="without the page's value"),
    pytest.param({}, {"csrf": "guess"}, 403, id="with a wrong one"),
    pytest.param({"content-type": "text/plain"}, {}, 415, id="a type that needs no preflight"),
    pytest.param({"content-type": "application/json"}, {}, 415, id="JSON"),
    pytest.param({}, {"session": "x" * MAX_BODY}, 413, id="too long"),
    pytest.param({}, {f"f{number}": "" for number in range(40)}, 400, id="too many fields"),
]


@pytest.mark.parametrize(("headers", "fields", "status"), FORGED)
async def test_what_another_page_may_send(
    headers: dict[str, str], fields: dict[str, str], status: int, world: World
) -> None:
    """A request that another site's page could make is refused, and nothing is changed."""
    browser = await world.browser()
    given = {"csrf": await browser.csrf(), "session": "a"} | fields
    reply = await browser.post("/actions/stop", headers, **given)
    assert (reply.status, world.done) == (status, [])


async def test_a_body_that_does_not_come(world: World, autojump_clock: Jumping) -> None:
    """A request whose body never arrives gets 408 after ten seconds."""
    browser, sent = await world.browser(), list[dict[str, object]]()

    async def send(message: dict[str, object]) -> None:
        await trio.lowlevel.checkpoint()
        sent.append(message)

    async def receive() -> dict[str, object]:
        await trio.sleep_forever()
        raise AssertionError

    headers = {"content-type": "application/x-www-form-urlencoded"}
    await world.app(browser.scope("POST", "/actions/stop", headers), receive, send)
    assert (sent[0]["status"], trio.current_time()) == (408, 10.0)


# events


@pytest.fixture
async def operator(world: World, nursery: trio.Nursery) -> Browser:
    """A browser that has logged in, and the task that keeps the page live."""
    nursery.start_soon(world.app.operator_feed.run)
    nursery.start_soon(world.app.public_feed.run)
    return await world.browser()


async def test_a_text_grows(world: World, operator: Browser, nursery: trio.Nursery, autojump_clock: Jumping) -> None:
    """First comes everything, then what was added, in order, and nothing where nothing changed."""
    stream = open_stream(nursery, operator)
    await stream.until(lambda: stream.events)
    for more in (" a fine", " day"):
        world.text += more
        await trio.sleep(1.2)
    world.text = "No."
    await trio.sleep(3)
    assert [(name, data.get("texts") or data) for name, data in stream.events] == [
        ("snapshot", {"turns/t1": "It is"}),
        ("text", {"row": "turns/t1", "append": " a fine"}),
        ("text", {"row": "turns/t1", "append": " day"}),
        ("text", {"row": "turns/t1", "text": "No."}),
    ]
    numbers = [int(line[4:]) for line in stream.raw.decode().splitlines() if line.startswith("id: ")]
    assert numbers == sorted(set(numbers))
    assert stream.raw.startswith(b"retry: 2000\n\n")


async def test_what_everybody_may_see_is_live_too(
    world: World, operator: Browser, nursery: trio.Nursery, autojump_clock: Jumping
) -> None:
    """Without a login the events have the status and no word more."""
    stream = open_stream(nursery, Browser(world.app))
    await stream.until(lambda: stream.events)
    world.app.health.update(AccountId("default"), state="auth_failed")
    await trio.sleep(1)
    assert stream.names() == ["snapshot", "parts"]
    assert b"auth failed" in stream.raw
    assert b"It is" not in stream.raw
    assert world.reads == 0


async def test_nobody_watches(world: World, operator: Browser, nursery: trio.Nursery, autojump_clock: Jumping) -> None:
    """Then nothing is computed, before the first and after the last."""
    await trio.sleep(60)
    assert world.reads == 0
    stream = open_stream(nursery, operator)
    await trio.sleep(10)
    assert 15 < world.reads < 25
    stream.leave()
    await stream.until(lambda: stream.is_over)
    reads = world.reads
    await trio.sleep(3600)
    assert world.reads <= reads + 1


async def test_a_slow_reader_overflows(
    world: World, operator: Browser, nursery: trio.Nursery, autojump_clock: Jumping, logbook: Logbook
) -> None:
    """Its queue is bounded; when it reads again it gets everything anew, and the others missed nothing."""
    slow, quick = open_stream(nursery, operator), open_stream(nursery, operator)
    await slow.until(lambda: slow.events and quick.events)
    slow.pause()
    for number in range(CLIENT_EVENTS + 5):
        world.text += f" {number}"
        await trio.sleep(0.6)
    slow.go_on()
    await trio.sleep(2)
    # One was on its way when it stopped reading.
    assert slow.names() == ["snapshot", "text", "snapshot"]
    assert slow.events[-1][1]["reason"] == "overflow"
    assert slow.events[-1][1]["texts"] == {"turns/t1": world.text}
    assert quick.names() == ["snapshot", *["text"] * (CLIENT_EVENTS + 5)]
    assert logbook.find("overflow")


async def test_silence_has_heartbeats(
    world: World, operator: Browser, nursery: trio.Nursery, autojump_clock: Jumping
) -> None:
    """So that a proxy does not close the stream, and a browser that is gone is noticed."""
    stream = open_stream(nursery, operator)
    await trio.sleep(HEARTBEAT_SECONDS * 3 + 1)
    assert stream.names() == ["snapshot", *["heartbeat"] * 3]


async def test_so_many_watch_at_most(
    world: World, operator: Browser, nursery: trio.Nursery, autojump_clock: Jumping
) -> None:
    """One more is refused until one leaves; strangers don't take the places of operators."""
    strangers = [open_stream(nursery, Browser(world.app)) for _ in range(MAX_CLIENTS)]
    streams = [open_stream(nursery, operator) for _ in range(MAX_CLIENTS)]
    await trio.sleep(1)
    assert {stream.status for stream in (*streams, *strangers)} == {200}
    late = open_stream(nursery, operator)
    await trio.sleep(1)
    assert (late.status, late.is_over) == (503, True)
    streams[0].leave()
    await trio.sleep(1)
    again = open_stream(nursery, operator)
    await trio.sleep(1)
    assert again.names() == ["snapshot"]


async def test_logging_out_ends_the_stream(
    world: World, operator: Browser, nursery: trio.Nursery, autojump_clock: Jumping
) -> None:
    """After a logout the event stream sends nothing more."""
    stream = open_stream(nursery, operator)
    await trio.sleep(1)
    await operator.post("/logout", csrf=await operator.csrf())
    await trio.sleep(HEARTBEAT_SECONDS)
    world.text += " secret"
    await trio.sleep(HEARTBEAT_SECONDS)
    assert stream.is_over
    assert b"secret" not in stream.raw


async def test_an_action_shows_at_once(
    world: World, operator: Browser, nursery: trio.Nursery, autojump_clock: Jumping
) -> None:
    """What an action changes is sent at once, before the next regular look."""
    stream = open_stream(nursery, operator)
    await stream.until(lambda: stream.events)
    csrf = await operator.csrf()
    await trio.sleep(0.6)
    world.text = "stopped"
    began = trio.current_time()
    await operator.post("/actions/stop", csrf=csrf, session="a")
    await stream.until(lambda: b"stopped" in stream.raw)
    assert trio.current_time() - began < 0.1


async def test_the_events_have_local_names_only(world: World) -> None:
    """The event stream is refused under a foreign Host name, as every other path is."""
    reply = await Browser(world.app).send("GET", "/events", {"host": "evil.example"}, b"")
    assert reply.status == 403
