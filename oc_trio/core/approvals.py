r"""Writes the prompt by which a person approves a tool call, and decides who may approve. Pure.

Arguments are shown as JSON in a code block. Characters that are invisible or act in Markdown are shown as JSON escapes
(`\u0060` for a backtick), so that a person sees exactly what will be called. A shortened value says so, and the whole
call is attached as a file.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from oc_trio.classes import frozen
from oc_trio.core.access import AccessPolicy, is_listed
from oc_trio.core.chat import Sender
from oc_trio.ids import UserId

ASKER, ALLOWED = "asker", "allowed"

# Characters. Mattermost's limit is 16,383, without the buttons; the rest is a margin.
MAX_PROMPT_CHARS = 15_000
# Model APIs take names of up to 64 (OpenAI) or 128 characters (Anthropic), and an escape makes six of one.
MAX_TOOL_NAME = 300
# Of the whole call as JSON. Nobody reads more than that before approving.
MAX_ATTACHED_CHARS = 1_000_000
# Characters shown of a long value; the first length is used at which the whole prompt fits.
_VALUE_LENGTHS = (1000, 300, 100, 40, 0)

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
# Characters that show as nothing although `str.isprintable` says they are printable.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef]")
# Combining marks on one character, from the third on: piled marks can cover other text.
_PILED = re.compile(
    "(?<=[\u0300-\u036f]{2})[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)
_PIECE = re.compile(r"\\u[0-9a-f]{4}|\\[^u]|[^\\]")
# `@` stays in a mail address; but the last letter of a JSON escape before it does not make one.
_ACTING = re.compile(r"`|(?:(?<![A-Za-z0-9])|(?<=\\[bfnrt])|(?<=\\u[0-9a-f]{4}))@(?=\w)")


class CallTooLarge(Exception):
    """A call is too large to be shown to a person; str() completes the sentence "... was not approved: "."""


@frozen
class ApprovalPrompt:
    """`text` is the question; `file` is the complete call as UTF-8 JSON if `text` shortens it, else None."""

    text: str
    file: bytes | None = None


@frozen
class Approvers:
    """`entries` are user ids, names and groups as in `allowFrom`, or the words `asker` and `allowed`; `askers` are the
    people whose messages the turn answers.
    """

    entries: tuple[str, ...] = (ALLOWED,)
    askers: frozenset[UserId] = frozenset()

    @property
    def is_nobody(self) -> bool:
        """Whether only the asker may approve but there is none, because a schedule or a hook started the turn."""
        return not self.askers and all(entry == ASKER for entry in self.entries)

    def include(self, sender: Sender, policy: AccessPolicy) -> bool:
        """Whether a sender who may talk to the bot may also approve; names count only if the policy matches names."""
        if ALLOWED in self.entries or (ASKER in self.entries and sender.user_id in self.askers):
            return True
        return is_listed(sender, (entry for entry in self.entries if entry != ASKER), policy)


def approval_prompt(name: str, arguments: Mapping[str, Any]) -> ApprovalPrompt:
    """The prompt that asks whether the tool `name` may be called with `arguments`. Raises CallTooLarge."""
    tool = escape_hidden(_named(name))
    if len(tool) > MAX_TOOL_NAME:
        raise CallTooLarge(f"the tool's name has {len(name):,} characters, more than a person can be asked about")
    if not arguments:
        return ApprovalPrompt(f"Approve: `{tool}`, without arguments?")
    size = len(_json(arguments))
    if size > MAX_ATTACHED_CHARS:
        raise CallTooLarge(
            f"its arguments have {size:,} characters; a person can be asked about {MAX_ATTACHED_CHARS:,}"
        )
    names = [escape_hidden(_named(str(argument))) for argument in arguments]
    # Computed one length at a time, because most calls fit at the first.
    for length in _VALUE_LENGTHS:
        values = [_value(value, length) for value in arguments.values()]
        lines = (f"{named} = {shown}" for named, (shown, _) in zip(names, values, strict=True))
        text = f"Approve: `{tool}`?\n" + _block(lines)
        if len(text) <= MAX_PROMPT_CHARS:
            return ApprovalPrompt(text, _file(name, arguments) if any(is_cut for _, is_cut in values) else None)
    raise CallTooLarge(
        f"a person can't be shown all its arguments ({len(names):,}, whose names have {sum(map(len, names)):,} "
        "characters); use fewer, or shorter names"
    )


def escape_hidden(text: str) -> str:
    """The same JSON with everything that is invisible or acts in Markdown written as an escape."""
    return _ACTING.sub(_escape, _escape_invisible(text))


def _escape_invisible(text: str) -> str:
    """The same JSON, indented or not, with everything invisible written as an escape."""
    text = _PILED.sub(_escape, text)
    invisible = {char for char in set(text) if (not char.isprintable() or _BLANK.match(char)) and char != "\n"}
    # A translation table, because a call may contain a million such characters and this blocks the event loop.
    return text.translate({ord(char): _escaped(char) for char in invisible}) if invisible else text


def _escape(match: re.Match[str]) -> str:
    return match[0].translate({ord(char): _escaped(char) for char in set(match[0])})


def _escaped(char: str) -> str:
    """The JSON escape of any character, by its UTF-16 code units."""
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _named(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else _json(name)


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, default=str, indent=indent)


def _value(value: Any, length: int) -> tuple[str, bool]:
    """A value as it is shown, and whether it was shortened."""
    whole = value if isinstance(value, str) else _json(value)
    note = f"... ({len(whole):,} characters, see the attached file)"
    text = _json(value)
    limit = length + len(note)
    if len(text) <= limit and len(escaped := escape_hidden(text)) <= limit:
        return escaped, False
    return _beginning(text, length) + note, True


def _beginning(text: str, length: int) -> str:
    """The first characters, at most `length` after escaping; no escape is cut in two."""
    escaped, end = escape_hidden(text[:length]), 0
    while (piece := _PIECE.match(escaped, end)) and piece.end() <= length:
        end = piece.end()
    return escaped[:end]


def _block(lines: Iterable[str]) -> str:
    """A code block. Nothing inside can close it, because every backtick has been escaped."""
    return "\n".join(("```text", *lines, "```"))


def _file(name: str, arguments: Mapping[str, Any]) -> bytes:
    text = _escape_invisible(_json({"tool": name, "arguments": dict(arguments)}, indent=2))
    return text.encode("utf-8", "backslashreplace")
