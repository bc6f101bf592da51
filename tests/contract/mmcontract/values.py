"""How the kit makes what it saw comparable: it names what changes from run to run, and picks the keys that matter."""

import json
import random
import re
import string
from typing import Any

ABSENT = "<absent>"
EMPTY = "<empty>"
PASSWORD = "Passw0rd!x"
UNKNOWN_ID = "abcdefghijklmnopqrstuvwxyz"  # well formed, belongs to nothing


ID_RE = re.compile(r"(?<![A-Za-z0-9])[a-z0-9]{26}(?![A-Za-z0-9])")
SHA1_RE = re.compile(r"(?<![A-Za-z0-9])[0-9a-f]{40}(?![A-Za-z0-9])")
PAIR_RE = re.compile(r"(<[^<>]+>)__(<[^<>]+>)")


class Normaliser:
    """Replaces what changes from run to run.

    * what the kit itself created or knows -> an alias, `<bot>`, `<user.name>`, `<team>` ...
    * any other 26 character id -> `<id:1>`, `<id:2>` ... in order of first appearance
    * millisecond timestamps -> `<ms>` (0 stays 0: "never" is a fact a gateway reads)
    * tokens -> `<token>`, 40 hex digits -> `<sha1>`, the server -> `<base>`,
      the kit's own callback listener -> `<hook>`
    * a direct channel's name `id__id` -> both ids in a stable order
    """

    def __init__(self, aliases: dict[str, str]):
        self.aliases = dict(aliases)
        self.ids: dict[str, str] = {}

    def alias(self, raw: str, name: str) -> None:
        self.aliases[raw] = name

    def _id(self, m: re.Match[str]) -> str:
        raw = m.group(0)
        if raw == UNKNOWN_ID:
            return "<unknown-id>"
        if raw not in self.ids:
            self.ids[raw] = f"<id:{len(self.ids) + 1}>"
        return self.ids[raw]

    def text(self, s: str) -> str:
        if s in self.aliases:
            return self.aliases[s]
        for raw in sorted(self.aliases, key=len, reverse=True):
            if len(raw) >= 8 and raw in s:
                s = s.replace(raw, self.aliases[raw])
        s = ID_RE.sub(self._id, s)
        s = SHA1_RE.sub("<sha1>", s)
        return PAIR_RE.sub(lambda m: "__".join(sorted(m.groups())), s)

    def __call__(self, v: Any) -> Any:
        if isinstance(v, bool) or v is None:
            return v
        if isinstance(v, int):
            return "<ms>" if v > 1_000_000_000_000 else int(v)
        if isinstance(v, float):
            return v
        if isinstance(v, str):
            return self.text(v)
        if isinstance(v, (list, tuple)):
            return [self(x) for x in v]
        if isinstance(v, dict):
            return {self.text(str(k)): self(x) for k, x in v.items()}
        return f"<{type(v).__name__}>"


def _walk(obj: Any, parts: list[str]) -> Any:
    if not parts:
        return obj
    if isinstance(obj, list):
        return [_walk(x, parts) for x in obj]
    if isinstance(obj, dict) and parts[0] in obj:
        return _walk(obj[parts[0]], parts[1:])
    return ABSENT


def _kind(v: Any) -> str:
    if v == ABSENT:
        return ABSENT
    if isinstance(v, bool):
        return "<bool>"
    return {str: "<str>", int: "<int>", float: "<number>", list: "<list>", dict: "<object>", type(None): "<null>"}[
        type(v)
    ]


def pick(obj: Any, spec: str) -> Any:
    """Keeps only the named keys.  `a.b` goes down (through lists too).

    `key`   the exact value, or <absent>
    `key?`  absent, null, "", [], {} and false/0 are the same thing: <empty>
    `key!`  only that it is there, and its JSON type
    `key#`  the value is a string that holds JSON: parse it
    """
    if isinstance(obj, list):
        return [pick(x, spec) for x in obj]
    out: dict[str, Any] = {}
    for token in spec.split():
        flag = token[-1] if token[-1] in "?!#" else ""
        name = token.rstrip("?!#")
        v = _walk(obj, name.split("."))
        if flag == "?" and v in (ABSENT, None, "", [], {}, 0, False):
            v = EMPTY
        elif flag == "!":
            v = _kind(v)
        elif flag == "#":
            v = as_json(v)
        out[name] = v
    return out


def as_json(v: Any) -> Any:
    """A value that must be a *string* holding JSON (as websocket `post`, `mentions` are)."""
    if v == ABSENT:
        return ABSENT
    if not isinstance(v, str):
        return {"<not a json string>": _kind(v)}
    try:
        return json.loads(v)
    except ValueError:
        return {"<not json>": v}


def diff(want: Any, got: Any, path: str = "") -> str | None:
    """The first difference, in words; None when equal."""
    if isinstance(want, dict) and isinstance(got, dict):
        for k in want:
            if k not in got:
                return f"{path}.{k}: want {short(want[k])}, got nothing"
            d = diff(want[k], got[k], f"{path}.{k}")
            if d:
                return d
        for k in got:
            if k not in want:
                return f"{path}.{k}: want nothing, got {short(got[k])}"
        return None
    if isinstance(want, list) and isinstance(got, list):
        for i, (w, g) in enumerate(zip(want, got)):
            d = diff(w, g, f"{path}[{i}]")
            if d:
                return d
        if len(want) != len(got):
            return f"{path}: want {len(want)} items, got {len(got)}: {short(want)} / {short(got)}"
        return None
    if want != got or type(want) is not type(got):
        return f"{path}: want {short(want)}, got {short(got)}"
    return None


def short(v: Any) -> str:
    s = json.dumps(v, sort_keys=True, ensure_ascii=False)
    return s if len(s) <= 160 else s[:157] + "..."


def suffix(n: int = 6) -> str:
    return "".join(random.choice(string.ascii_lowercase) for _ in range(n))
