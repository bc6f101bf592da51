"""Limits of one answer in characters and posts, and how a longer text is cut, with a note that says so.

Where the counting happens is the runtime's part: `agent_run` ends a stream at the bound, `final_plan` the posts.
"""

from oc_trio.classes import frozen
from oc_trio.core.chunking import SERVER_LIMIT, chunk
from oc_trio.core.code_fences import fence_after
from oc_trio.core.reasoning import without_reasoning

# Far above what the most thoughtful models write in one turn; a model that repeats itself gets there within minutes.
MAX_THINKING_CHARS = 1_000_000
# Stretches of text between tool calls. Each is a value of its own in the draft's view.
MAX_MESSAGES = 2_000
# A megabyte that people may still open in a browser; an answer that long is a model in a loop.
MAX_ATTACHED = 1_000_000


@frozen
class AnswerBounds:
    """`chars` limits the text of one answer, all its messages together; `posts` what one turn leaves in the channel."""

    # Some 25,000 tokens: more than models write unless told to, and at 4,000 characters a post it fits into 30 posts.
    chars: int = 100_000
    posts: int = 30


def cut_at_chars(text: str, chars: int) -> str:
    """The first `chars` characters of an answer with the note that it was cut; unchanged if it is shorter."""
    return text if len(text) <= chars else with_cut_note(text[:chars], f"{chars:,} characters")


def attachable(text: str) -> str:
    """The whole of an answer that is cut in the chat, for a file: at most `MAX_ATTACHED` characters, no thoughts."""
    text = without_reasoning(text)
    return text if len(text) <= MAX_ATTACHED else f"{text[:MAX_ATTACHED]}\n\n(cut off here)\n"


def with_cut_note(text: str, after: str) -> str:
    """A text that ends early with the sentence that says so below it, free of reasoning and of open code."""
    return _with_note(without_reasoning(text).rstrip(), f"_(The answer was cut off after {after}.)_")


def cut_at_posts(texts: tuple[str, ...], most: int, bound: int) -> tuple[str, ...]:
    """The first `most` texts, the last with the note that the answer was cut after `bound` posts."""
    if len(texts) <= most:
        return texts
    note = f"_(The answer was cut off after {bound} {'post' if bound == 1 else 'posts'}.)_"
    last = _with_note(texts[most - 1], note)
    if len(last) > SERVER_LIMIT:
        # `chunk` closes a fence within its limit, so that only the blank line and the note are added.
        last = _with_note(chunk(texts[most - 1], SERVER_LIMIT - len(note) - 2)[0], note)
    return (*texts[: most - 1], last)


def _with_note(text: str, note: str) -> str:
    if not text:
        return note
    fence = fence_after(text)
    return f"{text}\n{fence.closing}\n\n{note}" if fence else f"{text}\n\n{note}"
