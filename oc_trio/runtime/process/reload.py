"""Reloads the configuration of a running gateway: reads it again and changes what differs, account by account.

An account whose plan is the same is not touched. A file with any problem changes nothing, and every problem is logged.
"""

from collections.abc import Awaitable, Callable, Mapping

import trio
from attrs import evolve, frozen

from oc_trio.config.fields import camel
from oc_trio.config.load import Loaded, load
from oc_trio.config.model import Config
from oc_trio.errors import ConfigError
from oc_trio.ids import AccountId
from oc_trio.runtime.policies import policies
from oc_trio.runtime.process.supervisor import AccountPlan, AccountSupervisor
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.log import get_logger

log = get_logger(part="reload")

Reread = Callable[[], Awaitable[Loaded]]

# Sections whose parts are opened once, at the start.
_AT_START = ("store", "logging", "metrics", "telemetry", "mcp", "skills")
_OF_PORT = ("port", "bind", "custom_bind_host", "trusted_proxies", "tls")


@frozen
class Changes:
    """Which accounts a new configuration starts, stops, runs anew and leaves alone."""

    start: tuple[AccountId, ...] = ()
    stop: tuple[AccountId, ...] = ()
    restart: tuple[AccountId, ...] = ()
    keep: tuple[AccountId, ...] = ()
    # The changed sections that only a new start puts into effect.
    at_next_start: tuple[str, ...] = ()


def plans(loaded: Loaded) -> dict[AccountId, AccountPlan]:
    """The plan of every account that can run."""
    config = loaded.config
    return {
        name: AccountPlan(account, policies(config, account), config.session.idle)
        for name, account in loaded.accounts.items()
    }


def changes(old: Mapping[AccountId, AccountPlan], new: Mapping[AccountId, AccountPlan]) -> Changes:
    """How to get from what runs to what is wanted."""
    both = sorted(old.keys() & new.keys())
    return Changes(
        start=tuple(sorted(new.keys() - old.keys())),
        stop=tuple(sorted(old.keys() - new.keys())),
        # Frozen values compare field by field; functions and open resources are no part of a plan.
        restart=tuple(name for name in both if old[name] != new[name]),
        keep=tuple(name for name in both if old[name] == new[name]),
    )


def needs_start(old: Config, new: Config, *, is_listening: bool = True) -> tuple[str, ...]:
    """The changed sections that only a new start puts into effect; those of the public port only if it was open."""
    differing = [name for name in _AT_START if getattr(old, name) != getattr(new, name)]
    listening = [
        f"gateway.{camel(name)}"
        for name in (*(_OF_PORT if is_listening else ()), "admin")
        if getattr(old.gateway, name) != getattr(new.gateway, name)
    ]
    return (*listening, *differing)


def rereader(loaded: Loaded, environ: Mapping[str, str]) -> Reread:
    """A function that reads the same file again, in a thread: password managers may be asked for secrets."""
    path = str(loaded.path) if loaded.path is not None else None

    def read() -> Loaded:
        return load(path, environ)

    async def reread() -> Loaded:
        # Abandoned on a stop: a password manager may be waiting for a person.
        return await trio.to_thread.run_sync(read, abandon_on_cancel=True)

    return reread


async def read_again(reread: Reread, check: Callable[[Loaded], None]) -> Loaded | ConfigError:
    """The new configuration, or why it can't be used: then every problem is logged.

    `check` raises ConfigError where it can't be put into effect; it must change nothing.
    """
    try:
        fresh = await reread()
        check(fresh)
    except ConfigError as refusal:
        for problem in refusal.problems:
            log.error("the configuration is not used", problem=str(problem))
        return refusal
    for warning in fresh.warnings:
        log.warning(str(warning))
    return fresh


async def apply_changes(
    supervisor: AccountSupervisor, health: Health, old: Loaded, fresh: Loaded, *, is_listening: bool = True
) -> Changes:
    """Start, stop and restart accounts as `fresh` wants it, each with its own drain."""
    wanted = plans(fresh)
    todo = changes(supervisor.plans, wanted)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervisor.stop, todo.stop)
        for name in todo.restart:
            nursery.start_soon(_restart, supervisor, wanted[name], fresh.config.gateway.drain)
        for name in todo.start:
            supervisor.start(wanted[name], drain_seconds=fresh.config.gateway.drain)
    for name in (*todo.stop, *(broken for broken in old.broken if broken not in wanted)):
        health.forget(name)
    todo = evolve(todo, at_next_start=needs_start(old.config, fresh.config, is_listening=is_listening))
    for section in todo.at_next_start:
        log.warning("a change takes effect at the next start only", section=section)
    log.info("reloaded", started=todo.start, stopped=todo.stop, restarted=todo.restart, kept=todo.keep)
    return todo


async def _restart(supervisor: AccountSupervisor, plan: AccountPlan, drain_seconds: float) -> None:
    await supervisor.stop((plan.id,))
    supervisor.start(plan, drain_seconds=drain_seconds)
