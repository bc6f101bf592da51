"""How OpenClaw orders object keys before it signs them: the Unicode root collation, three levels.

Exact for ASCII and accented Latin letters (test vectors from ICU 78); an approximation by category and code point for
everything else. Not a general collator: no contractions, no tailoring, no numeric order.
"""

import unicodedata

# Primary order of ASCII below the letters, from ICU; control characters have no weight.
_ASCII = "\t\n\v\f\r _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$"
_SYMBOL = {char: position for position, char in enumerate(_ASCII)}
_CATEGORY = {"Z": 100, "P": 101, "S": 102, "C": 102}  # other blanks, punctuation and symbols follow, then currency
_DIGIT, _LATIN, _OTHER = 200, 300, 400

# Secondary order of the combining marks; marks not named here share the weight of the gap.
_MARKS_LOW = "\u0332\u0313\u0314\u0301\u0300\u0306\u0302\u030c\u030a\u0308\u030b\u0303\u0307\u0338\u0327\u0328\u0304"
_MARKS_HIGH = "\u0335\u0305\u0309\u030f\u0310\u0311\u031b\u0321\u0322\u0323\u0324\u0325\u032d\u032e\u0330\u0331"
_BASE, _GAP, _VARIANT = 0, 50, 99
_SECONDARY = {mark: 1 + position for position, mark in enumerate(_MARKS_LOW)}
_SECONDARY |= {mark: _GAP + 1 + position for position, mark in enumerate(_MARKS_HIGH)}

# Letters that Unicode does not decompose but the collation does; "\0" stands for the variant mark between the parts.
_EXPANDED = {
    "æ": "a\0e",
    "œ": "o\0e",
    "ß": "s\0s",
    "ø": "o\u0338",
    "đ": "d\u0335",
    "ð": "d\u0335\0",
    "ħ": "h\u0335",
    "ł": "l\u0335",
    "\u017f": "s\0",
}
# Letters with a primary weight just above that of the letter named.
_OWN = {"\u0131": "i", "ĸ": "q", "ŋ": "n", "ŧ": "t", "þ": "z"}

Key = tuple[tuple[tuple[int, int], ...], tuple[int, ...], tuple[int, ...]]


def _decompose(text: str) -> str:
    parts = []
    for char in unicodedata.normalize("NFKD", text):
        expansion = _EXPANDED.get(char.lower())
        if expansion is None:
            parts.append(char)
        else:
            parts.append(expansion.upper() if char.isupper() else expansion)
    return "".join(parts)


def _primary(char: str) -> tuple[int, int]:
    lower = char.lower()
    if "a" <= lower <= "z":
        # Even numbers, so that a letter of `_OWN` has the odd one above its neighbour to itself.
        return (_LATIN, 2 * ord(lower))
    if lower in _OWN:
        return (_LATIN, 2 * ord(_OWN[lower]) + 1)
    if char in _SYMBOL:
        return (0, _SYMBOL[char])
    digit = unicodedata.digit(char, None)
    if digit is not None:
        return (_DIGIT, digit)
    category = unicodedata.category(char)
    if category == "Sc":
        return (_CATEGORY["S"] + 1, ord(char))
    if category[0] in _CATEGORY:
        return (_CATEGORY[category[0]], ord(char))
    return (_OTHER, ord(lower[0]))


def collation_key(text: str) -> Key:
    """A sort key that orders like `String.prototype.localeCompare` does under the root locale.

    Equal keys mean that the collation sees no difference (control characters, canonically equivalent spellings).
    """
    primaries: list[tuple[int, int]] = []
    secondaries: list[int] = []
    tertiaries: list[int] = []
    for char in _decompose(text):
        if char == "\0" and "\0" not in text:
            secondaries.append(_VARIANT)
        elif unicodedata.combining(char):
            secondaries.append(_SECONDARY.get(char, _GAP))
        elif unicodedata.category(char) not in ("Cc", "Cf") or char in _SYMBOL:
            primaries.append(_primary(char))
            secondaries.append(_BASE)
            # Small letters before capitals, the other way round than code points.
            tertiaries.append(1 if char.isupper() else 0)
    return tuple(primaries), tuple(secondaries), tuple(tertiaries)
