"""An immutable text that is cheap to append to: for a reply that arrives in thousands of small deltas.

Appending costs only the new piece, however long the text is. Values made from one another share one list of pieces; the
newest appends in place, an older one copies the list first.
"""

from functools import cached_property


class AppendableText:
    """`str()` joins the pieces, once per value; `has_words` is false while there is only white space."""

    def __init__(self, text: str = "") -> None:
        self._pieces = [text] if text else []
        self._count = len(self._pieces)
        self.length = len(text)
        self.has_words = bool(text) and not text.isspace()

    def __add__(self, piece: str) -> "AppendableText":
        """A new value with `piece` appended; this one does not change."""
        if not piece:
            return self
        result = AppendableText()
        # If another value already appended to the shared list, its piece is not part of this one: copy.
        shares = self._count > 0 and self._count == len(self._pieces)
        result._pieces = self._pieces if shares else self._pieces[: self._count]
        result._pieces.append(piece)
        result._count = self._count + 1
        result.length = self.length + len(piece)
        result.has_words = self.has_words or not piece.isspace()
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
        return "".join(self._pieces[: self._count])
