"""Every way by which text leaves for a channel goes through `harmless`; a new way out fails here until it does."""

import ast
from pathlib import Path

import oc_trio
from oc_trio.core.defuse import ZERO_WIDTH_SPACE, clean, harmless_props

SOURCE = Path(oc_trio.__file__).parent
# Where an endpoint that writes a post is spelled, by module and function: each of them calls `harmless`.
WAYS_OUT = {
    ("mattermost/verbs_posts.py", "create"),
    ("mattermost/verbs_posts.py", "patch"),
    ("mattermost/client.py", "ephemeral"),
}


def test_the_ways_out_are_known() -> None:
    """`/posts` is written to in these functions alone."""
    found = set()
    for path in sorted((SOURCE / "mattermost").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.AsyncFunctionDef):
                code = ast.unparse(node)
                writes = "'POST', '/posts'" in code or ("'PUT', path" in code and "/posts/" in code)
                if writes or "send_ephemeral(self" in code:
                    found.add((path.relative_to(SOURCE).as_posix(), node.name))
                    assert "harmless" in code, (path, node.name)
    assert found == WAYS_OUT


def test_everything_that_an_attachment_shows_is_harmless() -> None:
    """Texts, titles, fields, names of buttons, options of menus; what comes back to us stays as it was signed."""
    ping = "@channel"
    shown = {
        "text": ping,
        "pretext": ping,
        "title": ping,
        "fallback": ping,
        "fields": [{"title": ping, "value": ping, "short": True}],
        "actions": [
            {"name": ping, "integration": {"context": {"text": ping}}, "options": [{"text": ping, "value": ping}]}
        ],
    }
    safe = f"@{ZERO_WIDTH_SPACE}channel"
    [made] = harmless_props({"attachments": [shown], "oc_trio": {"k": ping}})["attachments"]
    assert made == {
        "text": safe,
        "pretext": safe,
        "title": safe,
        "fallback": safe,
        "fields": [{"title": safe, "value": safe, "short": True}],
        "actions": [
            {"name": safe, "integration": {"context": {"text": ping}}, "options": [{"text": safe, "value": ping}]}
        ],
    }
    assert harmless_props({"attachments": [shown]}, clean)["attachments"] == [shown]
    for odd in ({}, {"attachments": 5}, {"attachments": [None, {"fields": 7, "actions": [3]}]}):
        assert harmless_props(odd) == odd
