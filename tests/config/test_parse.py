"""Anything at all in a file gives a configuration or a ConfigError, never another exception."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oc_trio.config.document import Document
from oc_trio.config.fields import all_keys, unwrap_optional
from oc_trio.config.load import build
from oc_trio.config.model import Config
from oc_trio.config.parse import Reader, join, nearest, strict
from oc_trio.config.secret_keys import unread_secret
from oc_trio.errors import ConfigError

ENV = {"MATTERMOST_BOT_TOKEN": "t", "MATTERMOST_URL": "https://chat.example.com"}


def known_names(cls: type, found: set[str]) -> set[str]:
    """Every key name below a section."""
    import typing

    import attrs

    for entry in all_keys(cls):
        if entry.name not in found:
            found.add(entry.name)
            for declared in (unwrap_optional(entry.declared), *typing.get_args(entry.declared)):
                if isinstance(declared, type) and attrs.has(declared) and declared.__name__ != "Secret":
                    known_names(declared, found)
    return found


NAMES = sorted(known_names(Config, set()) | {"streamMode", "teamId", "respondToDMs", "source", "id", "*", "main"})
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["partial", "open", "*", "accessGroup:x", "a/b", "http://x", "10.0.0.0/8", "env", "(", "main"])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=25,
)
DOCUMENTS = st.one_of(
    st.dictionaries(st.sampled_from([entry.name for entry in all_keys(Config)]), VALUES, max_size=4),
    st.dictionaries(st.sampled_from([*(e.name for e in all_keys(Config))]) | st.text(max_size=3), VALUES, max_size=4),
    VALUES.map(lambda value: {"channels": {"mattermost": value}}),
    VALUES.map(lambda value: {"channels": {"mattermost": {"accounts": {"a": value}}}}),
)


@pytest.mark.slow
@given(DOCUMENTS, st.booleans(), st.booleans())
@settings(max_examples=400, deadline=None)
def test_any_document_is_accepted_or_refused(values: dict[str, Any], imported: bool, isolate: bool) -> None:
    """No shape of values, however wrong, ends in another exception than ConfigError."""
    try:
        # Without exec sources: a random command is not to be run.
        loaded = build(Document(values, imported=imported), ENV, isolate=isolate)
    except ConfigError as refused:
        sound = bool(refused.problems) and all(problem.path and problem.message for problem in refused.problems)
    else:
        sound = all(account.base_url.startswith("http") and account.bot_token for account in loaded.accounts.values())
    assert sound


def test_the_defaults_load_back() -> None:
    """An empty table is the default configuration."""
    reader = Reader(unread_secret, strict)
    assert reader.table(Config, {}, "") == Config()
    assert not reader.problems


@pytest.mark.parametrize(
    ("path", "name", "expected"),
    [("", "a", "a"), ("a", "b", "a.b"), ("a", "*", 'a."*"'), ("a", 'x"y', 'a."x\\"y"'), ("a", 2, "a[2]")],
)
def test_paths_are_spelled_as_toml_does(path: str, name: str | int, expected: str) -> None:
    """A path can be pasted back into a file."""
    assert join(path, name) == expected


def test_nearest_ignores_case_and_gives_up_on_strangers() -> None:
    """A suggestion is close, or absent."""
    assert nearest("DMPOLICY", ["dmPolicy", "groupPolicy"]) == "dmPolicy"
    assert nearest("zzz", ["dmPolicy"]) == ""
