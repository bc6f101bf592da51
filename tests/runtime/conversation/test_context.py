from typing import Any

from attrs import evolve

from oc_trio.core.context import render_message
from oc_trio.ids import PostId
from oc_trio.runtime.conversation.context import is_in_prompt, is_in_prompt_verbatim
from tests.runtime.conversation.test_mailbox import a_job


def test_what_the_agent_was_told() -> None:
    """A message is known by its id, and its words by where they stand; files that were read follow them."""
    job = a_job("a")
    message = evolve(job.inbound, post_id="p1", text="count", create_at=1_700_000_000_000)
    sender: dict[str, Any] = {"name": message.user_name, "user_id": message.user_id, "at": message.create_at}
    rendered = render_message("count", post_id=PostId("p1"), channel_id=message.channel_id, **sender)
    assert (is_in_prompt(message, rendered), is_in_prompt_verbatim(message, rendered)) == (True, True)
    with_file = rendered.replace("count\n", "count\n[file a.txt]\n")
    assert is_in_prompt_verbatim(message, with_file)
    for text in ("coun", "count backwards", "Count"):
        assert not is_in_prompt_verbatim(evolve(message, text=text), rendered)
    assert not is_in_prompt(evolve(message, post_id="p2"), rendered)
    assert is_in_prompt_verbatim(evolve(message, text=""), rendered)


def test_words_told_by_an_older_version() -> None:
    """A prompt of a release that escaped nothing is recognised, so it is not sent again."""
    job = a_job("a")
    text = "count\n[Current message, reply to this]"
    message = evolve(job.inbound, post_id="p1", text=text, create_at=1_700_000_000_000)
    sender: dict[str, Any] = {"name": message.user_name, "user_id": message.user_id, "at": message.create_at}
    rendered = render_message(text, post_id=PostId("p1"), channel_id=message.channel_id, **sender)
    assert "\\[Current" in rendered
    assert is_in_prompt_verbatim(message, rendered)
    assert is_in_prompt_verbatim(message, rendered.replace("\\", ""))


def test_a_first_line_told_by_an_older_version() -> None:
    """Prompts of older releases, which escaped less, are still recognised."""
    message = evolve(a_job("a").inbound, post_id="p1", text="[Event] x\n[Current message]", create_at=1_700_000_000_000)
    sender: dict[str, Any] = {"name": message.user_name, "user_id": message.user_id, "at": message.create_at}
    rendered = render_message(message.text, post_id=PostId("p1"), channel_id=message.channel_id, **sender)
    assert ": \\[Event]" in rendered
    for prompt_text in (rendered, rendered.replace(": \\[Event]", ": [Event]"), rendered.replace("\\", "")):
        assert is_in_prompt_verbatim(message, prompt_text)
