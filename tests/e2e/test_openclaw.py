"""`oc-trio run` with an openclaw.json as OpenClaw's users have it: included files, variables, secrets, a workspace."""

import signal
from pathlib import Path

import pytest

from tests.e2e.deployment import Deployment, open_deployment, spawn

pytestmark = pytest.mark.e2e

OPENCLAW = """// The main file; the rest is beside it.
{
  gateway: { mode: "local", port: 0, bind: "loopback", auth: { mode: "token", token: "${OPENCLAW_GATEWAY_TOKEN}" } },
  agents: { $include: "./agents.json5" },
  secrets: { providers: { files: { source: "file", path: "~/.openclaw/credentials.json" } } },
  channels: {
    telegram: { enabled: true, botToken: "${TELEGRAM_BOT_TOKEN}" },
    mattermost: { $include: ["./mattermost.json5"], groupPolicy: "open" },
  },
}
"""
MATTERMOST = """{
  botToken: { source: "file", provider: "files", id: "/mattermost/botToken" },
  baseUrl: "${CHAT_URL}", groupPolicy: "disabled", replyToMode: "all",
  network: { dangerouslyAllowPrivateNetwork: true },
}
"""
AGENTS = """{
  defaults: { model: { primary: "words" }, models: { "lmstudio/words": { alias: "words" } } },
  entries: { main: { identity: { name: "Clawd" } } },
}
"""


def home(deployment: Deployment) -> Path:
    """A home directory with OpenClaw's folder in it."""
    folder = deployment.folder / ".openclaw"
    folder.mkdir()
    files = {
        "openclaw.json": OPENCLAW.replace("  secrets:", '  models: { $include: "./models.json5" },\n  secrets:'),
        "agents.json5": AGENTS,
        "mattermost.json5": MATTERMOST,
        "models.json5": '{ providers: { lmstudio: { baseUrl: "${MODEL_URL}", api: "openai-responses", models: [] } } }',
        "credentials.json": f'{{"mattermost": {{"botToken": "{deployment.token}"}}}}',
        ".env": f"CHAT_URL={deployment.base}\nMODEL_URL='{deployment.model}' # where the words are\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    return deployment.folder


def content_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Each file in it, with the time of its last change."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(file.relative_to(folder)): (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


async def test_a_mention_is_answered(tmp_path: Path) -> None:
    """As the file stands there, and as the TOML that `config import` makes of it; neither changes OpenClaw's folder."""
    async with open_deployment(tmp_path) as deployment:
        env = {"HOME": str(home(deployment)), "MATTERMOST_BOT_TOKEN": ""}
        theirs, ours = tmp_path / ".openclaw" / "openclaw.json", tmp_path / "oc-trio.toml"
        before = content_of(theirs.parent)
        async with deployment.gateway(theirs, env=env) as gateway:
            post = await deployment.alice.say("@bot hello")
            await deployment.alice.wait_answer(post, deployment.last_word)
            assert await gateway.end(signal.SIGTERM) == 0
        warnings = [event["event"] for event in gateway.events if event["level"] == "warning"]
        assert any("channels.telegram" in warning for warning in warnings)
        words = ("oc_trio", "config", "import", str(theirs), "--output", str(ours))
        async with spawn(*words, env=env) as command:
            assert await command.end() == 0
        assert content_of(theirs.parent) == before
        (tmp_path / ".openclaw" / ".env").unlink()
        async with deployment.gateway(ours, env=env) as gateway:
            post = await deployment.alice.say("@bot hello again")
            await deployment.alice.wait_answer(post, deployment.last_word)
            assert await gateway.end(signal.SIGTERM) == 0


async def test_a_variable_that_is_gone(tmp_path: Path) -> None:
    """The start stops with the included file and its line; nothing is dropped in silence."""
    async with open_deployment(tmp_path) as deployment:
        env = {"HOME": str(home(deployment)), "MATTERMOST_BOT_TOKEN": ""}
        (tmp_path / ".openclaw" / ".env").unlink()
        async with deployment.gateway(tmp_path / ".openclaw" / "openclaw.json", live=False, env=env) as gateway:
            assert await gateway.end() == 78
        complaints = "\n".join(line for line in gateway.err if not line.startswith("{"))
        assert f"{tmp_path}/.openclaw/mattermost.json5:3: channels.mattermost.baseUrl: the environment variable" in (
            complaints
        )
