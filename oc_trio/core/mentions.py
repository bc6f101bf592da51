"""Finds and removes mentions of a bot (`@username`) in a text.

Follows the server's rules, except that a name inside a web address is no mention. The server's own `mentions` can't be
used, because it also counts @channel and every direct message.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

from oc_trio.core.commonmark_code import blank_code
from oc_trio.core.events import Post

BROADCASTS = frozenset({"all", "channel", "here"})

# Characters of an at-mention, with dots, dashes and colons, which usernames may contain.
_WORD = re.compile(r"[\w:.@-]+")
# An address ends before the next "](": a text of nothing else takes no longer than another.
_ADDRESS = re.compile(r"(?:https?|ftp)://\S+|\]\((?:[^)\s\]]|\](?!\()){0,2000}\)", re.IGNORECASE)
_LEADING_BLANK_LINES = re.compile(r"\A(?:[ \t]*\n)+")
_EDGE = ":.-_"
_PREFIX_MARKS = " \t>#*+-"


def is_mentioned(text: str, username: str) -> bool:
    """Whether the text contains @username outside code, in any case; @all, @channel and @here never count."""
    return next(_mentions(text, username), None) is not None


def is_mentioned_in(post: Post, username: str) -> bool:
    """As `is_mentioned`, for all texts of a post in which the server looks: its message and its attachments."""
    return any(is_mentioned(text, username) for text in mentionable_texts(post))


def mentionable_texts(post: Post) -> tuple[str, ...]:
    """The message, and `pretext`, `text` and field values of each attachment in props."""
    texts = [post.message]
    attachments = post.props.get("attachments")
    for attachment in attachments if isinstance(attachments, list) else ():
        if isinstance(attachment, dict):
            texts += _attachment_texts(attachment)
    return tuple(texts)


def strip_mention(text: str, username: str) -> str:
    """The text without @username outside code; Markdown blocks and line breaks stay.

    Leading lines with nothing but the mention are removed, and trailing blank lines.
    """
    spans = list(_mentions(text, username))
    if not spans:
        return text
    lines: list[str] = []
    offset, at, has_words = 0, 0, False
    for line in text.split("\n"):
        inside: list[tuple[int, int]] = []
        while at < len(spans) and spans[at][0] < offset + len(line):
            inside.append((spans[at][0] - offset, spans[at][1] - offset))
            at += 1
        kept = _without(line, inside) if inside else line
        if kept.strip() or not inside or has_words:
            lines.append(kept)
            has_words = has_words or bool(kept.strip())
        offset += len(line) + 1
    return _LEADING_BLANK_LINES.sub("", "\n".join(lines)).rstrip()


def agent_text(text: str, username: str) -> str:
    """The text for the agent, without the mention; a bare mention stays; "" if there is no text."""
    stripped = strip_mention(text, username)
    if not is_blank(stripped):
        return stripped
    return "" if is_blank(text) else text.strip()


def is_blank(text: str) -> bool:
    """Whether nothing is visible: only white space, control, format and combining characters."""
    if text[:1].isalnum():  # nearly every text
        return False
    return all(char.isspace() or unicodedata.category(char)[0] in "CM" for char in text)


def strip_prefix(text: str, prefixes: Sequence[str]) -> str | None:
    """The text after the first of the prefixes that it starts with, None if it starts with none."""
    trimmed = text.lstrip()
    for prefix in prefixes:
        if prefix and trimmed.startswith(prefix):
            return trimmed[len(prefix) :].lstrip()
    return None


def _mentions(text: str, username: str) -> Iterator[tuple[int, int]]:
    """Offsets of each @username. A cheap test comes first, since most posts have no mention."""
    wanted = f"@{username}".lower()
    if wanted == "@" or wanted not in text.lower():
        return
    prose = _ADDRESS.sub(lambda match: " " * len(match[0]), blank_code(text))
    for word in _WORD.finditer(prose):
        yield from _in_word(word[0], word.start(), wanted)


def _in_word(word: str, start: int, wanted: str) -> Iterator[tuple[int, int]]:
    if word[0] == ":" and word[-1] == ":" and len(word) > 1:
        return  # an emoji's name
    left = len(word) - len(word.lstrip(_EDGE))
    core = word[left:]
    if core.startswith("@"):
        rest = core[len(wanted) :]
        if core[: len(wanted)].lower() == wanted and not rest.strip(_EDGE):
            yield start + left, start + left + len(wanted)
        return
    for part in re.finditer(r"[^.:-]+", core):  # "done.@bot": a sentence end without a space
        if part[0].lower() == wanted:
            yield start + left + part.start(), start + left + part.end()


def _without(line: str, spans: list[tuple[int, int]]) -> str:
    """A line without its mentions and the spaces and punctuation that belong to them."""
    left, done = "", 0
    for start, end in spans:
        left, done = left + line[done:start], end
        rest = line[end:]
        if not left.strip(_PREFIX_MARKS):
            rest = rest[1:] if rest[:1] in (":", ",") else rest
        elif left[-1:] in " \t" and rest[:1] in (",", ".", ":", ";", "!", "?"):
            left = left.rstrip()
        if not left or left[-1:].isspace():
            rest = rest.lstrip(" \t")
        done = len(line) - len(rest)
    tail = line[done:]
    return left + tail if tail.strip() or not left.strip() else left.rstrip() + tail.strip()


def _attachment_texts(attachment: dict[str, Any]) -> list[str]:
    values = [attachment.get("pretext"), attachment.get("text")]
    fields = attachment.get("fields")
    values += [field.get("value") for field in fields if isinstance(field, dict)] if isinstance(fields, list) else []
    return [value for value in values if isinstance(value, str) and value]
