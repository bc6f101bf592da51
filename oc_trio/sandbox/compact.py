"""Writes JSON as the real server does: compact, not escaped to ASCII."""

import json
from typing import Any


def dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
