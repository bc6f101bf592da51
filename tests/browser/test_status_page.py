"""The status page in a browser: answers grow while they are written, and an operator acts on what is shown."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
from attrs import frozen
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import picture

pytestmark = pytest.mark.browser

# Every change of the growing text, recorded by the page itself: polling would miss some.
_RECORD = """() => {
  window.shown = [];
  const look = () => {
    const text = document.querySelector('#turns pre')?.textContent;
    if (text && text !== window.shown.at(-1)) window.shown.push(text);
  };
  const all = {childList: true, subtree: true, characterData: true};
  new MutationObserver(look).observe(document.getElementById('tables'), all);
  look();
}"""


@frozen
class Server:
    url: str
    token: str
    process: "subprocess.Popen[str]"

    def log_in(self, page: Page) -> None:
        page.goto(self.url)
        page.get_by_label("enter the token").fill(self.token)
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("body[data-live]")).to_be_attached()

    def say(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()


@pytest.fixture(scope="module")
def server(chromium: str) -> Iterator[Server]:
    """For those who only look."""
    with open_server() as running:
        yield running


@pytest.fixture
def own_server(chromium: str) -> Iterator[Server]:
    """For one that changes something."""
    with open_server() as running:
        yield running


@contextmanager
def open_server() -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tests.browser.status_server", str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        url, token = running.stdout.readline().split()
        yield Server(url, token, running)
        running.kill()


def test_an_answer_grows(server: Server, page: Page) -> None:
    """Word by word, as text and never as markup, below who asked; what waits behind it is counted."""
    server.log_in(page)
    expect(page.locator("#phase")).to_have_text("serving, ready")
    text = page.locator("#turns pre")
    expect(text).to_contain_text("A gateway is **light**")
    page.evaluate(_RECORD)
    expect(text).to_contain_text("<b>Nothing</b> here is markup")
    # Not by wait_for_function: it evaluates text in the page when it looks again, which the page's policy refuses.
    while len(shown := page.evaluate("window.shown")) <= 3:
        page.wait_for_timeout(50)
    assert all(long.startswith(short) for short, long in pairwise(shown))
    expect(page.locator("#turns tbody tr").first).to_contain_text("@alice")
    expect(page.locator("#queues tbody tr")).to_have_count(1)
    expect(page.locator("#outcomes")).to_contain_text("connection refused")
    expect(page.locator("#chart-turns canvas")).to_be_visible()
    expect(page.locator("#chart-turns .summary")).to_contain_text("in the last hour")
    page.evaluate("scrollTo(0, 0)")
    picture(page, "status")


def test_an_operator_acts(own_server: Server, page: Page) -> None:
    """Stops the answer and lets somebody in, by keyboard; each shows at once, and is said."""
    own_server.log_in(page)
    expect(page.locator("#turns tbody tr[data-key]")).to_have_count(1)
    stop = page.get_by_role("button", name="Stop: the answer to @alice, and what waits behind it")
    stop.focus()
    page.wait_for_timeout(1200)  # the page draws itself again meanwhile
    expect(stop).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Stopped: agent:main:mattermost:channel:")
    expect(page.locator("#turns .empty")).to_be_visible()
    expect(page.locator("#queues .empty")).to_be_visible()
    expect(page.locator("#outcomes tbody tr").first).to_contain_text("stopped")
    page.get_by_label("tell them").check()
    page.get_by_role("button", name="Approve: let @bob write to account default").press("Space")
    expect(page.get_by_role("status")).to_have_text("@bob may write to account default now.")
    expect(page.locator("#pairing .empty")).to_be_visible()
    own_server.say("@bot one more long one")
    expect(page.locator("#turns pre")).to_contain_text("A gateway is")


def test_without_javascript(browser: Browser, own_server: Server) -> None:
    """The page is tables and forms: it can be read, and everything can be done."""
    context = browser.new_context(java_script_enabled=False)
    context.set_default_timeout(20_000)
    page = context.new_page()
    page.goto(own_server.url)
    expect(page.locator("#accounts tbody tr")).to_contain_text("@bot")
    expect(page.locator("#turns")).to_have_count(0)
    page.get_by_label("enter the token").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("status")).to_contain_text("That is not the token")
    page.get_by_label("enter the token").fill(own_server.token)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#turns pre")).to_contain_text("A gateway is **light**")
    page.get_by_role("button", name="Dismiss: the request of @bob to account default").click()
    expect(page.get_by_role("status")).to_have_text("@bob was not let in, and may ask again.")
    expect(page.locator("#pairing .empty")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.locator("#turns")).to_have_count(0)
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(browser: Browser, server: Server, scheme: str) -> None:
    """Nothing is wider than the screen, by day and by night, and every table says what its values are."""
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)  # type: ignore[arg-type]
    context.set_default_timeout(20_000)
    page = context.new_page()
    server.log_in(page)
    expect(page.locator("#turns pre")).to_contain_text("A gateway")
    expect(page.locator("#chart-turns canvas")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    label = page.locator("#turns td[data-label=Account]").evaluate("node => getComputedStyle(node, '::before').content")
    assert "Account" in label
    expect(page.get_by_role("table", name="Recent outcomes")).to_be_visible()
    context.close()


def test_the_gateway_ends(own_server: Server, page: Page, page_errors: list[str]) -> None:
    """The page says that nobody answers, and keeps what it shows."""
    own_server.log_in(page)
    expect(page.locator("#accounts tbody tr")).to_have_count(1)
    own_server.process.kill()
    expect(page.locator("#phase")).to_have_text("no answer: what is shown may be old")
    expect(page.locator("#accounts tbody tr")).to_have_count(1)
    page.close()  # it connects again for ever: one more refusal may come in until here
    assert all("Failed to load resource" in error or "ERR_" in error for error in page_errors)
    page_errors.clear()
