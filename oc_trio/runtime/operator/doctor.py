"""`oc-trio doctor`: checks one by one what a start would need, and whether Mattermost and models do their part."""

import ssl
from collections.abc import AsyncGenerator, Iterator

import httpx
from attrs import evolve

from oc_trio.classes import frozen
from oc_trio.config.load import Loaded
from oc_trio.config.model import Config
from oc_trio.errors import ConfigError, OcTrioError
from oc_trio.runtime.account.outbound_client import dependencies_for
from oc_trio.runtime.agents import build_agents
from oc_trio.runtime.conversation.pictures import INSTALL, pillow_version
from oc_trio.runtime.operator.checks.account import AccountCheck
from oc_trio.runtime.operator.checks.host import check_unit
from oc_trio.runtime.operator.checks.state import check_journal, check_state
from oc_trio.runtime.operator.checks.way_back import check_way_back
from oc_trio.runtime.operator.checks.way_in import Progress
from oc_trio.runtime.operator.command_check import CommandCheck
from oc_trio.runtime.operator.findings import Finding, Level
from oc_trio.runtime.operator.model_check import examine_provider
from oc_trio.runtime.operator.repairs import repair_of

# Longer than the 60 s after which nginx, for one, ends a quiet connection.
HOLD_SECONDS = 90.0


@frozen(eq=False)
class Depth:
    """How far the checks go. `deep`: each model is asked one question, and each WebSocket held for `hold_seconds`;
    `progress` gets lines about what takes long. `fix`: repairs are made.
    """

    deep: bool = False
    hold_seconds: float = HOLD_SECONDS
    progress: Progress = lambda _: None
    fix: bool = False


async def run_checks(loaded: Loaded, depth: Depth) -> AsyncGenerator[Finding, None]:
    """The findings of all checks; with `depth.fix`, what can be mended safely is mended at once."""
    async for finding in _run_all(loaded, depth):
        yield await _mended(finding) if depth.fix and finding.repair is not None else finding


async def _mended(finding: Finding) -> Finding:
    assert finding.repair is not None, "asked for before"
    try:
        done = await finding.repair()
    except (OSError, OcTrioError) as problem:
        # One that fails is said with its finding; the checks go on.
        return evolve(finding, text=f"{finding.text} (could not be fixed: {problem})", repair=None)
    return Finding(Level.FIXED, finding.subject, f"{finding.text}: {done}", finding.code)


async def _run_all(loaded: Loaded, depth: Depth) -> AsyncGenerator[Finding, None]:
    """Configuration, state, journal with its jobs, unit, accounts, callbacks and models, in that order."""
    for finding in _configuration(loaded):
        yield finding
    for finding in check_state(loaded):
        yield finding
    for finding in await check_journal(loaded):
        yield finding
    unit = await check_unit(loaded.config.gateway.drain)
    if unit is not None:
        yield unit
    hold_seconds = depth.hold_seconds if depth.deep else 0.0
    # One for all accounts: of two that want a command in a team, it has to know that the first one has it.
    account_check = AccountCheck(loaded, CommandCheck(loaded), hold_seconds, depth.progress)
    for account_id in sorted(loaded.accounts, key=loaded.listed_at):
        account = loaded.accounts[account_id]
        for finding in await account_check.check(account, await dependencies_for(account)):
            yield finding
    async for finding in check_way_back(loaded, await dependencies_for(*loaded.accounts.values()), depth.progress):
        yield finding
    for finding in await _no_model(loaded):
        yield finding
    for name in loaded.config.models.providers:
        for finding in await examine_provider(loaded.config, name, deep=depth.deep):
            yield finding
    for finding in pictures(loaded.config, pillow_version()):
        yield finding


def config_errors(error: ConfigError) -> list[Finding]:
    """The findings where there is no configuration that anything else could be checked by."""
    return [
        Finding(Level.FAILED, "configuration", one.said, "config.error", one.hint or f"correct {one.path}")
        for one in error.problems
    ]


def _configuration(loaded: Loaded) -> Iterator[Finding]:
    for warning in loaded.warnings:
        repair = repair_of(warning.hint)
        yield Finding(Level.WARNING, "configuration", warning.said, "config.warning", warning.hint, repair)
    for account, problems in loaded.broken.items():
        for one in problems:
            fix = one.hint or f"correct {one.path}"
            repair = repair_of(str(one))
            yield Finding(Level.FAILED, f"account {account}", one.said, "config.account", fix, repair)
    # Even where an account is broken: the file itself could be read, and this names it.
    yield Finding(Level.OK, "configuration", str(loaded.path or "from the environment"), "config.ok")
    for name in loaded.switched_off:
        yield Finding(Level.OK, f"account {name}", "is switched off: enabled = false", "config.account_off")
    if not loaded.accounts:
        text = "no account is switched on"
        yield Finding(Level.FAILED, "accounts", text, "config.no_account", "set enabled = true for one")


async def _no_model(loaded: Loaded) -> list[Finding]:
    """What would keep a start from building its agents."""
    try:
        # Nothing is sent, so the system's certificates are not loaded.
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
