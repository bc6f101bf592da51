"""A PgBouncer in transaction mode before a cluster: on a unix socket, with fewer server connections than clients."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.store.cluster import Cluster, as_server_user

SERVER_CONNECTIONS = 2
_CONFIGURATION = """
[databases]
* = host={cluster} user=oc
[pgbouncer]
unix_socket_dir = {directory}
listen_addr =
listen_port = 6432
auth_type = any
pool_mode = transaction
default_pool_size = {size}
server_check_delay = 0
server_login_retry = 1
"""


def program() -> str | None:
    return shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")


@contextmanager
def open_pooler(cluster: Cluster, size: int = SERVER_CONNECTIONS) -> Iterator[str]:
    """The URL of a new, empty database behind the pooler, which has `size` connections to the server."""
    path = program()
    assert path is not None
    with psycopg.connect(cluster.url(), autocommit=True) as connection:
        name = f"pooled{time.monotonic_ns()}"
        connection.execute(f"CREATE DATABASE {name}".encode())
    with tempfile.TemporaryDirectory(prefix="ocpb", dir="/tmp") as folder:
        directory = Path(folder)
        # By its own option: under runuser it would outlive a kill.
        user = as_server_user(directory)[2:3]
        file = directory / "pgbouncer.ini"
        file.write_text(_CONFIGURATION.format(cluster=cluster.directory, directory=directory, size=size))
        command = [path, "-q", *(["-u", *user] if user else []), str(file)]
        with subprocess.Popen(command, cwd=directory) as process:
            try:
                while not _accepts(directory / ".s.PGSQL.6432"):
                    assert process.poll() is None
                    time.sleep(0.005)
                yield f"postgresql:///{name}?host={directory}&port=6432&user=oc"
            finally:
                process.kill()


def _accepts(path: Path) -> bool:
    """Whether somebody listens at a socket: its file is there a moment before."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0
