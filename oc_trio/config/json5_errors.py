"""Finds the first syntax error of a JSON5 text that the decoder has refused, and says what it is.

Values are never quoted: they may be secrets.
"""

import re

from attrs import field

from oc_trio.classes import frozen

_SPACE = re.compile(r"(?:[\s\ufeff]+|//[^\n\r\u2028\u2029]*|/\*.*?\*/)+", re.DOTALL)
# A backslash continues a text on the next line.
_STRING = re.compile(r""""(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'""", re.DOTALL)
_WORD = re.compile(r"""[^\s{}\[\]:,"'/]+""")
_LITERAL = re.compile(
    r"true|false|null|[+-]?(?:Infinity|NaN|0[xX][0-9a-fA-F]+|(?:0|[1-9]\d*)(?:\.\d*)?(?:[eE][+-]?\d+)?"
    r"|\.\d+(?:[eE][+-]?\d+)?)"
)
_NAME = re.compile(r"[^\W\d][\w$]*|\$[\w$]*")
# A key of other characters may be a secret that lost its place.
_KEY_SHOWN = re.compile(r"[A-Za-z_$][\w$.-]{0,40}")
_CLOSING = {"{": "}", "[": "]"}
_TYPOGRAPHIC = "\u201c\u201d\u201e\u2018\u2019\u201a\u00ab\u00bb"


@frozen
class SyntaxFault:
    """What is wrong at a line and column, both from 1."""

    line: int
    column: int
    message: str


def first_fault(text: str) -> SyntaxFault | None:
    """The first place where the text is no JSON5; None where this finds nothing wrong."""
    try:
        _Walk(text).value(0)
    except _Found as found:
        before = text[: found.at]
        return SyntaxFault(before.count("\n") + 1, len(before) - before.rfind("\n"), found.message)
    return None


class _Found(Exception):
    """The walk has come to a fault."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at = at
        self.message = message


@frozen
class _Walk:
    """Goes over a text from its first character. `opened` has the offsets of the brackets that are open."""

    text: str
    opened: list[int] = field(factory=list)

    def value(self, at: int) -> None:
        """The whole text: one value, with nothing behind it. A loop, as nesting has no bound here."""
        at, is_value_due, is_first = self._skip(at), True, False
        while True:
            sign = self.text[at : at + 1]
            inner = self.text[self.opened[-1]] if self.opened else ""
            if is_value_due and not (is_first and sign == _CLOSING.get(inner)):
                if inner == "{":
                    at = self._key(at)
                    sign = self.text[at : at + 1]
                # Every text holds the empty one, which stands for the end.
                if sign and sign in "{[":
                    self.opened.append(at)
                    at, is_first = self._skip(at + 1), True
                    continue
                at = self._skip(self._plain(at))
            elif not self.opened:
                if sign:
                    raise _Found(at, "something follows after the end")
                return
            elif sign == _CLOSING[inner]:
                self.opened.pop()
                at = self._skip(at + 1)
            else:
                raise self._no_comma(at)
            is_value_due = is_first = False
            if self.opened and self.text[at : at + 1] == ",":
                # A comma may stand before the closing bracket.
                at, is_value_due, is_first = self._skip(at + 1), True, True

    def _skip(self, at: int) -> int:
        """Behind blanks and comments."""
        found = _SPACE.match(self.text, at)
        at = found.end() if found else at
        if self.text.startswith("/*", at):
            raise _Found(at, "the comment that begins here has no end (*/)")
        return at

    def _key(self, at: int) -> int:
        """Behind a key and its colon."""
        found = _STRING.match(self.text, at) or _WORD.match(self.text, at)
        if found is None or (found[0][0] not in "\"'" and not _NAME.fullmatch(found[0])):
            self._refuse_quote(at)
            raise self._ended(at) or _Found(
                at, "here a key has to stand; with other characters than a-z it needs quotes"
            )
        at = self._skip(found.end())
        if self.text[at : at + 1] != ":":
            raise self._ended(at) or _Found(at, f"a colon is missing after {_shown(found[0])}")
        return self._skip(at + 1)

    def _plain(self, at: int) -> int:
        """Behind a text, number or word."""
        self._refuse_quote(at)
        if found := _STRING.match(self.text, at):
            return found.end()
        word = _WORD.match(self.text, at)
        if word is None:
            raise self._ended(at) or _Found(at, "a value is missing")
        if not _LITERAL.fullmatch(word[0]):
            raise _Found(at, "a text needs quotes; without them only numbers, true, false and null may stand")
        return word.end()

    def _refuse_quote(self, at: int) -> None:
        """A quote that opens no text."""
        sign = self.text[at : at + 1]
        if sign and sign in _TYPOGRAPHIC:
            raise _Found(at, f'{sign} is a typographic quote: write " instead')
        if sign and sign in "\"'" and not _STRING.match(self.text, at):
            raise _Found(at, "the text that begins here has no closing quote on its line")

    def _no_comma(self, at: int) -> _Found:
        """What stands behind a value, where a comma or a closing bracket has to."""
        sign = self.text[at : at + 1]
        if sign and sign in "}]":
            opening = self.opened[-1]
            line = self.text.count("\n", 0, opening) + 1
            return _Found(at, f"{sign} does not close the {self.text[opening]} of line {line}")
        found = _STRING.match(self.text, at) or _WORD.match(self.text, at)
        if found and self.text[self.opened[-1]] == "{" and self.text[self._skip(found.end()) :].startswith(":"):
            return _Found(at, f"a comma is missing before {_shown(found[0])}")
        return self._ended(at) or _Found(at, "a comma is missing before this")

    def _ended(self, at: int) -> _Found | None:
        """The end of the text, where something is still open."""
        if at < len(self.text):
            return None
        if not self.opened:
            return _Found(at, "the file is empty")
        opening = self.opened[-1]
        return _Found(opening, f"the file ends too early: this {self.text[opening]} is never closed")


def _shown(lexeme: str) -> str:
    """A key as it may be printed."""
    name = lexeme.strip("\"'")
    return f"`{name}`" if _KEY_SHOWN.fullmatch(name) else "this key"
