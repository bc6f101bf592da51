"""Shared by commands that read the journal: it is opened beside a running gateway, never created or migrated."""

import json
import os
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from oc_trio.cli.exits import EX_CONFIG, EX_DATAERR, EX_FAILED, EX_TEMPFAIL, EX_UNAVAILABLE, first
from oc_trio.cli.options import config_option

if TYPE_CHECKING:
    from oc_trio.config.load import Loaded
    from oc_trio.ids import AccountId
    from oc_trio.store.store import Store

EXIT_CODES = (
    "Exit codes: 0 done, 1 nothing like that, 2 wrong usage, 65 the journal is damaged or of a newer release, 75 it "
    "can't be read, 78 configuration."
)

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def shared_options(function: F) -> F:
    """`--config`, `--account` and `--json`."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option("--account", metavar="ID", help="Only this account."),
        config_option,
    ):
        function = option(function)
    return function


def with_journal(
    config_path: str | None,
    work: Callable[["Store", "Loaded"], Awaitable[T]],
    *,
    connect: bool = False,
    create: bool = False,
    dry_run: bool = False,
) -> T:
    """What `work` returns, given the journal; a failure is one line on stderr and an exit code.

    Without `connect` neither tokens nor servers have to be configured. With `create` a journal that there is not yet is
    made, as before the first start of a gateway; one in memory stands for it with `dry_run`.
    """
    import trio

    from oc_trio.config.load import load
    from oc_trio.config.paths import service_state_hint
    from oc_trio.core.cron_jobs import JobRefused
    from oc_trio.errors import ConfigError, MattermostError, OcTrioError, StoreError, StoreUnusable
    from oc_trio.runtime.process.locations import journal_location
    from oc_trio.store.location import is_postgres
    from oc_trio.store.store import open_store

    async def main(loaded: "Loaded") -> T:
        location: str | sqlite3.Connection = journal_location(loaded, create=create and not dry_run)
        is_file = isinstance(location, str) and not is_postgres(location)
        is_absent = is_file and not os.path.lexists(str(location))  # noqa: ASYNC240 - nothing else runs yet
        if is_absent and not create and (hint := service_state_hint(os.environ)):
            raise StoreError(f"there is no journal at {location}{hint}")
        is_new = create and is_absent
        with ExitStack() as stack:
            if is_new and dry_run:
                memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
                location = stack.enter_context(closing(memory))
            # The lock is the running gateway's; only where there is no journal yet is there nobody to hold it.
            async with open_store(location, exclusive=is_new) as store:
                return await work(store, loaded)

    code = EX_TEMPFAIL
    try:
        return trio.run(main, load(config_path, os.environ, isolate=True, connect=connect))
    except* OcTrioError as group:
        problem = first(group)
        click.echo(f"oc-trio: {problem}", err=True)
        codes = {
            ConfigError: EX_CONFIG,
            JobRefused: EX_FAILED,
            MattermostError: EX_UNAVAILABLE,
            StoreUnusable: EX_DATAERR,
        }
        code = next((code for kind, code in codes.items() if isinstance(problem, kind)), EX_TEMPFAIL)
    # After the block: an exception raised within except* comes out in a group with Python 3.11.2.
    sys.exit(code)


def account_id(account: str | None) -> "AccountId | None":
    """The account's id as the journal has it, None for all."""
    from oc_trio.config.accounts import normalize_account_id

    return normalize_account_id(account) if account else None


def when(at: int) -> str:
    """Milliseconds since the epoch for people, in UTC; a dash for never."""
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M:%S}" if at else "-"


def now_ms() -> int:
    import time

    return time.time_ns() // 1_000_000


def print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Columns as wide as they need to be."""
    widths = [max(len(row[at]) for row in (heads, *rows)) for at in range(len(heads))]
    for row in (heads, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def fail(message: str) -> NoReturn:
    """One line on stderr, exit code 1."""
    click.echo(f"oc-trio: {message}", err=True)
    sys.exit(EX_FAILED)
