"""Several files are written as one: all of them, or none."""

import stat
from pathlib import Path

import pytest

from oc_trio.cli.new_files import NewFile, write_new_files


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_modes(tmp_path: Path) -> None:
    """Each has its own, from the moment it has its name."""
    write_new_files([NewFile(tmp_path / "a", "A", 0o600), NewFile(tmp_path / "b", "B", 0o644)])
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names(tmp_path)] == [0o600, 0o644]
    assert (tmp_path / "a").read_text() == "A"


def test_one_that_is_there(tmp_path: Path) -> None:
    """Then nothing is written, and nothing is left; only with `overwrite` all are replaced."""
    (tmp_path / "b").write_text("old")
    files = [NewFile(tmp_path / "a", "A", 0o600), NewFile(tmp_path / "b", "B", 0o600)]
    with pytest.raises(FileExistsError):
        write_new_files(files)
    assert (names(tmp_path), (tmp_path / "b").read_text()) == (["b"], "old")
    write_new_files(files, overwrite=True)
    assert (names(tmp_path), (tmp_path / "b").read_text()) == (["a", "b"], "B")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """What is at its other end stays as it is."""
    (tmp_path / "other").write_text("mine")
    (tmp_path / "a").symlink_to("other")
    with pytest.raises(FileExistsError):
        write_new_files([NewFile(tmp_path / "a", "A", 0o600)])
    write_new_files([NewFile(tmp_path / "a", "A", 0o600)], overwrite=True)
    assert ((tmp_path / "other").read_text(), (tmp_path / "a").is_symlink()) == ("mine", False)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """The first is taken back when the second can't be written."""
    with pytest.raises(FileNotFoundError):
        write_new_files([NewFile(tmp_path / "a", "A", 0o600), NewFile(tmp_path / "no" / "b", "B", 0o600)])
    assert names(tmp_path) == []
