"""`oc-trio version`: the release, and what it runs on, as a bug report needs it."""

import json
import platform
import sqlite3
from importlib.metadata import PackageNotFoundError, version

import click

import oc_trio

# What decides how the gateway behaves, and what the extras bring.
_PACKAGES = ("trio", "trio-websocket", "httpx", "h11", "hypercorn", "quart-trio", "mcp", "pillow", "psycopg")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(*, as_json: bool) -> None:
    """Print the release, and the Python and packages that it runs on.

    JSON: {"version", "python", "platform", "sqlite", "journalSchema", "packages": {name: version or null}}.
    """
    from oc_trio.store.migrations import MIGRATIONS

    facts = {
        "version": oc_trio.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "sqlite": sqlite3.sqlite_version,
        "journalSchema": len(MIGRATIONS),
        "packages": {name: _version(name) for name in _PACKAGES},
    }
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo(f"oc-trio {facts['version']}, Python {facts['python']} on {facts['platform']}")
    click.echo(f"SQLite {facts['sqlite']}, journal schema {facts['journalSchema']}")
    click.echo(", ".join(f"{name} {_version(name) or 'not installed'}" for name in _PACKAGES))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
