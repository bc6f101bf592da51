"""Keys of an openclaw.json are found on their lines."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.config.json_locations import json_lines
from oc_trio.config.load import Loaded
from oc_trio.errors import ConfigError

TEXT = """{ // channels: {}
  channels: {
    /* two
       lines: x */ "mattermost": {
      groups: { "*": { requireMention: true } },
      'baseUrl': "http://x{y", allowFrom: ["a", "b"],
    },
  },
  bindings: [
    { agentId: "a", match: { channel: "m" } },
    { agentId: "b" },
  ],
}"""


def test_lines() -> None:
    """Comments and strings hold no keys; entries of lists are counted."""
    lines = json_lines(TEXT)
    expected = {
        "channels": 2,
        "channels.mattermost": 4,
        'channels.mattermost.groups."*".requireMention': 5,
        "channels.mattermost.baseUrl": 6,
        "channels.mattermost.allowFrom": 6,
        "bindings": 9,
        "bindings[0].match.channel": 10,
        "bindings[1]": 11,
        "bindings[1].agentId": 11,
    }
    assert {path: lines.get(path) for path in expected} == expected


def test_problems_of_an_imported_file_name_the_line(load_text: Callable[..., Loaded]) -> None:
    """A wrong value in openclaw.json is led to like one in TOML."""
    with pytest.raises(ConfigError) as caught:
        load_text('{ channels: {\n mattermost: {\n  dmPolicy: "x" } } }', "openclaw.json")
    assert caught.value.problems[0].where.endswith("openclaw.json:3")


@given(st.text("{}[]:,\"'/*\\ \na1", max_size=40))
def test_any_text_ends(text: str) -> None:
    """The scanner stops on whatever it is given."""
    json_lines(text)
