"""Commands beside a running gateway: they see what it does, and it heeds what they change."""

import json
from pathlib import Path

import pytest

from tests.e2e.deployment import Deployment, open_deployment

pytestmark = pytest.mark.e2e


async def ask(deployment: Deployment, *words: str) -> str:
    """The output of a command that has to succeed, and to have nothing to complain about."""
    code, out, err = await deployment.command(*words)
    assert (code, err) == (0, "")
    return out


async def test_pairing(tmp_path: Path) -> None:
    """A stranger gets a code; whoever has it approved is told so and answered; a revoked one is a stranger again."""
    async with open_deployment(tmp_path) as deployment, deployment.gateway(deployment.config()):
        alice = await deployment.alice.direct()
        await alice.say("hello?")
        address = await alice.wait_reply(lambda text: "Pairing code" in text)
        assert await ask(deployment, "pairing", "list", "--approved") == "nobody was let in yet"
        (waiting,) = json.loads(await ask(deployment, "pairing", "list", "mattermost", "--json"))
        assert waiting["code"] in address
        assert waiting["name"] == "alice"

        approved = await ask(deployment, "pairing", "approve", "mattermost", waiting["code"].lower(), "--notify")
        assert approved == f"@alice ({waiting['user_id']}) may write to account default now"
        await alice.wait_reply(lambda text: "You may write to me here now" in text)
        await alice.say("hello again")
        await alice.wait_reply(lambda text: deployment.last_word in text.split())

        code, _, err = await deployment.command("pairing", "approve", "mattermost", waiting["code"])
        assert (code, err) == (1, f"oc-trio: no request with the code {waiting['code']} is waiting")
        assert "no longer" in await ask(deployment, "pairing", "revoke", "mattermost", waiting["user_id"])
        await alice.say("and now?")
        await alice.wait_reply(lambda text: "Pairing code" in text and text != address)


async def test_explain_and_sessions(tmp_path: Path) -> None:
    """A post's life is told from both ends; its conversation is listed, shown and begun anew."""
    async with open_deployment(tmp_path, tokens=5) as deployment, deployment.gateway(deployment.config()):
        post = await deployment.alice.say("@bot hello")
        answer = await deployment.alice.wait_answer(post, deployment.last_word)
        ignored = await deployment.alice.say("nobody in particular")
        for address in (post, f"{deployment.base}/demo/pl/{post}"):
            output = await ask(deployment, "explain", address)
            assert f"{post}: a message to the bot" in output
            assert "admit" in output
            assert f"delivered as {answer['id']}" in output
        assert f"{answer['id']}: a post of the bot" in await ask(deployment, "explain", answer["id"])
        life = json.loads(await ask(deployment, "explain", post, "--json"))
        assert life["obligations"][0]["state"] == "delivered"
        assert life["turn"]["outcome"]["posts"] == [answer["id"]]
        assert "admit" not in await ask(deployment, "explain", ignored)

        (session,) = json.loads(await ask(deployment, "sessions", "list", "--json"))
        assert session["key"].endswith(f":thread:{post}")
        assert session["key"] in await ask(deployment, "sessions", "list")
        shown = await ask(deployment, "sessions", "show", session["key"])
        assert "assistant: word1 word2" in shown
        assert "starts anew" in await ask(deployment, "sessions", "reset", session["key"])
        assert "assistant:" not in await ask(deployment, "sessions", "show", session["key"])
