"""Builds the demo's gateway: an ordinary one, whose configuration is made here instead of read from a file.

Of the server it knows a URL and a token only.
"""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, field

from oc_trio.classes import frozen
from oc_trio.config.document import Document
from oc_trio.config.load import Loaded, build
from oc_trio.runtime.process.gateway import Gateway
from oc_trio.runtime.process.locations import JOURNAL

# Seconds between the words of a scripted answer: slow enough to watch it grow, quick enough not to bore.
TOKEN_DELAY = 0.06
# Whoever ends a demo does not want to wait for its answers.
DRAIN_SECONDS = 2.0


@frozen
class DemoModel:
    """An OpenAI-compatible endpoint; without a URL the scripted agent answers. `key` may be empty."""

    url: str = ""
    name: str = ""
    key: str = field(default="", repr=False)


def demo_gateway(base_url: str, bot_token: str, state: Path, model: DemoModel | None = None) -> Gateway:
    """A gateway for `base_url` that answers everybody and keeps its journal in `state`. Raises ConfigError."""
    loaded = demo_config(base_url, bot_token, state, model or DemoModel())
    return Gateway(loaded, str(state / JOURNAL))


def demo_config(base_url: str, bot_token: str, state: Path, model: DemoModel) -> Loaded:
    """The configuration that `oc-trio run` would have read from a file; environment variables are ignored."""
    values = {
        "channels": {"mattermost": _account(base_url, bot_token)},
        "models": {"providers": {"demo": _provider(model)}},
        "agents": {"defaults": {"model": f"demo/{model.name or 'script'}"}},
        "gateway": {"port": _free_port(), "drainSeconds": DRAIN_SECONDS},
    }
    home: Mapping[str, str] = {"HOME": os.fspath(state)}
    return evolve(build(Document(values), home), state_dir=state)


def _free_port() -> int:
    """A port for clicks and slash commands, whose URLs are written before the port is opened."""
    # Another program may take it before it is opened: then the demo says so, and ends.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _account(base_url: str, bot_token: str) -> dict[str, Any]:
    return {
        "baseUrl": base_url,
        "botToken": bot_token,
        "dmPolicy": "open",
        "allowFrom": ["*"],
        "groupPolicy": "open",
        "replyToMode": "all",
        "capabilities": ["inlineButtons"],
        "commands": {"native": True},
        "network": {"dangerouslyAllowPrivateNetwork": True},
    }


def _provider(model: DemoModel) -> dict[str, Any]:
    if not model.url:
        return {"api": "scripted", "models": ["script"], "options": {"token_delay": TOKEN_DELAY}}
    return {"api": "openai-completions", "baseUrl": model.url, "apiKey": model.key or "none", "models": [model.name]}
