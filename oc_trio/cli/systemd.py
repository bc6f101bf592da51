"""`oc-trio systemd`: prints a unit file for this installation and its configuration."""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from oc_trio.cli.exits import EX_CONFIG

# Added to the drain: writing marks on interrupted drafts (10 s), closing, and a reserve.
STOP_MARGIN_SECONDS = 25
CREDENTIALS = "/etc/oc-trio"

_UNIT = """\
# Made by: oc-trio systemd print
[Unit]
Description=oc_trio, a gateway between Mattermost and AI agents
Wants=network-online.target
After=network-online.target
# The server may be away for long; it is asked again for as long as it takes.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=5
# 65: the journal can't be used, 77: the token is refused, 78: the configuration is wrong. None heals by itself.
RestartPreventExitStatus=65 77 78
# READY comes when an account is live; the watchdog is fed by progress, not by a timer.
TimeoutStartSec=180
WatchdogSec=60
# Answers may take drainSeconds ({drain} s) to end.
TimeoutStopSec={stop}
KillMode=mixed
StateDirectory=oc-trio
StateDirectoryMode=0700
UMask=0077
{credentials}{hardening}
[Install]
WantedBy={target}
"""

_HARDENING = """
DynamicUser=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome={home}
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
PrivateDevices=yes
PrivateTmp=yes
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
"""


@click.group(name="systemd")
def command() -> None:
    """Run under systemd."""


@command.command(name="print")
@click.option("--config", "config_path", metavar="PATH", help="Configuration file (or OC_TRIO_CONFIG).")
@click.option("--user", is_flag=True, help="A unit for the user's own manager, without hardening.")
def print_(config_path: str | None, *, user: bool) -> None:
    """Print a unit for the configuration that `oc-trio run` would read. Exit code 78: it is wrong.

    Tokens that the configuration doesn't name come from files in /etc/oc-trio, by LoadCredential.
    """
    from oc_trio.config.load import load
    from oc_trio.errors import ConfigError

    try:
        loaded = load(config_path, os.environ, isolate=True, connect=False)
    except ConfigError as error:
        click.echo(f"oc-trio: {error}", err=True)
        sys.exit(EX_CONFIG)
    token_keys = ("botToken", "botTokenFile")
    tokenless = [table.id for table in loaded.tables.values() if not any(table.merged.get(key) for key in token_keys)]
    path = loaded.path.resolve() if loaded.path else Path(CREDENTIALS) / "config.toml"
    click.echo(unit(own_command(), path, loaded.config.gateway.drain, tokenless or ["default"], user=user), nl=False)


def own_command() -> tuple[str, ...]:
    """The command line of this program: the script beside the interpreter, or the interpreter with `-m`."""
    script = Path(sys.executable).with_name("oc-trio")
    path = str(script) if script.is_file() else shutil.which("oc-trio")
    return (path,) if path else (sys.executable, "-m", "oc_trio")


def unit(program: Sequence[str], config: Path, drain: float, tokenless: Sequence[str], *, user: bool = False) -> str:
    """The unit file. `tokenless` are accounts whose token systemd passes in as a credential; `drain` is in seconds."""
    words = [*program, "run", "--config", str(config)]
    at_home = any(str(part).startswith(("/home/", "/root/")) for part in (config, *program))
    folder = "%h/.config/oc-trio" if user else CREDENTIALS
    names = ["bot-token" if account == "default" else f"bot-token.{account}" for account in tokenless]
    return _UNIT.format(
        command=" ".join(map(_quoted, words)),
        drain=f"{drain:g}",
        stop=int(drain) + STOP_MARGIN_SECONDS,
        credentials="".join(f"LoadCredential={name}:{folder}/{name}\n" for name in names),
        hardening="" if user else _HARDENING.format(home="read-only" if at_home else "yes"),
        target="default.target" if user else "multi-user.target",
    )


def _quoted(word: str) -> str:
    """A word of ExecStart: % begins a specifier and $ a variable there."""
    return shlex.quote(word.replace("%", "%%").replace("$", "$$"))
