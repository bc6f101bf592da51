"""The Node sample of the documentation and this package agree: each verifies what the other signs."""

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from oc_trio.signing import sign_context, verify_context
from tests.callbacks.callers import CLICK_PATH, open_port

TOKEN = "test-bot-token"
PAGE = Path(__file__).parents[2] / "docs" / "callbacks.md"
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(NODE is None, reason="needs Node")

CONTEXTS: dict[str, dict[str, Any]] = {
    "plain": {"action_id": "yes", "callback_data": "yes", "__openclaw_channel_id": "chan1"},
    "upper case": {"action_id": "go", "actionId": "z", "B": 1, "b": 2, "Zeta": None, "alpha": True},
    "nested": {"action_id": "go", "nested": {"b": [3, {"X": 1.5, "y": -1}], "Z": {"é": 1, "e": 2}}},
    "integer-like keys": {"10": "x", "2": None, "_x": True, "action_id": "go", "a-b": 1, "a_b": 2, "ab": 3},
    "non-ASCII": {"action_id": "go", "text": "é ☕ 😀 ñ", "ключ": "значение", "key": 'quote " and \\ and \n'},
}


@cache
def node() -> dict[str, str]:
    """By the name of each context, what the documented function gives for it: of one process, which takes long."""
    found = re.search(r"```js\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert found is not None, "the documentation has a sample for Node"
    script = (
        found[1]
        + """
        const [token, contexts] = JSON.parse(require('fs').readFileSync(0, 'utf8'));
        const tokens = Object.entries(contexts).map(([name, context]) => [name, contextToken(token, context)]);
        process.stdout.write(JSON.stringify(Object.fromEntries(tokens)));
    """
    )
    signed = {f"{name}, signed": sign_context(TOKEN, context) for name, context in CONTEXTS.items()}
    input_json = json.dumps([TOKEN, {**CONTEXTS, **signed}])
    assert NODE is not None
    done = subprocess.run(
        [NODE, "-e", script], input=input_json, capture_output=True, text=True, timeout=30, check=True
    )
    tokens: dict[str, str] = json.loads(done.stdout)
    return tokens


@pytest.mark.parametrize("name", CONTEXTS)
def test_each_side_verifies_the_other(name: str) -> None:
    """Node's token is accepted here, and ours is the one that Node computes."""
    context = CONTEXTS[name]
    assert verify_context(TOKEN, {**context, "_token": node()[name]})
    assert node()[f"{name}, signed"] == sign_context(TOKEN, context)["_token"]


async def test_a_click_signed_by_node_is_taken() -> None:
    """A whole callback with Node's signature passes the port; one letter changed, it does not."""
    port = open_port()
    context = CONTEXTS["plain"]
    signed = {**context, "_token": node()["plain"]}
    body = {"user_id": "u1", "user_name": "alice", "channel_id": "chan1", "post_id": "p1", "context": signed}
    assert (await port.post(CLICK_PATH, json.dumps(body).encode()))[0] == 200
    forged = {**body, "context": {**signed, "callback_data": "no"}}
    assert (await port.post(CLICK_PATH, json.dumps(forged).encode()))[0] == 403
