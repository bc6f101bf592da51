"""A PostgreSQL cluster of its own for tests and benchmarks: in a temporary directory, on a unix socket only."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest
from attrs import frozen

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

    def url(self, schema: str = "public") -> str:
        return f"postgresql:///postgres?host={self.directory}&user=oc&options=-csearch_path%3D{schema}"

    def new_schema(self) -> str:
        """Make an empty schema and return its URL."""
        name = "t" + secrets.token_hex(6)
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}".encode())
        return self.url(name)

    def _control(self, *arguments: str) -> None:
        command = [*self._run, self._pg_ctl, "-D", str(self.directory / "data"), "-w", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.directory)

    def start(self, *settings: str) -> None:
        options = " ".join(f"-c {item}" for item in (f"unix_socket_directories={self.directory}", *settings))
        log = str(self.directory / "log")
        self._control("-l", log, "-o", f"-c listen_addresses= -c max_connections=20 {options}", "start")

    def stop(self) -> None:
        self._control("-m", "immediate", "stop")


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
    # A short path: a unix socket's has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ocpg", dir="/tmp", ignore_cleanup_errors=True) as name:
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
