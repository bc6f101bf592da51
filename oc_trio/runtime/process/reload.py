"""Reloads the configuration of a running gateway: reads it again and changes what differs, account by account.

An account whose plan is the same is not touched. A file with any problem changes nothing, and every problem is logged.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import trio
from attrs import evolve, frozen

from oc_trio.config.accounts import normalize_account_id
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


class Placement(Protocol):
    """Decides which accounts run in this process: all of them, or those whose leases it holds."""

    @property
    def plans(self) -> Mapping[AccountId, AccountPlan]:
        """What this process may serve."""
        ...

    async def apply(self, todo: Changes, wanted: Mapping[AccountId, AccountPlan], drain_seconds: float) -> None:
        """From now on `wanted` is what it may serve; return when what had to stop for that has ended."""
        ...

    def drain(self) -> None:
        """The gateway stops: drain all accounts and start none any more."""
        ...


@frozen(eq=False)
class SoleProcess:
    """See `Placement`: the only process at its journal serves every account."""

    supervisor: AccountSupervisor

    @property
    def plans(self) -> Mapping[AccountId, AccountPlan]:
        return self.supervisor.plans

    async def apply(self, todo: Changes, wanted: Mapping[AccountId, AccountPlan], drain_seconds: float) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.supervisor.stop, todo.stop)
            for name in todo.restart:
                nursery.start_soon(self._restart, wanted[name], drain_seconds)
            for name in todo.start:
                self.supervisor.start(wanted[name], drain_seconds=drain_seconds)

    def drain(self) -> None:
        self.supervisor.drain()

    async def _restart(self, plan: AccountPlan, drain_seconds: float) -> None:
        await self.supervisor.stop((plan.id,))
        self.supervisor.start(plan, drain_seconds=drain_seconds)


def plans(loaded: Loaded) -> dict[AccountId, AccountPlan]:
    """The plan of every account that this process may serve."""
    config, pinned = loaded.config, {normalize_account_id(name) for name in loaded.config.gateway.accounts}
    return {
        name: AccountPlan(account, policies(config, account), config.session.idle)
        for name, account in loaded.accounts.items()
        if not pinned or name in pinned
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
    placement: Placement, health: Health, old: Loaded, fresh: Loaded, *, is_listening: bool = True
) -> Changes:
    """Start, stop and restart accounts as `fresh` wants it, each with its own drain."""
    wanted = plans(fresh)
    todo = changes(placement.plans, wanted)
    await placement.apply(todo, wanted, fresh.config.gateway.drain)
    for name in (*todo.stop, *(broken for broken in old.broken if broken not in wanted)):
        health.forget(name)
    todo = evolve(todo, at_next_start=needs_start(old.config, fresh.config, is_listening=is_listening))
    for section in todo.at_next_start:
        log.warning("a change takes effect at the next start only", section=section)
    log.info("reloaded", started=todo.start, stopped=todo.stop, restarted=todo.restart, kept=todo.keep)
    return todo
