"""Keys that oc-trio doesn't read: which are nobody's loss, and which are missed."""

import re

from oc_trio.config import foreign_keys
from oc_trio.config.foreign_keys import split_ignored
from oc_trio.config.model import Config
from oc_trio.config.reference import all_tables


def test_two_kinds() -> None:
    """The first in one list without numbers; the second by what is different."""
    found = split_ignored(
        (
            "plugins",
            "models.providers.x.models[0].cost",
            "models.providers.x.models[1].cost",
            "agents.defaults.heartbeat",
            "agents.entries.main.heartbeat",
        )
    )
    assert found.unused == ("plugins", "models.providers.x.models[].cost")
    ((paths, what, instead),) = found.different
    assert paths == ("agents.defaults.heartbeat", "agents.entries.main.heartbeat")
    assert (what, instead) == ("nobody is woken by the clock", "write the prompt as cron.jobs.<name>")


def test_what_is_named_instead_exists() -> None:
    """Every key that a hint names is one of the reference's, or a section of it."""
    tables = {re.sub(r"\.<name>|\[\]", "", path) for path, _, _ in all_tables(Config, "", "")}
    sections = {path.partition(".")[0] for path in tables}
    hints = " ".join(instead for _, instead in foreign_keys._DIFFERENT.values())
    named = {word.rstrip(".,;") for word in re.findall(r"[a-z]+\.[A-Za-z.<>]+", hints)}
    assert {word for word in named if word.partition(".")[0] not in sections} == set()
