"""Keys are found on their lines."""

from oc_trio.config.toml_locations import line_of, toml_lines

TEXT = '''# comment
[channels.mattermost]
name = "x"   # [not.a.header]
note = """
name = "inside a string"
"""
streaming.mode = "off"
groups."*".requireMention = true

[[bindings]]
agentId = "a"
[[bindings]]
agentId = "b"
match = { peer = { id = "c" } }
[bindings.match.peer]
kind = "group"
'''


def test_lines() -> None:
    """Headers, dotted and quoted keys, arrays of tables; long strings hold no keys."""
    lines = toml_lines(TEXT)
    expected = {
        "channels.mattermost": 2,
        "channels.mattermost.name": 3,
        "channels.mattermost.note": 4,
        "channels.mattermost.streaming.mode": 7,
        'channels.mattermost.groups."*".requireMention': 8,
        "bindings[0].agentId": 11,
        "bindings[1].agentId": 13,
        "bindings[1].match": 14,
        "bindings[1].match.peer.kind": 16,
    }
    assert {path: lines.get(path) for path in expected} == expected


def test_a_key_without_a_line_is_found_at_its_table() -> None:
    """Keys of inline tables and missing keys lead to what is around them; strangers to nothing."""
    lines = toml_lines(TEXT)
    assert line_of("bindings[1].match.peer.id", lines) == 15
    assert line_of("channels.mattermost.botToken", lines) == 2
    assert line_of("/some/file.toml", lines) is None
    assert line_of("gateway.port", lines) is None
