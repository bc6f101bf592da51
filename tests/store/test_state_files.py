"""State directories that are not fit, and files that are made without following a link."""

import errno
import os
import stat
from pathlib import Path

import pytest

from oc_trio.errors import StoreError
from oc_trio.store.lock import file_lock
from oc_trio.store.state_files import make_file, new_file, state_dir_problem


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_a_folder_that_all_may_write(tmp_path: Path, mode: int) -> None:
    """It is refused, the sticky bit or not: whoever comes first may make what is not there yet."""
    tmp_path.chmod(mode)
    assert state_dir_problem(tmp_path, ["journal"]).endswith(f"({mode:o}): chmod 700 {tmp_path}")
    tmp_path.chmod(0o755)
    assert state_dir_problem(tmp_path, ["journal"]) == ""


def test_a_folder_that_all_may_replace(tmp_path: Path) -> None:
    """In a folder that all may write only the sticky bit keeps another user from putting a folder of theirs there."""
    state = tmp_path / "state"
    state.mkdir(0o700)
    tmp_path.chmod(0o777)
    assert state_dir_problem(state, []).endswith(f"({tmp_path} is 777): chmod o-w {tmp_path}")
    tmp_path.chmod(0o1777)
    assert state_dir_problem(state, []) == ""


def test_links_in_it(tmp_path: Path) -> None:
    """Each of our names that is a link is told, one that leads nowhere too; the folder itself may be one."""
    state = tmp_path / "state"
    state.mkdir(0o700)
    (tmp_path / "link").symlink_to(state)
    assert state_dir_problem(tmp_path / "link", ["a", "b", "c"]) == ""
    (state / "a").write_text("")
    (state / "b").symlink_to("a")
    (state / "c").symlink_to("nowhere")
    (state / "d").symlink_to("a")
    assert "(b, c)" in state_dir_problem(state, ["a", "b", "c"])
    assert state_dir_problem(tmp_path / "not there", ["a"]) == ""


def test_nothing_is_made_behind_a_link(tmp_path: Path) -> None:
    """Neither the journal nor its lock."""
    (tmp_path / "journal").symlink_to("elsewhere")
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        make_file(tmp_path / "journal")
    with pytest.raises(StoreError, match="can't make the lock file"), file_lock(tmp_path / "journal"):
        pytest.fail("locked what a link leads to")
    assert entries(tmp_path) == ["journal"]


def test_a_new_file(tmp_path: Path) -> None:
    """It takes its name when it is whole, and is its owner's alone."""
    with new_file(tmp_path / "copy") as draft:
        assert stat.S_IMODE(draft.stat().st_mode) == 0o600
        draft.write_text("whole")
        assert not (tmp_path / "copy").exists()
    assert (entries(tmp_path), (tmp_path / "copy").read_text()) == (["copy"], "whole")
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o600


def test_a_new_file_that_fails(tmp_path: Path) -> None:
    """A file that could not be written is removed again."""
    with pytest.raises(ValueError, match="no more"), new_file(tmp_path / "copy"):
        raise ValueError("no more")
    assert entries(tmp_path) == []


@pytest.mark.parametrize("late", [False, True])
def test_a_name_that_is_taken(tmp_path: Path, late: bool) -> None:
    """Whatever stands there stays, and is not followed; also when it came while the file was being filled."""
    target = tmp_path / "copy"
    if not late:
        target.symlink_to("victim")

    def fill() -> None:
        with new_file(target) as draft:
            draft.write_text("whole")
            target.symlink_to("victim")

    with pytest.raises(StoreError, match="exists already"):
        fill()
    assert entries(tmp_path) == ["copy"]
    assert target.is_symlink()
