"""Separates `<think>` blocks from streamed text. Pure.

Local models write their reasoning into the content itself, at the start of the reply. Tags further on belong to the
reply (somebody may ask about HTML) and stay.
"""

import re

from oc_trio.core.text_pieces import TextPieces
from oc_trio.core.turn_events import TextDelta, Thinking

_NAMES = "think|thinking|thought|reasoning|seed:think"
# Magistral and Kimi write tags of their own.
_OTHERS = ("[THINK]", "\u25c1think\u25b7")
_OTHER_ENDS = tuple(f"{tag[0]}/{tag[1:]}" for tag in _OTHERS)
_OPEN = re.compile(rf"<\s{{0,3}}(?:{_NAMES})\b[^<>\n]{{0,80}}>|" + "|".join(map(re.escape, _OTHERS)), re.IGNORECASE)
_CLOSE = re.compile(
    rf"<\s{{0,3}}/\s{{0,3}}(?:{_NAMES})\b[^<>\n]{{0,80}}>|" + "|".join(map(re.escape, _OTHER_ENDS)), re.IGNORECASE
)
# The beginning of a tag at the very end of what came.
_BEGUN = re.compile(
    rf"<\s{{0,3}}(?P<close>/?)\s{{0,3}}(?:(?P<name>[a-z:]{{0,10}})|(?:{_NAMES})\b[^<>\n]{{0,80}})\Z", re.IGNORECASE
)
# No tag that the patterns match is longer, so one that is not whole yet is looked for at the end only.
_LONGEST_TAG = 120


class ThinkSplitter:
    """Feed it deltas split anywhere; it returns what is certain so far."""

    def __init__(self) -> None:
        # What may still become a tag; it is no longer than one.
        self._held = ""
        self._inside = False
        self._speaking = False
        self._thought = TextPieces()  # of the block that is open

    def feed(self, text: str) -> tuple[TextDelta | Thinking, ...]:
        self._held += text
        out: list[TextDelta | Thinking] = []
        while self._held and self._step(out):
            pass
        return tuple(out)

    def end(self) -> tuple[TextDelta | Thinking, ...]:
        """The rest, held back because it might have become a tag."""
        rest, self._held = self._held, ""
        if not rest or (not self._speaking and not rest.strip()):
            return ()
        if self._inside:
            self._thought.append(rest)
        return (Thinking(rest) if self._inside else TextDelta(rest),)

    def unclosed(self) -> str:
        """The thought of a block that nothing has closed; after `end` that is how it stays."""
        return str(self._thought).strip() if self._inside else ""

    def _step(self, out: list[TextDelta | Thinking]) -> bool:
        """Take one decision; true while there may be another."""
        if self._speaking:
            out.append(TextDelta(self._held))
            self._held = ""
            return False
        return self._read_thought(out) if self._inside else self._read_start()

    def _read_start(self) -> bool:
        # Leading white space is dropped in any case; keeping it would make a stream of nothing else quadratic.
        start = self._held = self._held.lstrip()
        if match := _OPEN.match(start):
            self._held = start[match.end() :]
            self._inside = True
            return True
        if not start or _tag_begun(start, _OTHERS, is_end=False) == 0:
            return False
        self._speaking = True
        return True

    def _read_thought(self, out: list[TextDelta | Thinking]) -> bool:
        if match := _CLOSE.search(self._held):
            if match.start():
                out.append(Thinking(self._held[: match.start()]))
            self._thought.clear()
            self._held = self._held[match.end() :]
            self._inside = False
            return True
        begun = _tag_begun(self._held, _OTHER_ENDS, is_end=True)
        sure, self._held = (self._held, "") if begun is None else (self._held[:begun], self._held[begun:])
        if sure:
            out.append(Thinking(sure))
            self._thought.append(sure)
        return False


def _tag_begun(text: str, others: tuple[str, ...], *, is_end: bool) -> int | None:
    """Where a tag begins that is not whole yet at the end of `text`, None for nowhere."""
    start = max(0, len(text) - _LONGEST_TAG)
    if (match := _BEGUN.search(text, start)) and (is_end or not match["close"]):
        name = match["name"]
        if name is None or any(full.startswith(name.lower()) for full in _NAMES.split("|")):
            return match.start()
    for other in others:
        for length in range(min(len(text), len(other) - 1), 0, -1):
            if other.lower().startswith(text[-length:].lower()):
                return len(text) - length
    return None
