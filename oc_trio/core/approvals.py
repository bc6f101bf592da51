r"""What a person reads before a tool's call is approved, and who may approve it. Pure.

Names and values are shown as JSON in a code block. What acts in Markdown or can't be seen stands there as a JSON escape
(`\u0060` for a backtick), so what is read is what is called. Whatever is shortened says so, and the whole is a file.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from oc_trio.core.access import AccessPolicy, is_listed
from oc_trio.core.chat import Sender
from oc_trio.ids import UserId

ASKER, ALLOWED = "asker", "allowed"

# Characters. Mattermost takes posts of 16,383; the buttons below are not counted there, the rest is for its upgrades.
MOST_SHOWN = 15_000
LONGEST_TOOL_NAME = 300
# Of the whole call as JSON. More is nothing that a person reads before saying yes.
MOST_ATTACHED = 1_000_000
# How much of a long value is shown, from much to nothing: the first at which all names fit.
_ROOMS = (1000, 300, 100, 40, 0)

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
# Letters by Unicode that show as nothing, which `str.isprintable` takes for printable.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef]")
# Marks piled on each other, from the third on.
_PILED = re.compile(
    "(?<=[\u0300-\u036f]{2})[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)
_PIECE = re.compile(r"\\u[0-9a-f]{4}|\\[^u]|[^\\]")
# An address of mail keeps its `@`, but the last letter of a JSON escape makes none.
_ACTING = re.compile(r"`|(?:(?<![A-Za-z0-9])|(?<=\\[bfnrt])|(?<=\\u[0-9a-f]{4}))@(?=\w)")


class CantShow(Exception):
    """A call can't be shown whole enough to be approved; str() ends the sentence "... was not approved: "."""


@frozen
class Shown:
    """`text` is the question; `file` is the whole call as JSON in UTF-8 where `text` shortens it, else None."""

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
        """Whether only who asked may approve, and nobody did: a schedule or a hook started the turn."""
        return not self.askers and all(entry == ASKER for entry in self.entries)

    def include(self, sender: Sender, policy: AccessPolicy) -> bool:
        """Whether somebody who may talk to the bot may also approve; names count only where the policy matches them."""
        if ALLOWED in self.entries or (ASKER in self.entries and sender.user_id in self.askers):
            return True
        return is_listed(sender, (entry for entry in self.entries if entry != ASKER), policy)


def show_call(name: str, arguments: Mapping[str, Any]) -> Shown:
    """The question whether the tool `name` may be called with `arguments`. Raises CantShow."""
    tool = visible(_named(name))
    if len(tool) > LONGEST_TOOL_NAME:
        raise CantShow(f"the tool's name has {len(name):,} characters, more than a person can be asked about")
    if not arguments:
        return Shown(f"Approve: `{tool}`, without arguments?")
    size = len(_json(arguments))
    if size > MOST_ATTACHED:
        raise CantShow(f"its arguments have {size:,} characters; a person can be asked about {MOST_ATTACHED:,}")
    names = [visible(_named(str(argument))) for argument in arguments]
    # One value per room is made at a time: most calls are shown at the first.
    for room in _ROOMS:
        values = [_value(value, room) for value in arguments.values()]
        lines = (f"{named} = {shown}" for named, (shown, _) in zip(names, values, strict=True))
        text = f"Approve: `{tool}`?\n" + _block(lines)
        if len(text) <= MOST_SHOWN:
            return Shown(text, _file(name, arguments) if any(is_cut for _, is_cut in values) else None)
    raise CantShow(
        f"a person can't be shown all its arguments ({len(names):,}, whose names have {sum(map(len, names)):,} "
        "characters); use fewer, or shorter names"
    )


def visible(text: str) -> str:
    """JSON text of the same value, in which everything that is unseen, or acts in Markdown, is written as an escape."""
    return _ACTING.sub(_escape, _seen(text))


def _seen(text: str) -> str:
    """JSON text, laid out or not, in which whatever is unseen is written as an escape."""
    text = _PILED.sub(_escape, text)
    unseen = {char for char in set(text) if (not char.isprintable() or _BLANK.match(char)) and char != "\n"}
    # By a table: a call may hold a million of them, and others are to be answered meanwhile.
    return text.translate({ord(char): _escaped(char) for char in unseen}) if unseen else text


def _escape(found: re.Match[str]) -> str:
    return found[0].translate({ord(char): _escaped(char) for char in set(found[0])})


def _escaped(char: str) -> str:
    """As JSON escapes a character, one of ASCII too: by its units in UTF-16."""
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _named(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else _json(name)


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, default=str, indent=indent)


def _value(value: Any, room: int) -> tuple[str, bool]:
    """A value as it is shown, and whether that is less than the whole."""
    whole = value if isinstance(value, str) else _json(value)
    note = f"... ({len(whole):,} characters, see the attached file)"
    text = _json(value)
    most = room + len(note)
    if len(text) <= most and len(escaped := visible(text)) <= most:
        return escaped, False
    return _beginning(text, room) + note, True


def _beginning(text: str, room: int) -> str:
    """At most `room` characters, no escape cut in two."""
    shown, end = visible(text[:room]), 0
    while (piece := _PIECE.match(shown, end)) and piece.end() <= room:
        end = piece.end()
    return shown[:end]


def _block(lines: Iterable[str]) -> str:
    """A code block. No line in it begins or ends with a backtick, for there is none: nothing inside can close it."""
    return "\n".join(("```text", *lines, "```"))


def _file(name: str, arguments: Mapping[str, Any]) -> bytes:
    text = _seen(_json({"tool": name, "arguments": dict(arguments)}, indent=2))
    return text.encode("utf-8", "backslashreplace")
