"""Every text that is posted goes through `harmless`; a new way to post fails here until it does."""

import ast
import json
from pathlib import Path
from typing import Any

import oc_trio
from oc_trio.callbacks.reply import EndpointKind, chat_reply, refused
from oc_trio.core.mention_escape import ZERO_WIDTH_SPACE, clean, escape_props
from oc_trio.errors import CallbackRefused

SOURCE = Path(oc_trio.__file__).parent
# Where an endpoint that writes a post is spelled, by module and function: each of them calls `harmless`.
WAYS_OUT = {
    ("mattermost/rest/posts.py", "create"),
    ("mattermost/rest/posts.py", "patch"),
    ("mattermost/client.py", "ephemeral"),
}


def test_the_ways_out_are_known() -> None:
    """`/posts` is written to in these functions alone."""
    found = set()
    for path in sorted((SOURCE / "mattermost").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.AsyncFunctionDef):
                code = ast.unparse(node)
                writes = "'POST', '/posts'" in code or ("'PUT', path" in code and "/posts/" in code)
                if writes or "send_ephemeral(self" in code:
                    found.add((path.relative_to(SOURCE).as_posix(), node.name))
                    assert "harmless" in code, (path, node.name)
    assert found == WAYS_OUT


# Who answers a caller in JSON: what Mattermost shows people is a `chat_reply`; a hook's caller is a program,
# and a request that a check of ours expected gets a constant.
ANSWERS = {
    ("callbacks/commands.py", "answer_command", "chat_reply"),
    ("callbacks/expected.py", "take", "json_reply"),
    ("callbacks/hooks.py", "answer_hook", "json_reply"),
    ("callbacks/interactions.py", "answer_click", "chat_reply"),
    ("callbacks/reply.py", "chat_reply", "json_reply"),
    ("callbacks/reply.py", "refused", "chat_reply"),
    ("callbacks/reply.py", "refused", "json_reply"),
}


def test_the_answers_to_callers_are_known() -> None:
    """JSON is made for callers in these functions alone."""
    found = set()
    for path in sorted((SOURCE / "callbacks").glob("*.py")):
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(function, ast.AsyncFunctionDef | ast.FunctionDef):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    if node.func.id in ("json_reply", "chat_reply"):
                        found.add((path.relative_to(SOURCE).as_posix(), function.name, node.func.id))
                    assert node.func.id != "dumps"
    assert found == ANSWERS


def test_everything_that_an_answer_shows_is_harmless() -> None:
    """Texts, errors of a dialog and of its fields, and the post that takes the place of the clicked one."""
    ping, safe = "@channel", f"@{ZERO_WIDTH_SPACE}channel"

    def answer(text: str) -> dict[str, Any]:
        return {
            "text": text,
            "ephemeral_text": text,
            "error": text,
            "errors": {"answer": text},
            "attachments": [{"text": text}],
            "update": {
                "message": text,
                "props": {
                    "oc_trio": {"k": ping},
                    "attachments": [{"text": text, "actions": [{"integration": {"context": {"text": ping}}}]}],
                },
            },
        }

    assert json.loads(chat_reply(answer(ping)).body) == answer(safe)
    assert json.loads(chat_reply(answer(ping), harmless=clean).body) == answer(ping)
    assert json.loads(chat_reply({"error": 5, "errors": [], "update": None, "attachments": 3}).body)["error"] == 5
    assert json.loads(refused(EndpointKind.CLICK, CallbackRefused(400, ping)).body) == {"error": safe}
    assert json.loads(refused(EndpointKind.COMMAND, CallbackRefused(400, ping)).body)["text"] == safe


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
    [made] = escape_props({"attachments": [shown], "oc_trio": {"k": ping}})["attachments"]
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
    assert escape_props({"attachments": [shown]}, clean)["attachments"] == [shown]
    for odd in ({}, {"attachments": 5}, {"attachments": [None, {"fields": 7, "actions": [3]}]}):
        assert escape_props(odd) == odd
