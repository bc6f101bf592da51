"""Which files and directories oc-trio uses where nothing is said: the configuration and the state."""

from collections.abc import Mapping
from pathlib import Path

from oc_trio.errors import ConfigError, Problem

FILE_NAME = "oc-trio.toml"
OPENCLAW_NAME = "openclaw.json"


def find_config(path: str | None, env: Mapping[str, str], cwd: Path) -> Path | None:
    """`--config`, `OC_TRIO_CONFIG`, `./oc-trio.toml`, then the user's and the system's; None when there is none.

    Raises ConfigError when a file that was named does not exist.
    """
    named = path or env.get("OC_TRIO_CONFIG")
    if named:
        found = cwd / Path(named).expanduser()
        if not found.is_file():
            raise ConfigError(Problem(str(found), "no such file" if not found.exists() else "is not a file"))
        return found
    return next((place for place in places(env, cwd) if place.is_file()), None)


def places(env: Mapping[str, str], cwd: Path) -> tuple[Path, ...]:
    """Where a configuration is looked for that nobody named, in this order."""
    return (cwd / FILE_NAME, config_home(env) / "oc-trio" / "config.toml", Path("/etc/oc-trio/config.toml"))


def nothing_found(env: Mapping[str, str], cwd: Path) -> Problem:
    """Says that there is no configuration: where it was looked for, and which openclaw.json there is instead."""
    looked = ", ".join(str(place) for place in places(env, cwd))
    named = env.get("OPENCLAW_CONFIG_PATH", "").strip()
    candidates = (*([Path(named)] if named else []), cwd / OPENCLAW_NAME, openclaw_home(env) / OPENCLAW_NAME)
    theirs = [str(file) for file in dict.fromkeys(candidates) if file.is_file()]
    hint = f"to use OpenClaw's: --config {theirs[0]}" if theirs else "name one with --config or OC_TRIO_CONFIG"
    return Problem("configuration", f"no file was found; looked for {looked}", hint)


def openclaw_home(env: Mapping[str, str]) -> Path:
    """OpenClaw's own folder: `$OPENCLAW_STATE_DIR`, else `~/.openclaw`."""
    given = env.get("OPENCLAW_STATE_DIR", "").strip()
    home = Path(env.get("OPENCLAW_HOME", "").strip() or _home(env))
    return Path(given).expanduser() if given else home / ".openclaw"


def config_home(env: Mapping[str, str]) -> Path:
    return Path(env.get("XDG_CONFIG_HOME") or _home(env) / ".config")


def state_dir(env: Mapping[str, str]) -> Path:
    """`$STATE_DIRECTORY` (the first of several), else `$XDG_STATE_HOME/oc-trio`, else `~/.local/state/oc-trio`."""
    given = env.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    return Path(env.get("XDG_STATE_HOME") or _home(env) / ".local" / "state") / "oc-trio"


def _home(env: Mapping[str, str]) -> Path:
    return Path(env["HOME"]) if env.get("HOME") else Path.home()
