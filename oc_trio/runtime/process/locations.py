"""Where the gateway of a configuration keeps its journal and listens for commands of this machine.

Commands ask this for every gateway they speak to, so it imports nothing of what a gateway is made of.
"""

from pathlib import Path

from attrs import evolve

from oc_trio.config.load import Loaded
from oc_trio.config.parse import Invalid
from oc_trio.config.paths import expanded
from oc_trio.config.secret_keys import read_late
from oc_trio.errors import ConfigError, Problem, StoreError
from oc_trio.store.location import is_postgres
from oc_trio.store.state_files import state_dir_problem

SOCKET = "admin.sock"
JOURNAL = "journal.sqlite3"
# Everything that is kept in the state directory under a fixed name.
_OWN_FILES = (JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm", f"{JOURNAL}.lock", SOCKET)


def admin_socket(loaded: Loaded) -> Path:
    """Where the gateway of this configuration listens for commands of this machine."""
    named = loaded.config.gateway.admin.socket
    return expanded(named) if named else loaded.state_dir / SOCKET


def journal_location(loaded: Loaded, *, create: bool = True) -> str:
    """The PostgreSQL URL, or the SQLite file in the state directory, which is made if need be.

    A URL to which the configuration refers is read here where it was loaded without its secrets: who opens the journal
    needs that one. Raises StoreError, and ConfigError where that can't be read, or where other users could change what
    is in the state directory.
    """
    problem_text = state_problem(loaded)
    if problem_text:
        raise ConfigError(Problem("state directory", problem_text))
    if url := _store_url(loaded):
        return url
    if create:
        try:
            loaded.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as problem:
            raise StoreError(f"the state directory {loaded.state_dir} can't be made: {problem.strerror}") from problem
    return str(loaded.state_dir / JOURNAL)


def _store_url(loaded: Loaded) -> str:
    """Empty where none is set. Raises ConfigError."""
    try:
        url = read_late(loaded.config.store.url, "store.url", loaded.environ, loaded.document.folder).reveal()
    except Invalid as error:
        raise ConfigError(evolve(error.problem, where=loaded.document.location("store.url"))) from None
    if url and not is_postgres(url):
        raise ConfigError(
            Problem("store.url", "must begin with postgresql://", where=loaded.document.location("store.url"))
        )
    return url


def state_problem(loaded: Loaded) -> str:
    """Why the state directory must not be used as it is; empty when it is fit."""
    return state_dir_problem(loaded.state_dir, _OWN_FILES)
