"""Reading JSON that strangers send: every way it can be wrong is one exception, and the result is small and shallow.

Owned here: parsing and depth. How many bytes may arrive, and by when, is the business of the edge that reads them.
"""

import json
from typing import Any, NoReturn

MAX_DEPTH = 32


class BadJson(ValueError):
    """The body is not JSON that we accept; str() says why without quoting it."""


def read_json(body: bytes) -> Any:
    """The JSON value in a body of UTF-8 bytes.

    Raises BadJson for bad UTF-8, bad syntax, NaN and Infinity, numbers of absurd length and nesting deeper than
    `MAX_DEPTH`.
    """
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise BadJson("not UTF-8") from None
    except RecursionError:
        raise BadJson("nested too deep") from None
    except BadJson:
        raise
    except ValueError:
        raise BadJson("not JSON") from None
    if _deeper_than(value, MAX_DEPTH):
        raise BadJson("nested too deep")
    return value


def read_object(body: bytes) -> dict[str, Any]:
    """As `read_json`, and the value must be an object."""
    value = read_json(body)
    if not isinstance(value, dict):
        raise BadJson("not a JSON object")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise BadJson(f"{name} is not JSON")


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit + 1):
        level = [
            child
            for item in level
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return True
