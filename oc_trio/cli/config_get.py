"""`oc-trio config get | file`: one value in effect, by its path, and where the configuration is."""

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import click

from oc_trio.cli.exits import EX_CONFIG, EX_FAILED
from oc_trio.cli.options import config_option

if TYPE_CHECKING:
    from oc_trio.config.load import Loaded

_ROOT = ["channels", "mattermost"]
# `name`, `"a name"`, `[0]`, `["a name"]`
_PART = re.compile(r'\[?"((?:[^"\\]|\\.)*)"\]?|\[\'?([^\'\]]*)\'?\]|([^.\[\]"]+)')


@click.command()
@click.argument("path")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, texts in quotes too.")
def get(path: str, config_path: str | None, *, as_json: bool) -> None:
    """Print the value in effect at PATH, such as channels.mattermost.replyToMode; secrets are hidden.

    `channels.mattermost.KEY` is the default account's. Exit code 1: nothing is set there; 78: the configuration is
    wrong.
    """
    from oc_trio.config.show import settings

    loaded = _load(config_path)
    tree: dict[str, Any] = {}
    for entry in settings(loaded):
        *parents, name = _parts(entry.path)
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = entry.value
    parts = _parts(path)
    value = _at(tree, parts)
    if value is None and parts[: len(_ROOT)] == _ROOT:
        value = _at(tree, [*_ROOT, "accounts", str(loaded.default_account), *parts[len(_ROOT) :]])
    if value is None:
        click.echo(f"oc-trio: nothing is set at {path}; `oc-trio config show` lists what is", err=True)
        sys.exit(EX_FAILED)
    click.echo(value if isinstance(value, str) and not as_json else json.dumps(value, indent=2, ensure_ascii=False))


@click.command()
@config_option
def file(config_path: str | None) -> None:
    """Print the path of the configuration file that is read."""
    loaded = _load(config_path)
    click.echo(loaded.path or "none: the environment is enough")


def _load(config_path: str | None) -> "Loaded":
    from oc_trio.config.load import load
    from oc_trio.errors import ConfigError

    try:
        return load(config_path, os.environ, isolate=True)
    except ConfigError as error:
        click.echo(f"oc-trio: {error}", err=True)
        sys.exit(EX_CONFIG)


def _parts(path: str) -> list[str]:
    """A path's names and numbers, from dots and brackets alike."""
    return [re.sub(r"\\(.)", r"\1", next((part for part in groups if part), "")) for groups in _PART.findall(path)]


def _at(value: Any, parts: list[str]) -> Any:
    """What is there; None for nothing."""
    for part in parts:
        match value:
            case dict() if part in value:
                value = value[part]
            case list() if part.isdecimal() and int(part) < len(value):
                value = value[int(part)]
            case _:
                return None
    return value
