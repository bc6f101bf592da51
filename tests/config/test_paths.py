"""Where files are looked for."""

from pathlib import Path

import pytest

from oc_trio.config import paths
from oc_trio.config.load import load
from oc_trio.config.paths import expanded, find_config, no_config_problem, state_dir
from oc_trio.errors import ConfigError


def test_the_option_wins_then_the_variable_then_the_directory(tmp_path: Path) -> None:
    """Each place is used only when those before it say nothing."""
    home = tmp_path / "home"
    for place in (
        tmp_path / "a.toml",
        tmp_path / "b.toml",
        tmp_path / "oc-trio.toml",
        home / "oc-trio" / "config.toml",
    ):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("")
    env = {"OC_TRIO_CONFIG": "b.toml", "XDG_CONFIG_HOME": str(home)}
    assert find_config("a.toml", env, tmp_path) == tmp_path / "a.toml"
    assert find_config(None, env, tmp_path) == tmp_path / "b.toml"
    del env["OC_TRIO_CONFIG"]
    assert find_config(None, env, tmp_path) == tmp_path / "oc-trio.toml"
    assert find_config(None, env, home) == home / "oc-trio" / "config.toml"


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    """A wrong --config is not replaced by another file."""
    with pytest.raises(ConfigError, match="no such file"):
        find_config("nope.toml", {}, tmp_path)
    with pytest.raises(ConfigError, match="is not a file"):
        find_config(str(tmp_path), {}, tmp_path)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/oc-trio:/var/lib/x", "XDG_STATE_HOME": "/s"}, "/var/lib/oc-trio"),
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/oc-trio"),
        ({"HOME": "/h"}, "/h/.local/state/oc-trio"),
    ],
)
def test_state_directory(env: dict[str, str], expected: str) -> None:
    """systemd's directory, then the XDG one, then its default."""
    assert state_dir(env) == Path(expected)


def test_where_there_is_none_the_places_are_named(tmp_path: Path) -> None:
    """The error names the places, and the command for an openclaw.json that is there."""
    env = {"HOME": str(tmp_path / "home")}
    problem = str(no_config_problem(env, tmp_path))
    places = (tmp_path / "oc-trio.toml", tmp_path / "home/.config/oc-trio/config.toml", paths.SYSTEM_CONFIG)
    assert problem == (
        f"configuration: no file was found; looked for {', '.join(map(str, places))} "
        "(write one with oc-trio init, or name one with --config or OC_TRIO_CONFIG)"
    )
    theirs = tmp_path / "home" / ".openclaw" / "openclaw.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("{}")
    assert no_config_problem(env, tmp_path).hint == f"to use OpenClaw's: --config {theirs}"
    (tmp_path / "openclaw.json").write_text("{}")
    assert no_config_problem(env, tmp_path).hint == f"to use OpenClaw's: --config {tmp_path / 'openclaw.json'}"
    (tmp_path / "theirs.json").write_text("{}")
    assert (
        str(tmp_path / "theirs.json")
        in no_config_problem({**env, "OPENCLAW_CONFIG_PATH": f"{tmp_path}/theirs.json"}, tmp_path).hint
    )


def test_a_folder_that_can_t_be_looked_into_is_no_traceback(tmp_path: Path) -> None:
    """As of a service's user in the folder of root. Root itself may look everywhere, so here a name is too long."""
    closed = tmp_path / ("x" * 300)
    env = {"HOME": str(closed), "OPENCLAW_STATE_DIR": str(closed)}
    assert find_config(None, env, closed) is None
    assert f"looked for {closed}/oc-trio.toml (can't be read: File name too long), " in str(
        no_config_problem(env, closed)
    )
    with pytest.raises(ConfigError, match="can't be read: File name too long"):
        find_config("config.toml", env, closed)


def test_the_home_of_a_user_that_does_not_exist_stays_as_it_is(tmp_path: Path) -> None:
    """So that what is said is that there is no such file."""
    assert expanded("~no-such-user/config.toml") == Path("~no-such-user/config.toml")
    with pytest.raises(ConfigError, match=r"~no-such-user/config\.toml: no such file"):
        find_config("~no-such-user/config.toml", {}, tmp_path)


def test_a_folder_that_was_deleted_meanwhile_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a shell that stands in it."""
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    with pytest.raises(ConfigError, match="the current folder: is not there any more"):
        load(None, {})
