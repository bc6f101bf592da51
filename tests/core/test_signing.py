import hashlib
import hmac
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.signing import context_token, interaction_secret, sign_context, verify_context

TOKEN = "test-bot-token"
SECRET = "ad27d721826d47da2f59667e14f372647536f1dc1248f4656747391bca96cd9e"
VECTORS = json.loads((Path(__file__).parent / "data" / "canonical_json_vectors.json").read_text("utf-8"))["contexts"]
KNOWN: list[tuple[dict[str, Any], str]] = [
    (
        {"callback_data": "yes", "action_id": "yes", "__openclaw_channel_id": "chan1"},
        "16e56f583390517c400459bb4114efce53ec4ebf4262866e73ac158fd64f3751",
    ),
    (
        {"action_id": "mybutton01", "action": "approve"},
        "0acfa571485b629a77b08e8c73cf4ef10551f7b6d54d0a689230a2cb3c6006dc",
    ),
    (
        {
            "oc_model_picker": True,
            "action": "list",
            "ownerUserId": "u1",
            "page": 2,
            "provider": "openai",
            "action_id": "mdllist0123456789ab",
            "__openclaw_channel_id": "chan1",
        },
        "de74648188046021b941d1bd1ec41d792b47336ab0f2d482db2d5083796b15fd",
    ),
    (
        {
            "10": "x",
            "2": None,
            "_x": True,
            "a": "é ☕",
            "action_id": "go",
            "actionId": "z",
            "B": 1,
            "nested": {"Z": 1, "b": [3, {"X": 1e21, "y": 1.0}]},
        },
        "af875554d4bc675a2fe0290530d394b7912eba92ed2e50b5f74beb2356fde7ef",
    ),
]
AWKWARD: dict[str, Any] = {"Zed": 1, "a_b": "é", "10": 2, "9": {"B": [1, None], "a": "☕"}, "action_id": "x"}
NODE = shutil.which("node")
# Written from the documentation: derive the secret, sort the keys recursively, stringify compactly, sign.
NODE_SIGNER = """
const c = require("crypto"), [token, text] = process.argv.slice(1);
const sort = v => Array.isArray(v) ? v.map(sort) : v && typeof v === "object"
  ? Object.fromEntries(Object.keys(v).sort((a, b) => a.localeCompare(b)).map(k => [k, sort(v[k])])) : v;
const { _token, ...ctx } = JSON.parse(text);
const secret = c.createHmac("sha256", "openclaw-mattermost-interactions").update(token).digest("hex");
console.log(c.createHmac("sha256", secret).update(JSON.stringify(sort(ctx))).digest("hex"));
"""


def sample_script_token(context: dict[str, Any]) -> str:
    """The Python sample of the documentation."""
    secret = hmac.new(b"openclaw-mattermost-interactions", TOKEN.encode(), hashlib.sha256).hexdigest()
    payload = json.dumps(context, sort_keys=True, separators=(",", ":"))
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


def test_secret() -> None:
    assert interaction_secret(TOKEN) == SECRET


@pytest.mark.parametrize(("context", "token"), KNOWN, ids=["value", "script", "picker", "traps"])
def test_known_tokens(context: dict[str, Any], token: str) -> None:
    assert context_token(TOKEN, context) == token
    assert verify_context(TOKEN, {**context, "_token": token})


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["token"][:8])
def test_recorded_tokens_of_node(vector: dict[str, Any]) -> None:
    assert context_token(TOKEN, vector["context"]) == vector["token"]


@pytest.mark.parametrize("context", [AWKWARD, *(context for context, _ in KNOWN)])
def test_tokens_of_the_python_sample_verify(context: dict[str, Any]) -> None:
    assert verify_context(TOKEN, {**context, "_token": sample_script_token(context)})


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_a_script_in_node_and_we_sign_alike() -> None:
    assert NODE is not None
    ours = sign_context(TOKEN, AWKWARD)
    run = subprocess.run(
        [NODE, "-e", NODE_SIGNER, TOKEN, json.dumps(ours)], capture_output=True, check=True, timeout=30, text=True
    )
    assert run.stdout.strip() == ours["_token"]


@pytest.mark.parametrize(
    "token",
    [None, 7, "", "0" * 64, "é", "\ud800", ["x"]],
    ids=["none", "number", "empty", "zeros", "accent", "lone", "list"],
)
def test_bad_tokens_do_not_verify(token: object) -> None:
    assert not verify_context(TOKEN, {"action_id": "yes", "_token": token})


def test_a_context_too_deep_to_spell_does_not_verify() -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    assert not verify_context(TOKEN, {"x": deep, "_token": "0" * 64})


def test_signing_replaces_an_old_token() -> None:
    signed = sign_context(TOKEN, {"action_id": "yes", "_token": "old"})
    assert signed["_token"] == context_token(TOKEN, {"action_id": "yes"})


@pytest.mark.slow
@given(st.dictionaries(st.text(max_size=5).filter(lambda key: key != "_token"), st.text(max_size=5) | st.integers()))
def test_signed_verifies_and_any_change_does_not(context: dict[str, Any]) -> None:
    signed = sign_context(TOKEN, context)
    assert verify_context(TOKEN, signed)
    assert not verify_context("another-token", signed)
    assert not verify_context(TOKEN, {**signed, "added": 1, "more": 2} if "added" not in signed else {})
