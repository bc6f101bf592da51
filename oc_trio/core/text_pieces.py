"""A text that grows by thousands of small pieces, as a model's tokens: kept in little more than its own size."""

# A piece that is kept by itself takes some sixty bytes however short it is: ten times its text, for a token.
_JOINED_AT = 256


class TextPieces:
    """`str()` joins the pieces; false while there is nothing, `is_blank` while there is only white space, `length` in
    characters.
    """

    def __init__(self) -> None:
        self._joined: list[str] = []
        self._recent: list[str] = []
        self.is_blank = True
        self.length = 0

    def append(self, piece: str) -> None:
        """Adds to the end."""
        if not piece:
            return
        self._recent.append(piece)
        self.length += len(piece)
        self.is_blank = self.is_blank and piece.isspace()
        if len(self._recent) >= _JOINED_AT:
            self._joined.append("".join(self._recent))
            self._recent.clear()

    def clear(self) -> None:
        """Begins anew."""
        self._joined.clear()
        self._recent.clear()
        self.is_blank = True
        self.length = 0

    def __bool__(self) -> bool:
        return self.length > 0

    def __str__(self) -> str:
        return "".join([*self._joined, *self._recent])
