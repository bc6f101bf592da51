"""Takes `<think>` blocks out of streamed text. Pure.

Local models put their reasoning into the content itself, at the start of the reply. Tags further on are the reply's
own words (somebody may ask about HTML) and stay.
"""

from oc_trio.core.turn_events import TextDelta, Thinking

_NAMES = ("think", "thinking", "thought", "reasoning")
_OPEN = tuple(f"<{name}>" for name in _NAMES)
_CLOSE = tuple(f"</{name}>" for name in _NAMES)


class ThinkSplitter:
    """Feed it deltas split anywhere; each answer is what is certain so far."""

    def __init__(self) -> None:
        self._held = ""
        self._inside = False
        self._speaking = False
        self._thought: list[str] = []  # of the block that is open

    def feed(self, text: str) -> tuple[TextDelta | Thinking, ...]:
        self._held += text
        out: list[TextDelta | Thinking] = []
        while self._held and self._step(out):
            pass
        return tuple(out)

    def end(self) -> tuple[TextDelta | Thinking, ...]:
        """What was held back because it might have become a tag."""
        rest, self._held = self._held, ""
        if not rest or (not self._speaking and not rest.strip()):
            return ()
        if self._inside:
            self._thought.append(rest)
        return (Thinking(rest) if self._inside else TextDelta(rest),)

    def unclosed(self) -> str:
        """The thought of a block that nothing has closed; after `end` that is how it stays."""
        return "".join(self._thought).strip() if self._inside else ""

    def _step(self, out: list[TextDelta | Thinking]) -> bool:
        """Take one decision; true while there may be another."""
        if self._speaking:
            out.append(TextDelta(self._held))
            self._held = ""
            return False
        return self._read_thought(out) if self._inside else self._read_start()

    def _read_start(self) -> bool:
        start = self._held.lstrip()
        for tag in _OPEN:
            if start.startswith(tag):
                self._held = start.removeprefix(tag)
                self._inside = True
                return True
        if any(tag.startswith(start) for tag in _OPEN):
            return False
        self._held = start
        self._speaking = True
        return True

    def _read_thought(self, out: list[TextDelta | Thinking]) -> bool:
        found = [(at, tag) for tag in _CLOSE if (at := self._held.find(tag)) >= 0]
        if found:
            at, tag = min(found)
            if at:
                out.append(Thinking(self._held[:at]))
            self._thought.clear()
            self._held = self._held[at + len(tag) :]
            self._inside = False
            return True
        keep = max(_overlap(self._held, tag) for tag in _CLOSE)
        sure, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        if sure:
            out.append(Thinking(sure))
            self._thought.append(sure)
        return False


def _overlap(text: str, tag: str) -> int:
    """How many characters at the end of `text` could be the beginning of `tag`."""
    return next((n for n in range(min(len(text), len(tag) - 1), 0, -1) if tag.startswith(text[-n:])), 0)
