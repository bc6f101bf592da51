"""A PostgreSQL cluster of its own for tests and benchmarks: in a temporary directory, on a unix socket only."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import psycopg
import pytest
import trio
from attrs import field, frozen

from oc_trio.store.store import open_store

USERS = ("postgres", "nobody")  # PostgreSQL refuses to run as root


def binaries() -> Path | None:
    """The directory with initdb and pg_ctl, None when PostgreSQL's server isn't installed."""
    on_path = shutil.which("pg_ctl")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[4]))
    if on_path and (Path(on_path).resolve().parent / "initdb").exists():
        return Path(on_path).resolve().parent
    return found[-1].parent if found else None


def do_without(environment: Mapping[str, str]) -> NoReturn:
    """Skip on a developer's machine; fail in CI, where a skip would hide half of the store."""
    if environment.get("CI") == "true":
        pytest.fail("PostgreSQL's server binaries (initdb, pg_ctl) are missing, and CI=true doesn't skip them")
    pytest.skip("PostgreSQL's server binaries (initdb, pg_ctl) are not installed")


@frozen
class Cluster:
    """A running cluster; `url(schema)` is what the gateway would be configured with."""

    directory: Path
    _run: Sequence[str]
    _pg_ctl: str
    # Journals without rows: the URL, and of what the schema consists.
    _unused: list[tuple[str, tuple[Any, ...] | None]] = field(factory=list, init=False)

    def url(self, schema: str = "public") -> str:
        return f"postgresql:///postgres?host={self.directory}&user=oc&options=-csearch_path%3D{schema}"

    def new_schema(self) -> str:
        """Make an empty schema and return its URL."""
        name = "t" + secrets.token_hex(6)
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}".encode())
        return self.url(name)

    @contextmanager
    def journal(self) -> Iterator[str]:
        """The URL of a journal without rows, in a schema that other tests may have used.

        Making the files of all tables, and removing them at the end, takes several times as long as most tests.
        """
        if not self._unused:
            url = self.new_schema()
            trio.run(_migrate, url)
            self._unused.append((url, _shape(url, emptied=False)))
        url, shape = self._unused.pop()
        yield url
        with suppress(psycopg.Error):  # what is still locked is not used again
            if _shape(url, emptied=True) == shape:
                self._unused.append((url, shape))

    def _control(self, *arguments: str) -> None:
        command = [*self._run, self._pg_ctl, "-D", str(self.directory / "data"), "-w", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.directory)

    def start(self, *settings: str) -> None:
        options = " ".join(f"-c {item}" for item in (f"unix_socket_directories={self.directory}", *settings))
        log = str(self.directory / "log")
        self._control("-l", log, "-o", f"-c listen_addresses= -c max_connections=20 {options}", "start")

    def stop(self) -> None:
        self._control("-m", "immediate", "stop")


# What a schema consists of, and how far it is migrated.
_SHAPE = """
SELECT array_agg(format('%s.%s %s %s', relation.relname, part.attname, part.atttypid, part.attnotnull) ORDER BY 1),
  (SELECT array_agg(version ORDER BY version) FROM schema_version)
FROM pg_class relation JOIN pg_attribute part ON part.attrelid = relation.oid
WHERE relation.relnamespace = current_schema()::regnamespace AND part.attnum > 0
"""
# Foreign keys are not looked at: all of their tables are emptied.
_EMPTY = """
SET session_replication_role = replica;
SET lock_timeout = 1000;
DO $$ DECLARE found record; BEGIN
  FOR found IN SELECT relname, relkind FROM pg_class WHERE relnamespace = current_schema()::regnamespace LOOP
    IF found.relkind = 'S' THEN
      PERFORM setval(found.relname::regclass, 1, false);
    ELSIF found.relkind = 'r' AND found.relname NOT IN ('schema_version', 'schema_compatibility') THEN
      EXECUTE format('DELETE FROM %I', found.relname);
    END IF;
  END LOOP;
END $$;
"""


async def _migrate(url: str) -> None:
    async with open_store(url):
        pass


def _shape(url: str, *, emptied: bool) -> tuple[Any, ...] | None:
    with psycopg.connect(url, autocommit=True) as connection:
        if emptied:
            connection.execute(_EMPTY)
        return connection.execute(_SHAPE).fetchone()


def as_server_user(directory: Path) -> list[str]:
    if os.geteuid() != 0:
        return []
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = next(names[name] for name in USERS if name in names)
    os.chown(directory, user.pw_uid, user.pw_gid)
    return ["runuser", "-u", user.pw_name, "--"]


@contextmanager
def open_cluster(programs: Path, *settings: str) -> Iterator[Cluster]:
    """Make, start and at the end remove a cluster. `settings` are `name=value` of postgresql.conf."""
    # A short path: a unix socket's has at most 107 bytes. Tests have theirs in memory where there is room.
    root = os.environ.get("PYTEST_DEBUG_TEMPROOT", "/tmp")
    with tempfile.TemporaryDirectory(prefix="ocpg", dir=root, ignore_cleanup_errors=True) as name:
        directory = Path(name)
        run = as_server_user(directory)
        data = str(directory / "data")
        initdb = [*run, str(programs / "initdb"), "-D", data, "-U", "oc", "-A", "trust", "-N", "-E", "UTF8"]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd=directory)
        cluster = Cluster(directory, run, str(programs / "pg_ctl"))
        cluster.start(*settings)
        try:
            yield cluster
        finally:
            cluster.stop()
