"""The status page shows what the gateway knows, and notices when nobody answers any more."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import picture

pytestmark = pytest.mark.browser


@pytest.fixture
def server(chromium: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "tests.browser.status_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        yield running.stdout.readline().strip(), running
        running.kill()


def test_the_page_shows_the_accounts(page: Page, server: tuple[str, subprocess.Popen[str]]) -> None:
    """Each account has a row with its state; details are text, never markup."""
    page.goto(server[0])
    expect(page.locator("#phase")).to_have_text("serving, ready")
    rows = page.locator("#accounts tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("401 <b>Invalid</b> or expired session")
    expect(rows.nth(1).locator(".state")).to_have_text("live")
    expect(rows.nth(1).locator(".state")).to_have_class("state good")
    expect(page.locator("#journal")).to_contain_text("2.5 MiB")
    picture(page, "status")


def test_the_page_refreshes_itself(
    page: Page, page_errors: list[str], server: tuple[str, subprocess.Popen[str]]
) -> None:
    """It asks again by itself, and says so when there is no answer."""
    url, running = server
    rows = page.locator("#accounts tbody tr")
    page.goto(url)
    expect(rows).to_have_count(2)
    with page.expect_response("**/status.json") as again:
        pass
    assert again.value.ok
    running.kill()
    expect(page.locator("#phase")).to_have_text("no answer")
    expect(rows).to_have_count(2)
    page.close()  # it asks for ever: one more refusal may come in until here
    assert page_errors
    assert all("Failed to load resource" in error for error in page_errors)
    page_errors.clear()
