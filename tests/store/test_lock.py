import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from oc_trio.errors import StoreError
from oc_trio.store.lock import file_lock

HOLDER = """
import sys
from pathlib import Path
from oc_trio.store.lock import file_lock
with file_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_is_told_who_was_first(tmp_path: Path) -> None:
    """The message names the process and the directory, and a free lock is taken again."""
    path = tmp_path / "state" / "lock"
    refused = pytest.raises(StoreError, match=f"process {os.getpid()}.*{tmp_path}/state")
    with file_lock(path), refused, file_lock(path):
        pytest.fail("locked twice")
    with file_lock(path):
        pass


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    """SIGKILL releases it: nobody has to remove a file by hand."""
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StoreError, match=f"process {holder.pid}"), file_lock(path):
            pytest.fail("locked twice")
        holder.kill()
        holder.wait()

        with file_lock(path):
            assert path.read_text().strip() == str(os.getpid())


def test_a_lock_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    """A path below a file is refused with its name."""
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match="file/lock"), file_lock(tmp_path / "file" / "lock"):
        pytest.fail("locked below a file")


def test_a_full_disk_holds_no_lock_up(tmp_path: Path) -> None:
    """The pid can't be written then; the journal says what is the matter, and what to do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with (
            file_lock(tmp_path / "lock"),
            pytest.raises(StoreError, match="another process"),
            file_lock(tmp_path / "lock"),
        ):
            pytest.fail("locked twice")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
