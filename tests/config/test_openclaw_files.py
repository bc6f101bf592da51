"""Ordinary openclaw.json files, of this year and of before: each loads, means what it means in OpenClaw, and becomes a
TOML that means the same.

The files are in tests/config/openclaw. With OPENCLAW_PROGRAM set to OpenClaw's `openclaw.mjs` they are shown to
OpenClaw's own `config validate` as well.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import evolve, field, frozen
from click.testing import CliRunner, Result

from oc_trio.cli.config import command
from oc_trio.config.load import Loaded, load
from oc_trio.config.parse import join
from oc_trio.ids import AccountId, AgentId
from oc_trio.runtime.agents import AgentTable, SessionSettings, build_agents
from tests.config.openclaw_database import make_store

FILES = Path(__file__).parent / "openclaw"
MATTERMOST = "channels.mattermost.accounts.default"
ANTHROPIC = {"ANTHROPIC_API_KEY": "sk-ant"}
OPENAI = {"OPENAI_API_KEY": "sk-openai"}
OLD = {"agents-list.json", "old-channel.json"}  # OpenClaw of today wants `openclaw doctor --fix` for them


@frozen
class Case:
    """`shown` are values of `config show`; `warned` are words of the warnings; `keys` are secrets by provider."""

    file: str
    env: Mapping[str, str] = field(factory=dict)
    shown: Mapping[str, Any] = field(factory=dict)
    warned: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(factory=dict)
    token: str = "mm-token"


CASES = [
    # What `openclaw onboard` and `openclaw channels add` of 2026.9.6 write; the key is in OpenClaw's database.
    Case(
        "starter.json",
        {},
        {
            "agents.defaults.model.primary": "anthropic/claude-opus-5",
            "agents.entries.main.workspace": "~/.openclaw/workspace",
            "models.providers.anthropic.api": "anthropic-messages",
            "models.providers.anthropic.baseUrl": "https://api.anthropic.com",
            f"{MATTERMOST}.dmPolicy": "pairing",
            f"{MATTERMOST}.groupPolicy": "allowlist",
            "agents.entries.main.identity.name": "Clawd",
        },
        ("parts that oc-trio has no use for are ignored (plugins, meta, wizard, gateway.mode, gateway.auth",),
        {"anthropic": "sk-of-the-login"},
        "mm-starter-token",
    ),
    Case(
        "minimum.json",
        {**OPENAI, "MATTERMOST_BOT_TOKEN": "env-token", "MATTERMOST_URL": "https://chat.example.com"},
        {"models.providers.openai.baseUrl": "https://api.openai.com/v1"},
        keys={"openai": "sk-openai"},
        token="env-token",
    ),
    Case(
        "ollama.json",
        {},
        {
            "models.providers.ollama.baseUrl": "http://gpu-box.local:11434/v1",
            "models.providers.ollama.api": "openai-completions",
            f"{MATTERMOST}.network.dangerouslyAllowPrivateNetwork": True,
        },
        (":13: models.providers.ollama.api: Ollama is asked through its OpenAI-compatible API",),
        {"ollama": "ollama-local"},
    ),
    Case(
        "lmstudio.json",
        {},
        {"models.providers.lmstudio.api": "openai-completions", f"{MATTERMOST}.groupPolicy": "open"},
        ("is asked through chat completions instead",),
        {"lmstudio": "lmstudio"},
    ),
    Case(
        "fallbacks.json",
        {"OPENAI_API_KEY": "sk-of-the-process"},
        {
            "agents.defaults.model.primary": "anthropic/claude-opus-4-6",
            "agents.defaults.model.fallbacks": ["anthropic/claude-sonnet-4-6", "openai/gpt-5.4"],
            "agents.defaults.temperature": 0.3,
            "agents.defaults.maxTokens": 4096,
            "agents.defaults.thinkingDefault": "high",
            "agents.defaults.timeoutSeconds": 86400,
        },
        ('there is no "xhigh" here: "high" is used', "a turn lasts a day at most"),
        {"anthropic": "sk-ant-inline", "openai": "sk-of-the-process"},
    ),
    Case(
        "proxy.json",
        {"LITELLM_KEY": "sk-lite", "MINIMAX_API_KEY": "sk-mini"},
        {"models.providers.minimax.api": "anthropic-messages", f"{MATTERMOST}.responsePrefix": "[{model}]"},
        ("firstTokenSeconds and idleSeconds",),
        {"custom-proxy": "sk-lite", "minimax": "sk-mini"},
    ),
    Case(
        "openrouter.json",
        {},
        {
            "agents.defaults.model.primary": "openrouter/openrouter/auto",
            f"{MATTERMOST}.chatmode": "onmessage",
        },
        keys={"openrouter": "sk-or-inline"},
    ),
    Case(
        "include/openclaw.json",
        {"MM_TOKEN": "mm-token", "MM_HOST": "chat.example.com", "GROQ_API_KEY": "g", "MISTRAL_API_KEY": "m"},
        {
            "gateway.port": 18790,
            "agents.defaults.skills": ["github", "weather"],
            "agents.defaults.mediaMaxMb": 5,
            "agents.entries.main.identity.name": "Ada",
            "agents.entries.ops.model.primary": "mistral/mistral-large-latest",
            f"{MATTERMOST}.replyToMode": "all",
            f"{MATTERMOST}.baseUrl": "https://chat.example.com",
            f"{MATTERMOST}.groupAllowFrom": ["aaaaaaaaaaaaaaaaaaaaaaaaaa", "cccccccccccccccccccccccccc"],
        },
        keys={"groq": "g", "mistral": "m"},
    ),
    Case(
        "variables.json",
        {"MM_TOKEN": "mm-token", "MM_HOST": "chat.example.com", "MM_PORT": "8065", "TZ_NAME": "Europe/Berlin"},
        {
            "agents.defaults.timezone": "Europe/Berlin",
            f"{MATTERMOST}.name": "${NOT_A_VARIABLE}",
            f"{MATTERMOST}.baseUrl": "https://chat.example.com:8065",
            f"{MATTERMOST}.commands.callbackUrl": "https://chat.example.com/oc/api/channels/mattermost/command",
        },
        keys={"deepseek": "from#dotenv"},
    ),
    Case(
        "secrets.json",
        {},
        {"channels.mattermost.accounts.alerts.baseUrl": "https://alerts.example.com"},
        ("the environment variable OPENAI_API_KEY is not set; no agent uses this provider",),
        {"xai": "sk-xai"},
        "from-a-file",
    ),
    Case("vault.json", {}, {}, keys={"mistral": "sk-of-the-vault"}, token="plain-token"),
    Case(
        "accounts.json",
        {"GEMINI_API_KEY": "g"},
        {
            "channels.mattermost.accounts.alerts.groupPolicy": "open",
            "channels.mattermost.accounts.alerts.dmPolicy": "allowlist",
            "channels.mattermost.accounts.alerts.name": "Alerts",
        },
        ("STAGING_HOST is not set; the account is off",),
        {"google": "g"},
    ),
    Case(
        "channels-beside.json",
        ANTHROPIC,
        {
            f"{MATTERMOST}.groupPolicy": "allowlist",
            "session.dmScope": "per-channel-peer",
            "accessGroups.staff.members": {"mattermost": ["bbbbbbbbbbbbbbbbbbbbbbbbbb"], "*": []},
        },
        (
            "agents.defaults.heartbeat: works differently here: nobody is woken by the clock",
            "channels.whatsapp, channels.telegram, channels.discord",
            "OPENAI_API_KEY is not set; no agent uses this provider",
        ),
        {"anthropic": "sk-ant"},
    ),
    Case(
        "agents-list.json",
        {"DEEPSEEK_API_KEY": "d", "GROQ_API_KEY": "g"},
        {
            "agents.entries.main.default": True,
            "agents.entries.ops.model.primary": "groq/llama-3.3-70b-versatile",
            "agents.entries.ops.groupChat.mentionPatterns": ["@ops"],
            "agents.entries.ops.tools.deny": ["message"],
            "agents.defaults.workspace": "~/clawd",
            "session.resetAfterMinutes": 120,
        },
        keys={"deepseek": "d", "groq": "g"},
    ),
    Case(
        "old-channel.json",
        OPENAI,
        {
            f"{MATTERMOST}.streaming.mode": "progress",
            f"{MATTERMOST}.streaming.chunkMode": "newline",
            f"{MATTERMOST}.chatmode": "onmessage",
            f'{MATTERMOST}.groups."*".requireMention': True,
        },
        ("is an older spelling (write streaming.chunkMode)",),
        {"openai": "sk-openai"},
    ),
    Case(
        "team.json",
        ANTHROPIC,
        {
            "gateway.bind": "lan",
            "logging.level": "debug",
            "hooks.enabled": True,
            f"{MATTERMOST}.mediaMaxMb": 20,
            f"{MATTERMOST}.historyLimit": 100,
            f"{MATTERMOST}.responsePrefix": "auto",
            f"{MATTERMOST}.streaming.mode": "block",
            f"{MATTERMOST}.replyToModeByChatType.direct": "off",
        },
        ("hooks.mappings: works differently here", "logging.file: works differently here"),
        {"anthropic": "sk-ant"},
    ),
    Case(
        "daily.json",
        OPENAI,
        {
            "session.resetAtHour": 5,
            "session.resetAfterMinutes": 240,
            "messages.queue.mode": "collect",
            "messages.queue.debounceMs": 1500,
            "messages.inbound.debounceMs": 800,
            f"{MATTERMOST}.ackReactions.seen": "👀",
        },
        ("session.resetByType: works differently here",),
        {"openai": "sk-openai"},
    ),
    Case(
        "tools.json",
        OPENAI,
        {
            "agents.defaults.tools.allow": ["message", "ask_user", "offer_buttons", "*__*"],
            "agents.defaults.tools.deny": ["ask_user", "offer_buttons"],
            "agents.entries.docs.tools.allow": ["message", "files__*"],
            "agents.entries.docs.tools.deny": ["ask_user", "offer_buttons", "files__delete"],
            "mcp.servers.files.startSeconds": 20,
            "mcp.servers.files.allow": ["read_*"],
        },
        ("these tools are not here: web_search", "LINEAR_TOKEN is not set; it is off"),
        {"openai": "sk-openai"},
    ),
    Case(
        "workspaces.json",
        ANTHROPIC,
        {
            "agents.entries.docs.workspace": "~/.openclaw/workspace-docs",
            "skills.dirs": ["~/.openclaw/workspace/skills", "skills", "~/skills"],
        },
        keys={"anthropic": "sk-ant"},
    ),
    Case(
        "providers.json",
        {
            **ANTHROPIC,
            **OPENAI,
            "OPENROUTER_API_KEY": "or",
            "GOOGLE_API_KEY": "go",
            "MISTRAL_API_KEY": "mi",
            "GROQ_API_KEY": "gr",
            "DEEPSEEK_API_KEY": "de",
            "XAI_API_KEY": "xa",
        },
        {
            "models.providers.openrouter.baseUrl": "https://openrouter.ai/api/v1",
            "models.providers.ollama.baseUrl": "http://127.0.0.1:11434/v1",
            "models.providers.lmstudio.baseUrl": "http://127.0.0.1:1234/v1",
            "models.providers.google.baseUrl": "https://generativelanguage.googleapis.com/v1beta/openai",
        },
        keys={"anthropic": "sk-ant", "openrouter": "or", "google": "go", "ollama": "", "lmstudio": "", "xai": "xa"},
    ),
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory with the files where OpenClaw has them, and what they refer to."""
    folder = tmp_path / ".openclaw"
    shutil.copytree(FILES, folder)
    (folder / "secrets-store.json").write_text(
        '{"providers": {"xai": {"apiKey": "sk-xai"}}, "bots": [{}, {"to/ken": "alerts-token"}]}'
    )
    (folder / "bot-token").write_text("from-a-file\n")
    (folder / "answers.json").write_text(
        '{"protocolVersion": 1, "values": {"providers/mistral/apiKey#value": "sk-of-the-vault"}}'
    )
    (folder / ".env").write_text('# keys\nexport DEEPSEEK_API_KEY="from#dotenv" # a comment\nMM_TOKEN=not-this\n')
    make_store(folder, {"anthropic:default": {"type": "api_key", "provider": "anthropic", "key": "sk-of-the-login"}})
    for name in ("workspace", "workspace-docs", "workspace/main"):
        (folder / name).mkdir()
    for file in folder.rglob("*"):
        file.chmod(0o700 if file.is_dir() else 0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def environment(home: Path, case: Case) -> dict[str, str]:
    return {"HOME": str(home), "PATH": os.environ["PATH"], **case.env}


def loaded_of(home: Path, case: Case) -> Loaded:
    return load(str(home / ".openclaw" / case.file), environment(home, case))


def run(home: Path, case: Case, *arguments: str | Path) -> Result:
    gone = {name: None for name in os.environ if name.endswith(("_API_KEY", "_TOKEN", "_URL"))}
    env: dict[str, str | None] = {**gone, **environment(home, case)}
    return CliRunner().invoke(command, [str(word) for word in arguments], env=env)


def table_of(loaded: Loaded) -> AgentTable:
    return build_agents(loaded.config, httpx.AsyncClient(verify=False), personas=loaded.personas)


IDS = [case.file for case in CASES]


def test_there_are_twenty() -> None:
    """Every file is a case."""
    names = {str(file.relative_to(FILES)) for file in FILES.rglob("*.json")}
    assert (names, len(CASES)) == ({case.file for case in CASES}, 20)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_it_means_what_it_means_in_openclaw(home: Path, case: Case) -> None:
    """The values in effect, the keys and the token that are used, and what is said about the rest."""
    file = home / ".openclaw" / case.file
    checked = run(home, case, "check", "--config", file)
    assert checked.exit_code == 0, checked.stderr
    assert [words for words in case.warned if words not in checked.stderr] == []
    shown = json.loads(run(home, case, "show", "--json", "--config", file).stdout)
    assert {path: shown.get(path) for path in case.shown} == dict(case.shown)
    loaded = loaded_of(home, case)
    assert loaded.accounts[AccountId("default")].bot_token.reveal() == case.token
    providers = loaded.config.models.providers
    assert {name: providers[name].api_key.reveal() for name in case.keys} == dict(case.keys)
    assert table_of(loaded).setups


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_its_translation_means_the_same(home: Path, case: Case) -> None:
    """`config show` of the TOML is that of the openclaw.json, even without OpenClaw's own files."""
    file = home / ".openclaw" / case.file
    made = file.with_name("oc-trio.toml")
    before = json.loads(run(home, case, "show", "--json", "--config", file).stdout)
    imported = run(home, case, "import", file, "--output", made)
    assert imported.exit_code == 0, imported.stderr
    (home / ".openclaw" / ".env").unlink()
    (home / ".openclaw" / "state" / "openclaw.sqlite").unlink()
    after = run(home, case, "show", "--json", "--config", made)
    assert after.exit_code == 0, (after.stderr, made.read_text())
    assert json.loads(after.stdout) == before
    again = load(str(made), environment(home, case))
    assert again.accounts[AccountId("default")].bot_token.reveal() == case.token
    providers = again.config.models.providers
    assert {name: providers[name].api_key.reveal() for name in case.keys} == dict(case.keys)


def test_a_translation_says_what_differs(home: Path) -> None:
    """A difference to OpenClaw is a comment at the table that it is about."""
    case = next(case for case in CASES if case.file == "channels-beside.json")
    text = run(home, case, "import", home / ".openclaw" / case.file).stdout
    head, _, tables = text.partition("\n[agents.defaults")
    comment = "# agents.defaults.heartbeat: works differently here: nobody is woken by the clock"
    assert comment in text
    assert tables
    assert "mm-token" not in text
    assert 'botToken = { source = "env", id = "MATTERMOST_BOT_TOKEN" }' in text
    assert head.count("heartbeat") <= 1


def test_a_binding_without_an_account_is_the_default_account_s(home: Path) -> None:
    """As in OpenClaw; bindings of other platforms are left out."""
    case = next(case for case in CASES if case.file == "accounts.json")
    bindings = loaded_of(home, case).config.bindings
    assert [(one.agent_id, one.match.account_id) for one in bindings] == [("alerts", "alerts"), ("main", "default")]


def test_aliases_and_the_catalogue_name_the_models(home: Path) -> None:
    """`agents.defaults.models` is what people choose from."""
    case = next(case for case in CASES if case.file == "fallbacks.json")
    agents = table_of(loaded_of(home, case))
    assert agents.models == ("anthropic/claude-opus-4-6", "anthropic/claude-sonnet-4-6", "openai/gpt-5.4")
    assert agents.titles["anthropic/claude-opus-4-6"] == "opus"
    assert all(model.images for model in loaded_of(home, case).config.models.providers["openai"].models)


def test_the_workspace_says_who_the_agent_is(home: Path) -> None:
    """AGENTS.md, SOUL.md and IDENTITY.md follow the system prompt; of several agents each has its own."""
    folder = home / ".openclaw"
    (folder / "workspace-docs" / "SOUL.md").write_text("You are dry.")
    (folder / "workspace-docs" / "MEMORY.md").write_text("Carol owes Bob five euros.")
    (folder / "workspace" / "main" / "AGENTS.md").write_text("Answer in rhymes.\n")
    (folder / "workspace" / "main" / "IDENTITY.md").write_text("Name: Clawd")
    case = next(case for case in CASES if case.file == "workspaces.json")
    agents = table_of(loaded_of(home, case))
    prompts = {name: agents.setup(AgentId(name), SessionSettings()).system_prompt for name in ("main", "docs")}
    assert prompts["main"].endswith(
        "# Your own files\n\n## AGENTS.md\n\nAnswer in rhymes.\n\n## IDENTITY.md\n\nName: Clawd"
    )
    assert prompts["docs"].endswith("## SOUL.md\n\nYou are dry.")


def test_a_variable_names_another_folder_for_the_workspace(home: Path, tmp_path: Path) -> None:
    """OpenClaw's `OPENCLAW_WORKSPACE_DIR`, if the file names no folder; one that does not exist is left out."""
    case = next(case for case in CASES if case.file == "fallbacks.json")
    other = tmp_path / "elsewhere"
    other.mkdir()
    (home / ".openclaw" / "workspace" / "main").rmdir()
    (home / ".openclaw" / "workspace").rmdir()
    named = evolve(case, env={**case.env, "OPENCLAW_WORKSPACE_DIR": str(other)})
    assert loaded_of(home, named).config.agents.defaults.workspace == str(other)
    other.rmdir()
    assert loaded_of(home, named).config.agents.defaults.workspace == ""
    for unusable in ("~no-such-user/workspace", "x" * 300):
        named = evolve(case, env={**case.env, "OPENCLAW_WORKSPACE_DIR": unusable})
        assert loaded_of(home, named).config.agents.defaults.workspace == ""


def ask_openclaw(home: Path, case: Case, *words: str) -> Any:
    """The JSON that a command of OpenClaw prints about the file."""
    folder = home / ".openclaw"
    places = {"OPENCLAW_CONFIG_PATH": str(folder / case.file), "OPENCLAW_STATE_DIR": str(folder)}
    program = ("node", os.environ["OPENCLAW_PROGRAM"], "config", *words, "--json")
    env = {**environment(home, case), **places}
    done = subprocess.run(program, env=env, capture_output=True, text=True, check=False)
    return json.loads(done.stdout[done.stdout.index("{") :])


def leaves(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {path: value}
    found: dict[str, Any] = {}
    for name, inner in value.items():
        found |= leaves(inner, join(path, name))
    return found


@pytest.mark.slow
@pytest.mark.skipif("OPENCLAW_PROGRAM" not in os.environ, reason="OpenClaw is not installed")
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_openclaw_takes_it_and_means_the_same(home: Path, case: Case) -> None:
    """OpenClaw's own check accepts the files of today and refuses those of before; the channel's values are ours."""
    shown = json.loads(run(home, case, "show", "--json", "--config", home / ".openclaw" / case.file).stdout)
    (home / ".openclaw" / "state" / "openclaw.sqlite").unlink()  # OpenClaw makes its own
    answer = ask_openclaw(home, case, "validate")
    assert answer["valid"] is (case.file not in OLD), answer
    if case.file in OLD or case.file == "accounts.json":  # of several accounts OpenClaw shows what is written
        return
    theirs = leaves(ask_openclaw(home, case, "get", "channels.mattermost"), MATTERMOST)
    theirs = {path: value for path, value in theirs.items() if path in shown and "REDACTED" not in str(value)}
    ours = {path: shown[path] for path in theirs}
    differing = {path for path in theirs if theirs[path] != ours[path]} - {f"{MATTERMOST}.baseUrl"}  # ours is shortened
    assert {path: (theirs[path], ours[path]) for path in differing} == {}
