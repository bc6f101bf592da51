"""Where the gateway of a configuration keeps its journal and listens for commands of this machine.

Commands ask this for every gateway they speak to, so it imports nothing of what a gateway is made of.
"""

from pathlib import Path

from oc_trio.config.load import Loaded
from oc_trio.errors import ConfigError, Problem, StoreError
from oc_trio.store.state_files import state_dir_problem

SOCKET = "admin.sock"
JOURNAL = "journal.sqlite3"
# Everything that is kept in the state directory under a fixed name.
_OWN_FILES = (JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm", f"{JOURNAL}.lock", SOCKET)


def admin_socket(loaded: Loaded) -> Path:
    """Where the gateway of this configuration listens for commands of this machine."""
    named = loaded.config.gateway.admin.socket
    return Path(named).expanduser() if named else loaded.state_dir / SOCKET


def journal_location(loaded: Loaded, *, create: bool = True) -> str:
    """The PostgreSQL URL, or the SQLite file in the state directory, which is made if need be.

    Raises StoreError, and ConfigError where other users could change what is in the state directory.
    """
    problem_text = state_problem(loaded)
    if problem_text:
        raise ConfigError(Problem("state directory", problem_text))
    if loaded.config.store.url:
        return loaded.config.store.url.reveal()
    if create:
        try:
            loaded.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as problem:
            raise StoreError(f"the state directory {loaded.state_dir} can't be made: {problem.strerror}") from problem
    return str(loaded.state_dir / JOURNAL)


def state_problem(loaded: Loaded) -> str:
    """Why the state directory must not be used as it is; empty when it is fit."""
    return state_dir_problem(loaded.state_dir, _OWN_FILES)
