"""Reloads the configuration of a running gateway: reads it again and changes what differs, account by account.

A file with any problem changes nothing, and every problem is logged. Which accounts are touched follows from their
plans: `runtime.process.placement`.
"""

from collections.abc import Awaitable, Callable, Mapping

import trio
from attrs import evolve, field

from oc_trio.classes import define
from oc_trio.config.fields import camel
from oc_trio.config.load import Loaded, load
from oc_trio.config.model import Config
from oc_trio.config.show import changed_keys
from oc_trio.errors import CallbackListenFailed, ConfigError, OcTrioError
from oc_trio.runtime.agents import AgentTable
from oc_trio.runtime.handlers.command_shares import native_order
from oc_trio.runtime.handlers.public_port import PublicPort
from oc_trio.runtime.process.placement import Changes, Placement, changes, plans
from oc_trio.runtime.schedule.job_table import JobTable
from oc_trio.telemetry.account_status import ListenerStatus
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.log import get_logger

log = get_logger(part="reload")

Reread = Callable[[], Awaitable[Loaded]]

# Sections whose parts are opened once, at the start.
_AT_START = ("store", "logging", "metrics", "telemetry", "mcp", "skills")
_OF_PORT = ("port", "bind", "custom_bind_host", "trusted_proxies", "tls")


@define(eq=False)
class Reloader:
    """Puts a changed configuration into effect in a gateway that serves, one reload at a time.

    `loaded` gives the configuration in effect, `take` replaces it, `reread` reads it again. `build_agents` raises
    ConfigError for agents that can't be built; `agents` is the table that serves all accounts.
    """

    loaded: Callable[[], Loaded]
    take: Callable[[Loaded], None]
    reread: Reread
    build_agents: Callable[[Loaded], AgentTable]
    agents: AgentTable
    placement: Placement
    health: Health
    port: PublicPort
    open_port: Callable[[], Awaitable[None]]
    jobs: JobTable
    _lock: trio.Lock = field(init=False, factory=trio.Lock)

    async def reload(self) -> Changes | None:
        """Read the configuration again and change what differs; None where it can't be used and nothing changed.

        What came of it is in `health.reload`, too. Raises OcTrioError where something else fails.
        """
        # An operator here and a notice of another process may want it at the same time.
        async with self._lock:
            self.health.reload_begins()
            try:
                return await self._reload()
            except OcTrioError as problem:
                self.health.reload_ended(problems=(str(problem),))
                raise

    async def _reload(self) -> Changes | None:
        tables: list[AgentTable] = []

        def check(fresh: Loaded) -> None:
            tables.append(self.build_agents(fresh))

        fresh = await read_again(self.reread, check)
        if isinstance(fresh, ConfigError):
            self.health.reload_ended(problems=tuple(map(str, fresh.problems)))
            return None
        old = self.loaded()
        self.take(fresh)
        self.agents.replace_with(tables[-1])
        self.health.models.keep(self.agents.models)
        is_listening = bool(self.port.url)
        self.port.reload(fresh)
        if self.port.is_wanted and not is_listening:
            try:
                await self.open_port()
            except CallbackListenFailed as problem:
                log.error("no public port: no click and no slash command comes in", problem=str(problem))
                self.health.listener = ListenerStatus(error=str(problem))
        # Before accounts are started: by this order they claim their commands.
        self.port.shares.reorder(native_order(fresh))
        self.jobs.changed()
        done = await apply_changes(self.placement, self.health, old, fresh, is_listening=is_listening)
        self.port.shares.review()
        self.health.reload_ended(
            warnings=tuple(map(str, fresh.warnings)),
            changed=changed_keys(old, fresh),
            started=done.start,
            stopped=done.stop,
            restarted=done.restart,
            kept=done.keep,
            at_next_start=done.at_next_start,
        )
        return done


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
