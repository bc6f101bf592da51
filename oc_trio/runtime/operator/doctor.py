"""`oc-trio doctor`: checks one by one what a start would need, and whether Mattermost and models do their part."""

import os
import shutil
import ssl
import stat
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import httpx
from attrs import frozen

from oc_trio.config.load import Loaded
from oc_trio.config.model import Config
from oc_trio.errors import ConfigError, StoreError
from oc_trio.runtime.account.outbound_client import dependencies_for
from oc_trio.runtime.agents import build_agents
from oc_trio.runtime.conversation.pictures import INSTALL, pillow_version
from oc_trio.runtime.operator.checks.account import AccountCheck
from oc_trio.runtime.operator.checks.jobs import check_jobs
from oc_trio.runtime.operator.checks.way_back import check_way_back
from oc_trio.runtime.operator.checks.way_in import Progress
from oc_trio.runtime.operator.command_check import CommandCheck
from oc_trio.runtime.operator.findings import Finding, Level
from oc_trio.runtime.operator.model_check import examine_provider
from oc_trio.runtime.process.start import JOURNAL, journal_location, state_problem
from oc_trio.store.sqlite import is_there
from oc_trio.store.store import open_store

# Longer than the 60 s after which nginx, for one, ends a quiet connection.
HOLD_SECONDS = 90.0
# SQLite has a write-ahead log beside the journal, which grows to several MiB before a checkpoint.
_LOW_SPACE = 100 * 1_048_576
_NO_SPACE = 8 * 1_048_576


@frozen(eq=False)
class Depth:
    """How far the checks go. `deep`: each model is asked one question, and each WebSocket held for `hold_seconds`;
    `progress` gets lines about what takes long.
    """

    deep: bool = False
    hold_seconds: float = HOLD_SECONDS
    progress: Progress = lambda _: None


async def run_checks(loaded: Loaded, depth: Depth) -> AsyncGenerator[Finding, None]:
    """Check configuration, state, journal, accounts, callbacks and models, in that order; each part's come at once."""
    for finding in _configuration(loaded):
        yield finding
    unfit, _, fix = state_problem(loaded).rpartition(": ")
    if unfit:
        yield Finding(Level.FAILED, "state directory", unfit, "state.unfit", fix)
    else:
        yield state_directory(loaded.state_dir)
    for finding in await _journal(loaded):
        yield finding
    hold_seconds = depth.hold_seconds if depth.deep else 0.0
    account_check = AccountCheck(loaded, CommandCheck(loaded), hold_seconds, depth.progress)
    for account_id in sorted(loaded.accounts, key=loaded.listed_at):
        account = loaded.accounts[account_id]
        for finding in await account_check.check(account, await dependencies_for(account)):
            yield finding
    async for finding in check_way_back(loaded, await dependencies_for(*loaded.accounts.values())):
        yield finding
    for finding in await _no_model(loaded):
        yield finding
    for name in loaded.config.models.providers:
        for finding in await examine_provider(loaded.config, name, deep=depth.deep):
            yield finding
    for finding in pictures(loaded.config, pillow_version()):
        yield finding


def _configuration(loaded: Loaded) -> Iterator[Finding]:
    for warning in loaded.warnings:
        yield Finding(Level.WARNING, "configuration", warning.said, "config.warning", warning.hint)
    for account, problems in loaded.broken.items():
        for one in problems:
            fix = one.hint or f"correct {one.path}"
            yield Finding(Level.FAILED, f"account {account}", one.said, "config.account", fix)
    yield Finding(Level.OK, "configuration", str(loaded.path or "from the environment"), "config.ok")
    if not loaded.accounts:
        text = "no account is switched on"
        yield Finding(Level.FAILED, "accounts", text, "config.no_account", "set enabled = true for one")


async def _no_model(loaded: Loaded) -> list[Finding]:
    """What would keep a start from building its agents."""
    try:
        async with httpx.AsyncClient(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) as http:
            build_agents(loaded.config, http, personas=loaded.personas)
    except ConfigError as wrong:
        return [
            Finding(Level.FAILED, "models", one.said, "model.none", one.hint or f"set {one.path}")
            for one in wrong.problems
        ]
    return []


def pictures(config: Config, pillow: str) -> list[Finding]:
    """Whether pictures can be scaled for the models that take them; `pillow` is its version, "" without it."""
    with_images = [
        f"{name}/{model.id}" for name, it in config.models.providers.items() for model in it.models if model.images
    ]
    if not with_images:
        return []
    if pillow:
        text = f"are made fit for {', '.join(with_images)} by Pillow {pillow}"
        return [Finding(Level.OK, "pictures", text, "pictures.ok")]
    text = (
        f"reach {', '.join(with_images)} as they were posted, for lack of Pillow: large ones may be refused, and "
        "other kinds than PNG, JPEG, GIF and WebP are left out"
    )
    return [Finding(Level.WARNING, "pictures", text, "pictures.unscaled", INSTALL)]


def state_directory(path: Path) -> Finding:
    """Whether the journal can be kept there: writable, with space left, and closed to other users of the machine."""
    subject = "state directory"
    try:
        mode, free = stat.S_IMODE(path.stat().st_mode), shutil.disk_usage(path).free
    except FileNotFoundError:
        return Finding(Level.OK, subject, f"{path} will be made at the first start", "state.new")
    except OSError as problem:
        text, fix = f"{path} can't be looked at: {problem.strerror}", "run this as the gateway's user, or as root"
        return Finding(Level.FAILED, subject, text, "state.unreadable", fix)
    if not os.access(path, os.W_OK | os.X_OK):
        fix = f"run this as the gateway's user; else chown {path} to it"
        return Finding(Level.FAILED, subject, f"{path} can't be written by this user", "state.read_only", fix)
    level = space_level(free)
    if level is not Level.OK:
        code = "disk.full" if level is Level.FAILED else "disk.low"
        return Finding(level, subject, f"{path} has {free / 1_048_576:.0f} MiB left", code, "make room on its disk")
    if mode & 0o077:
        text = f"{path} is open to other users ({mode:o})"
        return Finding(Level.WARNING, subject, text, "state.open", f"chmod 700 {path}")
    return Finding(Level.OK, subject, str(path), "state.ok")


def space_level(free: int) -> Level:
    """How serious it is that so many bytes are left on the disk."""
    if free < _NO_SPACE:
        return Level.FAILED
    return Level.WARNING if free < _LOW_SPACE else Level.OK


async def _journal(loaded: Loaded) -> tuple[Finding, ...]:
    """How the journal is, and the scheduled jobs that are in it and in the file."""
    try:
        # Opening it would be an error, but before a first start there is nothing wrong.
        if not loaded.config.store.url and not is_there(loaded.state_dir / JOURNAL):
            new = Finding(Level.OK, "journal", "will be made at the first start", "journal.new")
            return (new, *await check_jobs(loaded, None))
        async with open_store(journal_location(loaded, create=False), exclusive=False) as store:
            damage = await store.integrity_check()
            stats = await store.stats()
            jobs = () if damage else await check_jobs(loaded, store)
    except (StoreError, ConfigError) as problem:
        fix = "see Troubleshooting, It doesn't start: what to do depends on what it says"
        return (Finding(Level.FAILED, "journal", str(problem), "journal.failed", fix),)
    if damage:
        fix = "stop the gateway and restore a backup"
        return (Finding(Level.FAILED, "journal", f"is damaged: {'; '.join(damage[:3])}", "journal.damaged", fix),)
    counts = f"{stats.open_obligations} answers owed, {stats.outbox_dead} posts refused by the server"
    text = f"{stats.database}, {stats.size / 1_048_576:.1f} MiB, {counts}"
    return (Finding(Level.OK, "journal", text, "journal.ok"), *jobs)
