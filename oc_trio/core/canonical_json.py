"""Canonical JSON: one serialisation per value, so that two processes sign the same bytes.

Three serialisations are in use among programs that sign button contexts, and a verifier has to try each.
`core.signing` decides what is signed with which key.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from oc_trio.core.collation import collation_key

# Deeper values are refused: no button needs them, and it bounds the recursion below.
MAX_DEPTH = 32

# `JSON.stringify` writes half of a pair as an escape in small letters, and everything else raw.
_SURROGATE = re.compile("[\ud800-\udfff]")
# JavaScript enumerates keys that are array indices first, by their number, whatever order they were inserted in.
_ARRAY_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")
_MAX_ARRAY_INDEX = 2**32 - 2
# JavaScript has floats only: a larger integer is rounded when it is parsed, and signed as what it became.
_MAX_SAFE_INTEGER = 2**53 - 1


def canonical_json(value: Any) -> str:
    """OpenClaw's spelling: keys in collation order with array indices first, JavaScript's numbers, raw non-ASCII.

    Takes what `json.loads` gives (tuples count as lists). Raises ValueError if nested deeper than `MAX_DEPTH` and
    TypeError for values that JSON does not have. Keys that compare equal are sorted by bytes, the order in which
    Mattermost returns a stored context.
    """
    return _write(value, lambda key: (collation_key(key), key.encode("utf-8", "surrogatepass")), MAX_DEPTH)


def codepoint_json(value: Any) -> str:
    """As `canonical_json`, but keys sorted by UTF-16 code unit as JavaScript's plain `sort()` does."""
    return _write(value, lambda key: key.encode("utf-16-be", "surrogatepass"), MAX_DEPTH)


def python_json(value: Any) -> str:
    """What `json.dumps(value, sort_keys=True, separators=(",", ":"))` gives: used by the documented sample script."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def js_number(number: int | float) -> str:
    """A number as JavaScript prints it: `1.0` is `1`, `-0.0` is `0`, `10**21` is `1e+21`; not finite is `null`."""
    if isinstance(number, int):
        if abs(number) <= _MAX_SAFE_INTEGER:
            return str(number)
        try:
            number = float(number)
        except OverflowError:
            return "null"
    if not math.isfinite(number):
        return "null"
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    return sign + _shortest(Decimal(repr(abs(number))).normalize())


def _shortest(number: Decimal) -> str:
    # Number::toString of ECMA-262: plain notation between 1e-6 and 1e21, exponents outside.
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    point = len(text) + exponent
    if 0 < point <= 21:
        return text.ljust(point, "0") if exponent >= 0 else f"{text[:point]}.{text[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{text}"
    fraction = f".{text[1:]}" if len(text) > 1 else ""
    return f"{text[0]}{fraction}e{'+' if point > 0 else '-'}{abs(point - 1)}"


def _string(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    return _SURROGATE.sub(lambda match: f"\\u{ord(match.group()):04x}", quoted)


def _ordered(keys: list[str], order: Callable[[str], Any]) -> list[str]:
    indices = [key for key in keys if _ARRAY_INDEX.fullmatch(key) and int(key) <= _MAX_ARRAY_INDEX]
    taken = set(indices)
    return sorted(indices, key=int) + sorted((key for key in keys if key not in taken), key=order)


def _write(value: Any, order: Callable[[str], Any], depth: int) -> str:
    if depth < 0:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return js_number(value)
        case str():
            return _string(value)
        case list() | tuple():
            return f"[{','.join(_write(item, order, depth - 1) for item in value)}]"
        case Mapping():
            if not all(isinstance(key, str) for key in value):
                raise TypeError("a key that is not a string")
            pairs = (f"{_string(key)}:{_write(value[key], order, depth - 1)}" for key in _ordered(list(value), order))
            return f"{{{','.join(pairs)}}}"
        case _:
            raise TypeError(f"{type(value).__name__} is not a JSON value")
