"""Finds the configuration file and the state directory."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from oc_trio.errors import ConfigError, Problem

FILE_NAME = "oc-trio.toml"
SYSTEM_CONFIG = Path("/etc/oc-trio/config.toml")
OPENCLAW_NAME = "openclaw.json"
# What systemd makes of the unit's `StateDirectory=oc-trio`.
SERVICE_STATE = Path("/var/lib/oc-trio")


def find_config(path: str | None, env: Mapping[str, str], cwd: Path) -> Path | None:
    """`--config`, `OC_TRIO_CONFIG`, `./oc-trio.toml`, then the user's file and the system's; None if there is none.

    Raises ConfigError if a file that was named does not exist: the next one in the list could be a different bot's.
    """
    explicit = path or env.get("OC_TRIO_CONFIG")
    if explicit:
        file = cwd / expanded(explicit)
        if wrong := _unusable(file):
            raise ConfigError(Problem(str(file), wrong))
        return file
    return next((candidate for candidate in default_paths(env, cwd) if is_file(candidate)), None)


def default_paths(env: Mapping[str, str], cwd: Path) -> tuple[Path, ...]:
    """Where a configuration is looked for if none is named, in this order."""
    return (cwd / FILE_NAME, config_home(env) / "oc-trio" / "config.toml", SYSTEM_CONFIG)


def no_config_problem(env: Mapping[str, str], cwd: Path) -> Problem:
    """The problem that there is no configuration: where it was looked for, and an openclaw.json that could be used."""
    searched = ", ".join(map(_looked_for, default_paths(env, cwd)))
    openclaw_path = env.get("OPENCLAW_CONFIG_PATH", "").strip()
    candidates = (
        *([Path(openclaw_path)] if openclaw_path else []),
        cwd / OPENCLAW_NAME,
        openclaw_home(env) / OPENCLAW_NAME,
    )
    openclaw_files = [str(file) for file in dict.fromkeys(candidates) if is_file(file)]
    hint = (
        f"to use OpenClaw's: --config {openclaw_files[0]}"
        if openclaw_files
        else "write one with oc-trio init, or name one with --config or OC_TRIO_CONFIG"
    )
    return Problem("configuration", f"no file was found; looked for {searched}", hint)


def expanded(path: str | Path) -> Path:
    """A path with the home directory in place of a leading `~`; as it is where there is no such user.

    `Path.expanduser` raises RuntimeError then.
    """
    return Path(os.path.expanduser(path))


def current_folder() -> Path:
    """The folder that this was started in. Raises ConfigError where somebody has deleted it since."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise ConfigError(Problem("the current folder", "is not there any more", "start this in another one")) from None


def is_file(path: str | Path) -> bool:
    """Whether there is a file, and this user may see that. `Path.is_file` raises PermissionError where it may not."""
    return os.path.isfile(path)


def is_folder(path: str | Path) -> bool:
    """As `is_file`, for a folder."""
    return os.path.isdir(path)


def openclaw_home(env: Mapping[str, str]) -> Path:
    """OpenClaw's own folder: `$OPENCLAW_STATE_DIR`, else `~/.openclaw`."""
    folder = env.get("OPENCLAW_STATE_DIR", "").strip()
    home = Path(env.get("OPENCLAW_HOME", "").strip() or _home(env))
    return expanded(folder) if folder else home / ".openclaw"


def config_home(env: Mapping[str, str]) -> Path:
    return Path(env.get("XDG_CONFIG_HOME") or _home(env) / ".config")


def state_dir(env: Mapping[str, str]) -> Path:
    """`$STATE_DIRECTORY` of systemd (its first), else `$XDG_STATE_HOME/oc-trio`, else `~/.local/state/oc-trio`."""
    # systemd joins several with colons.
    systemd_folder = env.get("STATE_DIRECTORY", "").split(":")[0]
    if systemd_folder:
        return Path(systemd_folder)
    return Path(env.get("XDG_STATE_HOME") or _home(env) / ".local" / "state") / "oc-trio"


def service_state_hint(env: Mapping[str, str]) -> str:
    """What to say after "there is nothing": that a service's state is elsewhere. Empty where this shell knows, or where
    no service has any.
    """
    # systemd's own link leads to where only root may look, and says enough.
    if env.get("STATE_DIRECTORY") or not os.path.lexists(SERVICE_STATE):
        return ""
    return f"; the service's state is in {SERVICE_STATE}: export STATE_DIRECTORY={SERVICE_STATE}"


def _unusable(file: Path) -> str:
    """What is wrong where there is no file that this user may see; "" if there is one."""
    try:
        mode = file.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "no such file"
    except OSError as error:
        return f"can't be read: {error.strerror}"
    return "" if stat.S_ISREG(mode) else "is not a file"


def _looked_for(file: Path) -> str:
    """The path of a file that was not found, and the reason where that is another than that it does not exist."""
    wrong = _unusable(file)
    return str(file) if wrong in ("", "no such file") else f"{file} ({wrong})"


def _home(env: Mapping[str, str]) -> Path:
    # `Path.home()` reads the process's environment, and callers have their own.
    return Path(env["HOME"]) if env.get("HOME") else Path.home()
