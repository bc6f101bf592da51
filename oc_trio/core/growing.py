"""A text that only grows, as a value: appending costs what is appended, whatever stands already.

Values that grew out of one another share their pieces; only the newest appends in place, an older one copies them.
"""

from functools import cached_property


class Growing:
    """`str()` joins the pieces, once per value."""

    def __init__(self, text: str = "") -> None:
        self._pieces = [text] if text else []
        self._count = len(self._pieces)
        self.length = len(text)
        self.has_words = bool(text) and not text.isspace()

    def __add__(self, piece: str) -> "Growing":
        """The text with `piece` behind it; this value stays what it is."""
        if not piece:
            return self
        made = Growing()
        # Somebody appended to the shared pieces already: what he added is not part of this value.
        shares = self._count > 0 and self._count == len(self._pieces)
        made._pieces = self._pieces if shares else self._pieces[: self._count]
        made._pieces.append(piece)
        made._count = self._count + 1
        made.length = self.length + len(piece)
        made.has_words = self.has_words or not piece.isspace()
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Growing) and self.length == other.length and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        return self._whole

    def __repr__(self) -> str:
        return f"<{self.length} characters>"

    @cached_property
    def _whole(self) -> str:
        return "".join(self._pieces[: self._count])
