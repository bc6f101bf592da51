"""Generates the reference page `docs/configuration.md` from the declarations: one row per key."""

import json
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from oc_trio.config.fields import Key, Spec, all_keys, is_enum, unwrap_optional
from oc_trio.config.file_value import MISSING_DEFAULT, default_in_file
from oc_trio.config.model import Config
from oc_trio.config.parse import limits
from oc_trio.config.secrets import Secret

_NAMES = {bool: "true, false", int: "whole number", float: "number", str: "text"}
INTRODUCTION = """# Configuration reference

oc-trio reads one TOML file: `--config PATH`, else `$OC_TRIO_CONFIG`, `./oc-trio.toml`,
`~/.config/oc-trio/config.toml`, `/etc/oc-trio/config.toml`. A file whose name ends in `.json` or `.json5` is read as an
`openclaw.json`: see [From an openclaw.json](openclaw-json.md).
With `MATTERMOST_BOT_TOKEN` and `MATTERMOST_URL` set, no file is needed.

```toml
[channels.mattermost]
baseUrl = "https://chat.example.com"
botTokenFile = "bot-token"          # or botToken = "...", or { source = "env" | "file" | "exec", ... }
groupAllowFrom = ["<your user id>"]

[models.providers.local]
baseUrl = "http://127.0.0.1:11434/v1"

[agents.defaults]
model = "local/qwen3"
```

- Check a file with `oc-trio config check`; see what holds, and why, with `oc-trio config show --origin`.
- A key that is not listed here is an error. A wrong value is never bent into a right one: `"true"` is not `true`.
- **Accounts.** `channels.mattermost` describes the default account; `channels.mattermost.accounts.<id>` take the same
  keys. An account inherits whatever it doesn't say: policies too, and single keys of nested tables. (In OpenClaw an
  account silently fell back to `dmPolicy = "pairing"` and `groupPolicy = "allowlist"`, and a nested table replaced the
  whole one above it. Check accounts that relied on that.)
- **Secrets.** Text in the file, or a file of its own (`botTokenFile`; mode 600), or `{ source = "env", id = "NAME"
  }`, `{ source = "file", path = "..." }` (with `pointer = "/a/b"`, that place in a JSON file), `{ source = "exec",
  command = ["pass", "show", "bot"] }` (with an `id`, the program gets OpenClaw's question as JSON on standard input
  and answers in JSON, or with `plain = true` in plain text; `env` is added to its variables, `timeoutMs` is 15000
  unless set), or the systemd credentials `bot-token` and `bot-token.<account>` (`LoadCredential=`). The environment
  variables serve the account `default` only, and never win over the file. `.env` files are not read for a TOML. A
  secret is printable ASCII without blanks: curly quotes, a byte order mark, a zero-width space or a stray blank is an
  error that names the character. The value of a header may have blanks between its words; `env` of a program takes
  any text. A line break at the end of a file is no part of it.
- **Units.** Times are in the unit that the key's name ends in.
- **Older spellings** work, with a warning that names the new one: `streaming = "partial"` or `true`, `streamMode`,
  `chunkMode`, `blockStreaming`, `blockStreamingCoalesce`, `requireMention`, `allowPrivateNetwork`, `serverUrl`,
  `teamId`, `allowChannels`, `respondToMentions`, `respondToDMs`, `useWebSocket`, `reconnectInterval`; of a model
  `input`, `compat.supportsTools` and `compat.maxTokensField`.

This page is generated from the declarations in `oc_trio/config`: `python scripts/gen_config_docs.py`.
"""


def reference() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for path, cls, doc in all_tables(Config, "", ""):
        # Tables have sections of their own; `accounts` has none, since its keys are those around it.
        rows = [_row(entry) for entry in all_keys(cls) if entry.name == "accounts" or not inner_table(entry)]
        if not rows:
            continue
        parts.append(
            f"\n## `{path}`\n\n{doc}\n\n| Key | Value | Default | Meaning |\n|---|---|---|---|\n"
            + "\n".join(rows)
            + "\n"
        )
    return "".join(parts)


def all_tables(cls: type, path: str, doc: str) -> Iterator[tuple[str, type, str]]:
    """Path, class and description of each table, depth first. Accounts repeat the keys of their parent: left out."""
    if path:
        yield path, cls, doc
    for entry in all_keys(cls):
        inner = inner_table(entry)
        if inner and entry.name != "accounts":
            cls_inner, suffix = inner
            yield from all_tables(cls_inner, f"{path}.{entry.name}".lstrip(".") + suffix, entry.spec.doc)


def inner_table(entry: Key) -> tuple[type, str] | None:
    """The class of the table that a key holds, and the suffix for the path of one; None if it holds no table."""
    declared = unwrap_optional(entry.declared)
    if _is_table(declared):
        return declared, ""
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if origin is tuple and _is_table(arguments[0]):
        return arguments[0], "[]"
    if isinstance(origin, type) and issubclass(origin, Mapping) and _is_table(arguments[1]):
        return arguments[1], ".<name>"
    return None


def _is_table(declared: Any) -> bool:
    # A secret is an attrs class too, but one value in the file.
    return declared is not Secret and attrs.has(declared)


def _row(entry: Key) -> str:
    default = default_in_file(entry)
    default_text = "" if default is MISSING_DEFAULT or default == "" else f"`{json.dumps(default, ensure_ascii=False)}`"
    cells = [f"`{entry.name}`", _kind(unwrap_optional(entry.declared), entry.spec), default_text, entry.spec.doc]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _kind(declared: Any, spec: Spec) -> str:
    if declared is Secret:
        return "secret"
    if is_enum(declared):
        return ", ".join(f"`{member.value}`" for member in declared) + _also(spec)
    origin = typing.get_origin(declared)
    if origin is tuple:
        return "list of text" + _also(spec)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "table"
    if declared is Any:
        return "anything"
    bounds = f", {limits(spec)}" if (spec.minimum, spec.above, spec.maximum) != (None, None, None) else ""
    return (spec.expects or _NAMES[declared]) + bounds + _also(spec)


def _also(spec: Spec) -> str:
    return "".join(f", `{json.dumps(value)}`" for value in spec.also)
