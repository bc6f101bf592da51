"""A person tries the demo in a browser: direct message, mention, thread, an answer that grows."""

import pytest
from playwright.sync_api import Page, expect

from oc_trio.agent.scripted_directives import words
from tests.browser.conftest import picture

pytestmark = pytest.mark.browser

# Every text that the bot's answer showed, in order, recorded by the page itself: polling would miss some.
_RECORD = """() => {
  window.shown = [];
  const look = () => {
    const text = document.querySelector('#replies .post[data-user=bot] .body')?.innerText;
    if (text && text !== window.shown.at(-1)) window.shown.push(text);
  };
  new MutationObserver(look).observe(document.getElementById('replies'), {childList: true, subtree: true});
  look();
}"""


def log_in(page: Page, url: str, name: str) -> None:
    page.goto(url)
    page.locator(f"[data-user={name}]").click()
    expect(page.locator("#me")).to_have_text(name)
    expect(page.locator("#connection")).to_have_class("dot live")


def say(page: Page, text: str, composer: str = "channel-composer") -> None:
    page.locator(f"#{composer} textarea").fill(text)
    page.keyboard.press("Enter")


def test_a_direct_message_is_answered(page: Page, demo_url: str) -> None:
    """The bot answers alice where she writes to it, as Markdown."""
    page.goto(demo_url)
    picture(page, "demo-login")
    log_in(page, demo_url, "alice")
    page.get_by_role("button", name="@bot").click()
    say(page, "help")
    answer = page.locator("#posts .post[data-user=bot] .body").last
    expect(answer).to_contain_text("They can be combined")
    expect(answer.locator("code").first).to_have_text("!slow 50")
    say(page, "!table")
    expect(page.locator("#posts .post[data-user=bot] .body").last.locator("td").first).to_have_text("Apple")
    picture(page, "demo-direct")


def test_an_answer_grows_in_its_thread(page: Page, demo_url: str) -> None:
    """A mention is answered in a thread, by one post that grows in several steps and ends as the whole answer."""
    log_in(page, demo_url, "bob")
    say(page, "@bot !slow 24")
    page.locator("#posts .post[data-user=bob] .replies").last.click()
    page.evaluate(_RECORD)
    whole = words(24)
    answers = page.locator("#replies .post[data-user=bot] .body")
    expect(answers).to_have_text(whole)
    picture(page, "demo-thread")
    shown: list[str] = page.evaluate("window.shown")
    grown = [text for text in shown if whole.startswith(text.removesuffix("…").rstrip())]
    assert len(set(grown)) >= 3, shown
    assert [len(text) for text in grown] == sorted(len(text) for text in grown)
    assert shown[-1] == whole
    assert answers.count() == 1


def test_a_reply_in_the_thread_needs_no_mention(page: Page, demo_url: str) -> None:
    """Where the bot has answered, the conversation goes on in the thread, and it remembers."""
    log_in(page, demo_url, "alice")
    say(page, "@bot my name is Alice")
    page.locator("#posts .post[data-user=alice] .replies").last.click()
    answers = page.locator("#replies .post[data-user=bot] .body")
    expect(answers.last).to_contain_text("Nice to meet you, Alice")
    say(page, "what is my name?", "thread-composer")
    expect(answers.last).to_have_text("Your name is Alice.")


def test_others_see_it_live(page: Page, demo_url: str) -> None:
    """What one person writes shows on another's page without reloading."""
    log_in(page, demo_url, "alice")
    other = page.context.browser
    assert other is not None
    with other.new_context() as context:
        second = context.new_page()
        log_in(second, demo_url, "bob")
        say(page, "good morning, bob")
        expect(second.locator("#posts .post[data-user=alice] .body").last).to_have_text("good morning, bob")


def test_buttons_are_pressed(page: Page, demo_url: str) -> None:
    """A click shows who chose what in the post, and the agent goes on with the choice."""
    log_in(page, demo_url, "alice")
    page.get_by_role("button", name="@bot").click()
    say(page, "!buttons Yes|No")
    question = page.locator("#posts .post[data-user=bot]", has=page.get_by_role("button", name="No")).last
    question_id = question.get_attribute("data-id")
    question.get_by_role("button", name="Yes").click()
    post = page.locator(f"#posts .post[data-id='{question_id}']")
    expect(post).to_contain_text("Yes selected by @alice")
    expect(post.get_by_role("button", name="No")).to_have_count(0)
    expect(page.locator("#posts .post[data-user=bot] .body").last).to_contain_text('selected "Yes"')
    picture(page, "demo-buttons")


def test_slash_commands_are_answered(page: Page, demo_url: str) -> None:
    """A registered command is answered in the channel; an unknown one is told so, to its sender alone."""
    log_in(page, demo_url, "bob")
    page.get_by_role("button", name="@bot").click()
    say(page, "/oc_status")
    answer = page.locator("#posts .post[data-user=bot] .body").last
    expect(answer).to_contain_text("demo/script")
    expect(answer.locator("li").first).to_contain_text("conversation")
