"""An immutable text that is cheap to append to: for a reply that arrives in thousands of small deltas.

Appending costs only the new piece, however long the text is. Values made from one another share one `TextPieces`; the
newest appends in place, an older one copies its text first.
"""

from functools import cached_property

from oc_trio.core.text_pieces import TextPieces


class AppendableText:
    """`str()` joins the pieces, once per value; `has_words` is false while there is only white space."""

    def __init__(self, text: str = "") -> None:
        self._set(TextPieces(), text)

    def _set(self, pieces: TextPieces, piece: str) -> None:
        pieces.append(piece)
        self._pieces = pieces
        # What of the pieces is this value's.
        self.length = pieces.length
        self.has_words = not pieces.is_blank

    def __add__(self, piece: str) -> "AppendableText":
        """A new value with `piece` appended; this one does not change."""
        if not piece:
            return self
        pieces = self._pieces
        # What another value has appended to them already is not part of this one. Nor does an empty one share its own:
        # that is the default of all drafts, and would keep the first answer for good.
        if not 0 < self.length == pieces.length:
            pieces = TextPieces()
            pieces.append(str(self))
        result = AppendableText.__new__(AppendableText)
        result._set(pieces, piece)
        return result

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AppendableText) and self.length == other.length and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        return self._whole

    def __repr__(self) -> str:
        return f"<{self.length} characters>"

    @cached_property
    def _whole(self) -> str:
        return str(self._pieces)[: self.length]
