"""The file that `oc-trio init` writes is one that loads, without a warning, whatever was chosen."""

import os
from pathlib import Path

import pytest

from oc_trio.config.load import Loaded, load
from oc_trio.config.starter import Starter, StarterProvider, starter_text
from oc_trio.core.access import DmPolicy, GroupPolicy

ALICE = "4xkbfr9w1pnp5jf9ax8gkzi1oy"
LOCAL = StarterProvider("local", "http://127.0.0.1:11434/v1", ("qwen3",), "key")


def loaded(folder: Path, starter: Starter) -> Loaded:
    for name in ("bot-token", "key"):
        (folder / name).write_text("a-secret")
        (folder / name).chmod(0o600)
    (folder / "oc-trio.toml").write_text(starter_text(starter))
    (folder / "oc-trio.toml").chmod(0o644)
    return load(str(folder / "oc-trio.toml"), {"HOME": os.environ["HOME"]})


@pytest.mark.parametrize("strangers", DmPolicy)
@pytest.mark.parametrize("channels", GroupPolicy)
def test_every_policy(tmp_path: Path, strangers: DmPolicy, channels: GroupPolicy) -> None:
    """Whoever is let in to direct messages is not let in to channels by that."""
    people = ((ALICE, "alice"),)
    starter = Starter("https://chat.example.com", "bot-token", "bot", "local/qwen3", LOCAL, people=people)
    starter = Starter(
        starter.base_url, "bot-token", "bot", "local/qwen3", LOCAL, (), "", False, strangers, channels, people
    )
    found = loaded(tmp_path, starter)
    access = found.accounts[found.default_account].access
    assert (found.warnings, found.broken) == ((), {})
    assert (access.dm_policy, access.group_policy) == (strangers, channels)
    assert access.allow_from == (("*",) if strangers is DmPolicy.OPEN else (ALICE,))
    assert access.group_allow_from == ((ALICE,) if channels is GroupPolicy.ALLOWLIST else ())


def test_text_that_toml_has_to_quote(tmp_path: Path) -> None:
    """Names with quotes, backslashes and line breaks change nothing else in the file."""
    odd = 'a "quoted"\\ name\n[agents]\n'
    provider = StarterProvider("local", "http://127.0.0.1:1/v1", (odd,))
    starter = Starter(
        "http://127.0.0.1:8065",
        "bot-token",
        odd,
        f"local/{odd}",
        provider,
        name=odd,
        people=((ALICE, odd),),
        is_private=True,
    )
    found = loaded(tmp_path, starter)
    assert found.warnings == ()
    assert found.accounts[found.default_account].name == odd
    assert found.config.models.providers["local"].models[0].id == odd
    assert found.accounts[found.default_account].network.dangerously_allow_private_network


def test_a_built_in_provider(tmp_path: Path) -> None:
    """It needs no entry; the comment names the variable of its key."""
    text = starter_text(Starter("https://a.example", "bot-token", "bot", "openai/gpt-4.1", None, ("OPENAI_API_KEY",)))
    assert "environment: OPENAI_API_KEY." in text
    assert "[models" not in text
