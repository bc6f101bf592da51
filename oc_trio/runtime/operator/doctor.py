"""`oc-trio doctor`: checks one by one what a start would need. Changes nothing."""

import os
import shutil
import stat
from collections.abc import AsyncGenerator
from pathlib import Path

import trio

from oc_trio.config.accounts import Account
from oc_trio.config.load import Loaded
from oc_trio.config.model import Config
from oc_trio.errors import ConfigError, MattermostError, StoreError
from oc_trio.runtime.account.outbound_client import dependencies_for, open_outbound_client
from oc_trio.runtime.conversation.pictures import INSTALL, pillow_version
from oc_trio.runtime.operator.command_check import CommandCheck
from oc_trio.runtime.operator.findings import Finding, Level
from oc_trio.runtime.operator.model_check import examine_provider
from oc_trio.runtime.process.start import JOURNAL, journal_location, state_problem
from oc_trio.store.sqlite import is_there
from oc_trio.store.store import open_store

_SECONDS = 10.0
# SQLite has a write-ahead log beside the journal, which grows to several MiB before a checkpoint.
_LOW_SPACE = 100 * 1_048_576
_NO_SPACE = 8 * 1_048_576


async def run_checks(loaded: Loaded, *, deep: bool = False) -> AsyncGenerator[Finding, None]:
    """Check configuration, state directory, journal, accounts and models, in that order; each finding comes at once.

    With `deep`, each model is asked one question.
    """
    for warning in loaded.warnings:
        yield Finding(Level.WARNING, "configuration", str(warning))
    for account, problems in loaded.broken.items():
        yield Finding(Level.FAILED, f"account {account}", "; ".join(map(str, problems)))
    yield Finding(Level.OK, "configuration", str(loaded.path or "from the environment"))
    unfit = state_problem(loaded)
    yield Finding(Level.FAILED, "state directory", unfit) if unfit else state_directory(loaded.state_dir)
    yield await _journal(loaded)
    command_check = CommandCheck(loaded)
    for account_id in sorted(loaded.accounts, key=loaded.listed_at):
        async for finding in _account(loaded, loaded.accounts[account_id], command_check):
            yield finding
    for name in loaded.config.models.providers:
        for finding in await examine_provider(loaded.config, name, deep=deep):
            yield finding
    for finding in pictures(loaded.config, pillow_version()):
        yield finding


def pictures(config: Config, pillow: str) -> list[Finding]:
    """Whether pictures can be scaled for the models that take them; `pillow` is its version, "" without it."""
    with_images = [
        f"{name}/{model.id}" for name, it in config.models.providers.items() for model in it.models if model.images
    ]
    if not with_images:
        return []
    if pillow:
        return [Finding(Level.OK, "pictures", f"are made fit for {', '.join(with_images)} by Pillow {pillow}")]
    text = (
        f"reach {', '.join(with_images)} as they were posted, for lack of Pillow: large ones may be refused, and "
        f"other kinds than PNG, JPEG, GIF and WebP are left out. {INSTALL}"
    )
    return [Finding(Level.WARNING, "pictures", text)]


def state_directory(path: Path) -> Finding:
    """Whether the journal can be kept there: writable, with space left, and closed to other users of the machine."""
    subject = "state directory"
    try:
        mode, free = stat.S_IMODE(path.stat().st_mode), shutil.disk_usage(path).free
    except FileNotFoundError:
        return Finding(Level.OK, subject, f"{path} will be made at the first start")
    except OSError as problem:
        return Finding(Level.FAILED, subject, f"{path} can't be looked at: {problem.strerror}")
    if not os.access(path, os.W_OK | os.X_OK):
        return Finding(Level.FAILED, subject, f"{path} can't be written by this user")
    level = space_level(free)
    if level is not Level.OK:
        return Finding(level, subject, f"{path} has {free / 1_048_576:.0f} MiB left: make room on its disk")
    if mode & 0o077:
        return Finding(Level.WARNING, subject, f"{path} is open to other users ({mode:o}): chmod 700 {path}")
    return Finding(Level.OK, subject, str(path))


def space_level(free: int) -> Level:
    """How serious it is that so many bytes are left on the disk."""
    if free < _NO_SPACE:
        return Level.FAILED
    return Level.WARNING if free < _LOW_SPACE else Level.OK


async def _journal(loaded: Loaded) -> Finding:
    try:
        if not loaded.config.store.url and not is_there(loaded.state_dir / JOURNAL):
            return Finding(Level.OK, "journal", "will be made at the first start")
        async with open_store(journal_location(loaded, create=False), exclusive=False) as store:
            damage = await store.integrity_check()
            stats = await store.stats()
    except (StoreError, ConfigError) as problem:
        return Finding(Level.FAILED, "journal", str(problem))
    if damage:
        return Finding(Level.FAILED, "journal", f"is damaged, restore a copy: {'; '.join(damage[:3])}")
    counts = f"{stats.open_obligations} answers owed, {stats.outbox_dead} posts refused by the server"
    return Finding(Level.OK, "journal", f"{stats.database}, {stats.size / 1_048_576:.1f} MiB, {counts}")


async def _account(loaded: Loaded, account: Account, command_check: CommandCheck) -> AsyncGenerator[Finding, None]:
    subject = f"account {account.id}"
    dependencies = await dependencies_for(account)
    try:
        with trio.fail_after(_SECONDS):
            async with open_outbound_client(loaded, account, dependencies) as outbound:
                facts = outbound.user, await outbound.api.teams.mine(), await outbound.api.channels.mine()
                skipped = await command_check.check(outbound.api, account, facts[0].id, facts[1])
    except MattermostError as problem:
        yield Finding(Level.FAILED, subject, f"{account.base_url}: {problem}")
        return
    except trio.TooSlowError:
        yield Finding(Level.FAILED, subject, f"{account.base_url} does not answer within {_SECONDS:g} s")
        return
    user, teams, channels = facts
    places = f"{_count(len(teams), 'team')} and {_count(len(channels), 'channel')}"
    text = f"@{user.username} at {account.base_url}, in {places}"
    yield Finding(Level.OK, subject, text)
    if not user.is_bot:
        yield Finding(Level.WARNING, subject, "the token is a person's, not a bot account's")
    for sentence in skipped:
        yield Finding(Level.WARNING, f"slash commands of {account.id}", sentence)
    if not teams:
        yield Finding(Level.WARNING, subject, "the bot is in no team, so nobody can reach it: add it to one")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
