"""The text of one answer as it streams: separates thoughts in tags from it, and joins halves of characters. Pure.

Shared by the readers of the chat APIs. What a piece of a response is, text or thought, is theirs to know.
"""

from collections.abc import Iterable

from oc_trio.agent.think_tags import ThinkSplitter
from oc_trio.core.text import SurrogateJoiner
from oc_trio.core.text_pieces import TextPieces
from oc_trio.core.turn_events import TextDelta, Thinking


class AnswerText:
    """Feed it the pieces of text and of thoughts; what is certain comes out as events, and the text is kept."""

    def __init__(self) -> None:
        self._splitter = ThinkSplitter()
        self._halves, self._thought_halves = SurrogateJoiner(), SurrogateJoiner()
        self._text = TextPieces()

    def feed(self, text: str) -> tuple[TextDelta | Thinking, ...]:
        """A piece of the text, in which tags may mark thoughts."""
        text = self._halves.feed(text)
        return self._keep(self._splitter.feed(text)) if text else ()

    def feed_thought(self, text: str) -> tuple[Thinking, ...]:
        """A piece of a thought that the API tells apart from the text."""
        text = self._thought_halves.feed(text)
        return (Thinking(text),) if text else ()

    def end(self, *, may_be_thought: bool) -> tuple[TextDelta | Thinking, ...]:
        """The rest that was buffered.

        With `may_be_thought`, an unclosed thought in tags becomes the answer where there is no other text. Ended by
        itself, the model only forgot the closing tag; cut off in the middle of thinking, it has given no answer.
        """
        rest = self._halves.end()
        events = [*(self._splitter.feed(rest) if rest else ()), *self._splitter.end()]
        has_text = not self.is_blank or any(isinstance(event, TextDelta) for event in events)
        if may_be_thought and not has_text and (thought := self._splitter.unclosed()):
            events.append(TextDelta(thought))
        return self._keep(events)

    @property
    def is_thinking(self) -> bool:
        """Whether a thought in tags is open, which becomes the answer if nothing else comes."""
        return bool(self._splitter.unclosed())

    @property
    def is_blank(self) -> bool:
        return self._text.is_blank

    @property
    def text(self) -> str:
        return str(self._text)

    def _keep(self, events: Iterable[TextDelta | Thinking]) -> tuple[TextDelta | Thinking, ...]:
        events = tuple(events)
        for event in events:
            if isinstance(event, TextDelta):
                self._text.append(event.text)
        return events
