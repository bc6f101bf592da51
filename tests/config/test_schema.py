"""The JSON Schema says what the parser does."""

import json
from typing import Any

import pytest
import tomli

from oc_trio.config.document import Document
from oc_trio.config.load import build
from oc_trio.config.schema import json_schema
from oc_trio.errors import ConfigError

ENV = {"MATTERMOST_BOT_TOKEN": "t", "MATTERMOST_URL": "https://chat.example.com"}


def find(schema: dict[str, Any], path: str) -> dict[str, Any]:
    for name in path.split("."):
        schema = schema["properties"][name]
    return schema


def test_it_is_plain_json() -> None:
    """The schema survives a round trip and forbids unknown keys at the top."""
    schema = json_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("gateway.port", {"type": "integer", "minimum": 0, "maximum": 65535, "default": 18789}),
        (
            "channels.mattermost.dmChannelRetry.initialDelayMs",
            {"type": "number", "minimum": 100, "maximum": 60000, "default": 1000},
        ),
        (
            "channels.mattermost.dmPolicy",
            {"enum": ["pairing", "allowlist", "open", "disabled"], "default": "pairing"},
        ),
        ("channels.mattermost.botToken", {"$ref": "#/$defs/secret"}),
        ("channels.mattermost.commands.native", {"anyOf": [{"type": "boolean"}, {"enum": ["auto"]}], "default": False}),
        ("channels.mattermost.allowFrom", {"type": "array", "items": {"type": ["string", "integer"]}, "default": []}),
    ],
)
def test_keys(path: str, expected: dict[str, Any]) -> None:
    """Types, limits and defaults are those of the declarations, in the file's unit."""
    found = dict(find(json_schema(), path))
    assert found.pop("description")
    assert found == expected


@pytest.mark.parametrize(
    "text",
    [
        "gateway.port = 70000",
        "channels.mattermost.dmPolicy = 'x'",
        "store.retentionDays = 0",
        "session.mainKey = 'A B'",
    ],
)
def test_the_parser_refuses_what_the_schema_excludes(text: str) -> None:
    """Limits hold in both."""
    with pytest.raises(ConfigError):
        build(Document(tomli.loads(text)), ENV)
