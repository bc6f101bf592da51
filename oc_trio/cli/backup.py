"""`oc-trio backup`: copies the journal consistently, also while a gateway writes to it."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from oc_trio.cli.journal import with_journal
from oc_trio.cli.options import config_option

if TYPE_CHECKING:
    from oc_trio.config.load import Loaded
    from oc_trio.store.store import Store


@click.command("backup")
@click.argument("target", type=click.Path(path_type=Path))
@config_option
def command(target: Path, config_path: str | None) -> None:
    """Copy the journal to the new file TARGET, readable by its owner only. PostgreSQL has pg_dump for this.

    Exit codes: 0 copied, 65 the journal is damaged or of a newer release, 75 it can't be read or TARGET can't be
    written, 78 the configuration is wrong.
    """

    async def copy(store: "Store", _loaded: "Loaded") -> None:
        await store.backup(target)

    with_journal(config_path, copy)
    click.echo(f"copied to {target}")
