"""Finds the line of each key of a JSON5 file, for files that the decoder has accepted: it gives no positions."""

import re

from oc_trio.config.parse import join

_TOKEN = re.compile(
    r"""(?P<space>[\s\ufeff]+|//[^\n\r\u2028\u2029]*|/\*.*?\*/)
      | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<sign>[{}\[\]:,])
      | (?P<word>[^\s{}\[\]:,"'/]+)""",
    re.VERBOSE | re.DOTALL,
)


def json_lines(text: str) -> dict[str, int]:
    """Dotted path of each key, to its line (from 1); a key given twice keeps its last line, as its last value holds."""
    lines: dict[str, int] = {}
    stack: list[tuple[str, int]] = []  # path, and next index of a list or -1 in an object
    path, last_text, line = "", "", 1
    position = 0
    while match := _TOKEN.match(text, position):
        lexeme, position = match[0], match.end()
        if match["string"] or match["word"]:
            last_text = _unquoted(lexeme) if match["string"] else lexeme
        elif lexeme == ":":
            path = join(stack[-1][0] if stack else "", last_text)
            lines[path] = line
        elif lexeme in "{[" and match["sign"]:
            outer, index = stack[-1] if stack else ("", -1)
            opened = join(outer, index) if index >= 0 else path if stack else ""
            lines.setdefault(opened, line)
            stack.append((opened, 0 if lexeme == "[" else -1))
        elif lexeme in "}]" and match["sign"] and stack:
            stack.pop()
        elif lexeme == "," and stack and stack[-1][1] >= 0:
            stack[-1] = (stack[-1][0], stack[-1][1] + 1)
        line += lexeme.count("\n")
    return lines


def _unquoted(lexeme: str) -> str:
    """The key's text; escapes beyond quotes and backslashes don't occur in keys that oc-trio knows."""
    return re.sub(r"\\(.)", r"\1", lexeme[1:-1], flags=re.DOTALL)
