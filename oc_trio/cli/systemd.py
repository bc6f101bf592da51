"""`oc-trio systemd`: prints or installs a unit file for this installation and its configuration."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from oc_trio.cli.exits import EX_CONFIG, EX_NOPERM, EX_TEMPFAIL, EX_UNAVAILABLE
from oc_trio.cli.new_files import NewFile, write_new_files
from oc_trio.cli.options import config_option

if TYPE_CHECKING:
    from oc_trio.config.load import Loaded
    from oc_trio.config.service_files import Credential

# Added to the drain: writing marks on interrupted drafts (10 s), closing, and a reserve.
STOP_MARGIN_SECONDS = 25
CREDENTIALS = "/etc/oc-trio"
UNITS = "/etc/systemd/system"
NAME = "oc-trio.service"

_MADE_BY = "# Made by: oc-trio systemd print\n"
_UNIT = """\
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
# Waits for what comes of it, and fails where the configuration has a mistake: then nothing is changed.
ExecReload={reload}
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
ProtectProc=invisible
PrivateDevices=yes
PrivateMounts=yes
PrivateTmp=yes
PrivateUsers=yes
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
# A program that an agent or a tool starts sees a refusal, and is not killed for it.
SystemCallErrorNumber=EPERM
"""


@click.group(name="systemd")
def command() -> None:
    """Run under systemd."""


@command.command(name="print")
@config_option
@click.option("--program", metavar="PATH", help="The oc-trio that the service runs; default: this one.")
@click.option("--user", is_flag=True, help="A unit for the user's own manager, without hardening.")
def print_(config_path: str | None, program: str | None, *, user: bool) -> None:
    """Print a unit for the configuration that `oc-trio run` would read. Exit code 78: it is wrong.

    Secrets that the configuration refers to are passed in by LoadCredential: files from where they are, variables and
    tokens that it doesn't name from files in /etc/oc-trio. What the service could not read is named on standard error.
    """
    loaded, words = _load(config_path), (program,) if program else own_command()
    _refuse_line_breaks(loaded, words)
    if not user:
        for warning in _hidden(loaded, words):
            click.echo(f"oc-trio: {warning}", err=True)
    click.echo(_unit_for(loaded, words, user=user), nl=False)


@command.command()
@config_option
@click.option("--program", metavar="PATH", help="The oc-trio that the service runs; default: this one.")
@click.option("--now", is_flag=True, help="Enable and start it.")
@click.option("--units", default=UNITS, metavar="DIR", show_default=True, help="Where unit files are.")
@click.option("--credentials", "folder", default=CREDENTIALS, metavar="DIR", hidden=True)
def install(config_path: str | None, program: str | None, units: str, folder: str, *, now: bool) -> None:
    """Install the unit, and the secrets of this shell's environment that it needs as files in /etc/oc-trio. For root.

    Exit codes: 69 with --now where systemd does not run; 75 where a unit of that name is not of this command; 77
    without the right to write there; 78 where the configuration is wrong, or the service could not read what it names.
    Of the last three nothing is written.
    """
    from oc_trio.config.paths import SERVICE_STATE
    from oc_trio.config.service_files import credentials

    loaded, words = _load(config_path), (program,) if program else own_command()
    if hidden := _hidden(loaded, words):
        click.echo("\n".join(f"oc-trio: {warning}" for warning in hidden), err=True)
        sys.exit(EX_CONFIG)
    _refuse_line_breaks(loaded, words)
    try:
        _keep_foreign(Path(units) / NAME)
        needed = [(each, Path(each.path or f"{folder}/{each.name}")) for each in credentials(loaded)]
        given = {path: value for each, path in needed if not path.exists() and (value := _from_environment(each))}
        absent = [(each, path) for each, path in needed if path not in given and not path.exists()]
        if missing := [(each, path) for each, path in absent if not each.is_optional]:
            for each, path in missing:
                click.echo(f"oc-trio: {each.key}: {path} is missing; write the secret into it (chmod 600)", err=True)
            sys.exit(EX_CONFIG)
        Path(folder).mkdir(mode=0o755, parents=True, exist_ok=True)
        files = [NewFile(path, f"{value}\n", 0o600) for path, value in given.items()]
        unit_file = NewFile(Path(units) / NAME, _unit_for(loaded, words, folder=folder), 0o644)
        write_new_files([*files, unit_file], overwrite=True)
    except OSError as problem:
        click.echo(f"oc-trio: {problem.filename}: {os.strerror(problem.errno or 0)}; run it as root", err=True)
        sys.exit(EX_NOPERM)
    for path in given:
        click.echo(f"{path}: written, from the environment")
    click.echo(f"{Path(units) / NAME}: written")
    if not _systemctl("daemon-reload"):
        following = "systemctl daemon-reload; systemctl enable --now oc-trio"
        click.echo(f"oc-trio: systemd does not run here, so nothing is started; where it does: {following}", err=True)
        sys.exit(EX_UNAVAILABLE if now else 0)
    if now:
        _systemctl("enable", "--now", NAME)
        click.echo(f"Started. How it does: systemctl status oc-trio; STATE_DIRECTORY={SERVICE_STATE} oc-trio status")
    else:
        click.echo("Next: systemctl enable --now oc-trio")


def own_command() -> tuple[str, ...]:
    """The command line of this program: the script beside the interpreter, or the interpreter with `-m`."""
    script = Path(sys.executable).with_name("oc-trio")
    path = str(script) if script.is_file() else shutil.which("oc-trio")
    return (path,) if path else (sys.executable, "-m", "oc_trio")


def unit(
    program: Sequence[str],
    config: Path,
    drain: float,
    credentials: "Sequence[Credential]",
    *,
    user: bool = False,
    folder: str = CREDENTIALS,
) -> str:
    """The unit file. `credentials` are secrets that systemd passes in, `drain` is in seconds."""
    options = ["--config", str(config)]
    at_home = any(str(part).startswith(("/home/", "/root/")) for part in (config, *program))
    folder = "%h/.config/oc-trio" if user else folder
    # A user's own service reads the files itself, where the configuration says that they are.
    passed = [each for each in credentials if not (user and each.path)]
    return _MADE_BY + _UNIT.format(
        command=" ".join(map(_quoted, [*program, "run", *options])),
        reload=" ".join(map(_quoted, [*program, "reload", *options])),
        drain=f"{drain:g}",
        stop=int(drain) + STOP_MARGIN_SECONDS,
        credentials="".join(
            f"# {_one_line(each.key)}\nLoadCredential={each.name}:"
            f"{_escaped(each.path or f'{folder}/{each.name}', user=user)}\n"
            for each in passed
        ),
        hardening="" if user else _HARDENING.format(home="read-only" if at_home else "yes"),
        target="default.target" if user else "multi-user.target",
    )


def _load(config_path: str | None) -> "Loaded":
    from oc_trio.config.load import load
    from oc_trio.errors import ConfigError

    try:
        loaded = load(config_path, os.environ, isolate=True, connect=False)
        if loaded.path is not None and loaded.path != loaded.path.resolve():
            # The names of credentials come from the paths that the service will see.
            loaded = load(str(loaded.path.resolve()), os.environ, isolate=True, connect=False)
    except ConfigError as wrong:
        click.echo(f"oc-trio: {wrong}", err=True)
        sys.exit(EX_CONFIG)
    return loaded


def _unit_for(loaded: "Loaded", program: Sequence[str], *, user: bool = False, folder: str = CREDENTIALS) -> str:
    from oc_trio.config.service_files import credentials

    path = loaded.path or Path(CREDENTIALS) / "config.toml"
    drain = loaded.config.gateway.drain
    at = Path.home() / ".config" / "oc-trio" if user else Path(folder)
    passed = [each for each in credentials(loaded) if not each.is_optional or (at / each.name).exists()]
    return unit(program, path, drain, passed, user=user, folder=folder)


def _refuse_line_breaks(loaded: "Loaded", program: Sequence[str]) -> None:
    """Ends the command where a path would break a line of the unit: what follows would be a setting."""
    from oc_trio.config.service_files import credentials

    named = (*program, str(loaded.path or ""), *(each.path for each in credentials(loaded)))
    if broken := [path for path in named if not _is_one_line(path)]:
        for path in broken:
            click.echo(f"oc-trio: {_one_line(path)}: a unit can't name a path with a line break in it", err=True)
        sys.exit(EX_CONFIG)


def _hidden(loaded: "Loaded", words: Sequence[str]) -> list[str]:
    """What the service's user could not read, or not see behind the hardening, with what to do."""
    from oc_trio.config.service_files import HOMES, TEMPORARY, ServicePath, is_below, paths, unreadable

    hidden: list[str] = []
    programs = [ServicePath("the program", Path(words[0]).absolute())]
    if tuple(words) == own_command():
        # A virtual environment's interpreter is a link to where Python itself is.
        programs.append(ServicePath("the program", Path(sys.executable).resolve()))
    at_home = any(is_below(each.path, HOMES) for each in (*programs[:1], *paths(loaded)[:1]))
    for each in (*programs, *paths(loaded)):
        if is_below(each.path, TEMPORARY):
            hidden.append(f"{each.key}: {each.path} is hidden from the service (PrivateTmp); keep it elsewhere")
        elif not at_home and is_below(each.path, HOMES):
            hidden.append(f"{each.key}: {each.path} is hidden from the service (ProtectHome); move it to {CREDENTIALS}")
        elif (part := unreadable(each.path)) is not None:
            rights = "go+rx" if part.is_dir() else "go+r"
            advice = f"chmod {rights} {part}" if not is_below(part, HOMES) else f"move it to {CREDENTIALS} or /opt"
            hidden.append(f"{each.key}: the service's user can't read {part}; {advice}")
    return list(dict.fromkeys(hidden))


def _from_environment(credential: "Credential") -> str:
    variable = "MATTERMOST_BOT_TOKEN" if credential.name == "bot-token" else credential.name
    return "" if credential.path else os.environ.get(variable, "").strip()


def _keep_foreign(path: Path) -> None:
    """Ends the command where `path` is a unit of somebody else's, or a link: so systemd masks and aliases units."""
    if path.is_symlink():
        problem = f"is a link to {path.readlink()}"
    elif path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(_MADE_BY):
        problem = "was not made by oc-trio systemd"
    else:
        return
    click.echo(f"oc-trio: {path} {problem}; move it away first. Own settings go into {path}.d/*.conf", err=True)
    sys.exit(EX_TEMPFAIL)


def _systemctl(*words: str) -> bool:
    """Whether systemd runs here. Where it refuses, the command ends with systemctl's exit code."""
    program = shutil.which("systemctl")
    if program is None or not Path("/run/systemd/system").is_dir():
        return False
    done = subprocess.run([program, *words], check=False)  # noqa: S603 - the operator asked for it
    if done.returncode != 0:
        sys.exit(done.returncode)
    return True


def _is_one_line(text: str) -> bool:
    # A backslash at a line's end joins it with the next one.
    return text.isprintable() and not text.endswith("\\")


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _escaped(path: str, *, user: bool) -> str:
    """A path in a setting: % begins a specifier, except for that of the user's home."""
    return path if user and path.startswith("%h") else path.replace("%", "%%")


def _quoted(word: str) -> str:
    """A word of ExecStart: % begins a specifier and $ a variable there, and a backslash escapes also within quotes."""
    plain = word.replace("\\", "\\\\").replace("'", "\\x27")
    return shlex.quote(plain.replace("%", "%%").replace("$", "$$"))
