"""Secrets that are given to a command: read from a file, checked, and kept in files that only their owner can read."""

import os
import stat
from pathlib import Path

from attrs import field

from oc_trio.classes import define
from oc_trio.cli.prompts import SetupFailed
from oc_trio.config.paths import expanded


def read_secret_file(path: Path) -> str:
    """The secret in a file, whoever may read that. Raises SetupFailed."""
    try:
        # Editors on Windows put a byte order mark before the text.
        text = expanded(path).read_text(encoding="utf-8-sig")
    except OSError as problem:
        raise SetupFailed(f"{path} can't be read: {problem.strerror}") from None
    except ValueError:
        raise SetupFailed(f"{path} is not a text file") from None
    return checked_secret(text, str(path))


def checked_secret(text: str, what: str) -> str:
    """The secret without blanks around it. Raises SetupFailed, which names `what` and quotes nothing of the secret."""
    from oc_trio.config.secrets import character_error

    secret = text.strip()
    if not secret:
        raise SetupFailed(f"{what} is empty")
    if error := character_error(secret):
        raise SetupFailed(f"{what} {error}")
    return secret


@define(eq=False)
class SecretFiles:
    """The secrets of a new configuration in `folder`; `to_write` has those that are in no file of their own yet."""

    folder: Path
    to_write: dict[Path, str] = field(init=False, factory=dict)

    def place(self, name: str, secret: str, given: Path | None) -> str:
        """What the configuration writes for the file of a secret: the given file where only its owner can read that and
        it is not a pipe or the like; else `name`, which is to be written unless it holds the secret already.
        """
        own = self.folder / name
        if given is not None and _is_kept_well(expanded(given)):
            path = Path.cwd() / expanded(given)
            return str(path.relative_to(self.folder)) if path.is_relative_to(self.folder) else str(path)
        # A file that holds the secret already is left alone, so that a repeated `init` has nothing to overwrite.
        if not (_is_kept_well(own) and _holds(own, secret)):
            self.to_write[own] = secret
        return name


def _is_kept_well(path: Path) -> bool:
    try:
        status = os.stat(path)
    except OSError:
        return False
    # No right for group and others, as the gateway demands of such a file when it starts.
    return stat.S_ISREG(status.st_mode) and not stat.S_IMODE(status.st_mode) & 0o077


def _holds(path: Path, secret: str) -> bool:
    try:
        return path.read_text(encoding="utf-8").strip() == secret
    except (OSError, ValueError):
        return False
