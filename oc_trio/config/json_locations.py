"""On which line of a JSON5 file each key stands; a scanner for files that the decoder has accepted."""

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
    found: dict[str, int] = {}
    stack: list[tuple[str, int]] = []  # path, and next index of a list or -1 in an object
    path, latest, line = "", "", 1
    position = 0
    while match := _TOKEN.match(text, position):
        piece, position = match[0], match.end()
        if match["string"] or match["word"]:
            latest = _unquoted(piece) if match["string"] else piece
        elif piece == ":":
            path = join(stack[-1][0] if stack else "", latest)
            found[path] = line
        elif piece in "{[" and match["sign"]:
            outer, index = stack[-1] if stack else ("", -1)
            here = join(outer, index) if index >= 0 else path if stack else ""
            found.setdefault(here, line)
            stack.append((here, 0 if piece == "[" else -1))
        elif piece in "}]" and match["sign"] and stack:
            stack.pop()
        elif piece == "," and stack and stack[-1][1] >= 0:
            stack[-1] = (stack[-1][0], stack[-1][1] + 1)
        line += piece.count("\n")
    return found


def _unquoted(piece: str) -> str:
    """The key's text; escapes beyond quotes and backslashes don't occur in keys that oc-trio knows."""
    return re.sub(r"\\(.)", r"\1", piece[1:-1], flags=re.DOTALL)
