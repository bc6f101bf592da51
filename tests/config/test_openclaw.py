"""What only an openclaw.json has."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from oc_trio.config.document import Document, read_document
from oc_trio.config.importer import import_openclaw
from oc_trio.config.load import Loaded, build
from oc_trio.errors import ConfigError
from tests.config.conftest import ENV


def test_variables_in_texts(load_text: Callable[..., Loaded]) -> None:
    """`${NAME}` is put in; a whole secret stays a reference, to be read again."""
    text = '{ channels: { mattermost: { botToken: "${TOKEN}", baseUrl: "https://${HOST}/" } } }'
    (account,) = load_text(text, "openclaw.json", env={"TOKEN": "t", "HOST": "chat.example.com"}).accounts.values()
    assert (account.bot_token.reveal(), account.base_url) == ("t", "https://chat.example.com")
    assert str(account.bot_token.ref) == "env TOKEN"


def test_unset_variables_are_problems(load_text: Callable[..., Loaded]) -> None:
    """Each is named with the key that uses it."""
    with pytest.raises(ConfigError) as caught:
        load_text('{ channels: { mattermost: { name: "${WHO}" } } }', "openclaw.json")
    assert "channels.mattermost.name: the environment variable WHO is not set" in str(caught.value)


def test_agents_as_a_list(load_text: Callable[..., Loaded]) -> None:
    """agents.list of older versions is agents.entries."""
    config = load_text('{ agents: { list: [{ id: "ops", default: true }, { id: "x" }] } }', "openclaw.json").config
    assert {name: entry.default for name, entry in config.agents.entries.items()} == {"ops": True, "x": False}


def test_unknown_keys_of_the_channel_are_errors_even_there(load_text: Callable[..., Loaded]) -> None:
    """Foreign sections are left aside, a misspelt key of ours is not."""
    with pytest.raises(ConfigError, match=r"did you mean dmPolicy\?"):
        load_text('{ channels: { mattermost: { dmPolcy: "open" } }, ui: {} }', "openclaw.json")


def test_variables_mean_nothing_in_toml(load_text: Callable[..., Loaded]) -> None:
    """TOML has `{ source = "env" }`; a dollar sign there is a dollar sign."""
    (account,) = load_text('[channels.mattermost]\nname = "${WHO}"').accounts.values()
    assert account.name == "${WHO}"


WRONG = [
    ('agent: { model: "anthropic/claude-opus-4-5" }', "agent: is of the oldest releases, and OpenClaw doesn't read it"),
    ("session: { reset: 3 }", "session.reset: must be a table, not a number"),
    ('session: { reset: { mode: "weekly" } }', 'session.reset.mode: must be one of "none", "daily", "idle"'),
    ("session: { reset: { atHour: 24 } }", "session.reset.atHour: must be between 0 and 23"),
    ("session: { resetByChannel: [] }", "session.resetByChannel: must be a table, not a list"),
    ("messages: { ackReaction: true }", "messages.ackReaction: must be text, not true"),
    ('messages: { queue: { byChannel: { mattermost: "later" } } }', "messages.queue.byChannel.mattermost: must be one"),
    ('tools: { allow: "message" }', "tools.allow: must be a list, not text"),
    ('tools: { profile: "all" }', "tools.profile: must be one of minimal, coding, messaging, full"),
    ('skills: { load: { extraDirs: "x" } }', "skills.load.extraDirs: must be a list, not text"),
    ("agents: { list: [{ name: 1 }] }", "agents.list[0]: must be a table with an id"),
    ('agents: { list: [{ id: "a" }, { id: "a" }] }', 'agents.list[1].id: there is another agent "a"'),
    ('agents: { list: [{ id: "a" }], entries: {} }', "agents.list: is the older form of agents.entries, and"),
    ('agents: { list: [{ id: "a", model: 3 }] }', "agents.list[0].model: must be a table, not a number"),
]


@pytest.mark.parametrize(("text", "words"), WRONG)
def test_a_wrong_value_is_named_as_the_file_spells_it(load_text: Callable[..., Loaded], text: str, words: str) -> None:
    """Nothing that is rewritten is dropped in silence, and the line is the file's."""
    with pytest.raises(ConfigError) as caught:
        load_text("{\n channels: { mattermost: {} },\n " + text + "\n}", "openclaw.json")
    assert f"openclaw.json:3: {words}" in str(caught.value)


def test_the_login_shell_is_named_where_it_was_to_be_read(load_text: Callable[..., Loaded]) -> None:
    """With what to do instead, and not among the parts that are nobody's loss: its variables are missed."""
    warnings = load_text(
        """{ env: { shellEnv: { enabled: true }, vars: { URL: "https://chat.example.com" } },
        channels: { mattermost: { baseUrl: "${URL}", botToken: "t" } } }""",
        "openclaw.json",
    ).warnings
    [warning] = [str(each) for each in warnings if each.path == "env"]
    assert "the login shell's variables are not read (instead: ~/.openclaw/.env" in warning


BAD: list[Any] = [
    None,
    3,
    True,
    "x",
    [],
    {},
    [{}],
    {"a": 1},
    {"source": "file", "id": "/a", "provider": "x"},
    "${NOPE}",
]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every table and list within a value, with each of its keys."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


@pytest.mark.slow
@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parent / "openclaw").glob("*.json")), ids=lambda file: file.stem
)
def test_any_value_in_any_place_is_accepted_or_refused(file: Path, tmp_path: Path) -> None:
    """By a start and by the translation, in words and without a traceback."""
    values = read_document(file).values
    env = {**ENV, "HOME": str(tmp_path)}
    for number, (table, key) in enumerate(list(places(values))):
        value_before, table[key] = table[key], BAD[number % len(BAD)]
        for use in (build, partial(import_openclaw, keep_secrets=number % 2 == 0)):
            with suppress(ConfigError):
                use(Document(values, file, imported=True), env)
        table[key] = value_before
