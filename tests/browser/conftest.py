"""A demo of its own for these tests, and headless Chromium to look at it."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")
# Sandboxed renderers can't be had as root, which is what containers run as.
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
_PATIENCE_MS = 60_000


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path. Without one these tests are skipped, and in CI they fail."""
    found = next((path for path in map(shutil.which, _NAMES) if path), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("there is no Chromium; on Debian: apt-get install chromium")
        pytest.skip("there is no Chromium; on Debian: apt-get install chromium")
    return found


@pytest.fixture(scope="session")
def demo_url(chromium: str) -> Iterator[str]:
    """`oc-trio demo` in a process of its own; afterwards Ctrl-C has to end it in good order."""
    command = [sys.executable, "-m", "oc_trio", "demo", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        try:
            assert demo.stdout is not None
            yield demo.stdout.readline().rpartition(" ")[2].strip()
        finally:
            demo.send_signal(signal.SIGINT)
            try:
                _, complaints = demo.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                demo.kill()
                raise
    assert (demo.returncode, complaints) == (0, "")


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    expect.set_options(timeout=_PATIENCE_MS)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=_FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def page_errors() -> list[str]:
    """What the page complained of; a test that provokes an error takes it out."""
    return []


@pytest.fixture
def page(browser: Browser, page_errors: list[str]) -> Iterator[Page]:
    """An empty page of a fresh profile; an error in the page's own scripts fails the test."""
    context = browser.new_context(viewport={"width": 1100, "height": 700}, color_scheme="light")
    context.set_default_timeout(_PATIENCE_MS)
    opened = context.new_page()
    opened.on("pageerror", lambda error: page_errors.append(str(error)))
    opened.on("console", lambda message: page_errors.append(message.text) if message.type == "error" else None)
    yield opened
    context.close()
    assert page_errors == []


def picture(page: Page, name: str) -> None:
    """Keep a screenshot for the docs where `OC_TRIO_PICTURES` names a folder."""
    folder = os.environ.get("OC_TRIO_PICTURES")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png")
