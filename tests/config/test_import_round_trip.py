"""`oc-trio config import` of files with includes, variables and secrets: the TOML means the same as the file."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from oc_trio.cli.config import command

CHANNEL = 'baseUrl: "https://chat.example.com", groupPolicy: "open"'
TOKEN = 'botToken: "mm-token"'
MODEL = 'agents: { defaults: { model: "ollama/qwen3" } }'
FILES = {
    "channel.json5": f"{{ mattermost: {{ {CHANNEL}, {TOKEN} }} }}",
    "mode.json5": '{ mattermost: { chatmode: "onchar", replyToMode: "all" } }',
    "more/nested.json5": '{ $include: ["../channel.json5", "../mode.json5"], mattermost: { chatmode: "onmessage" } }',
    "one.json5": '[{ agentId: "main", match: { channel: "mattermost" } }]',
    "two.json5": '[{ agentId: "main", match: { channel: "mattermost", accountId: "*" } }]',
    "secrets.json": '{ "mattermost": ["no", "mm-token"], "a/b": { "~": "sk-key" } }',
    "token": "mm-token\n",
    "ask.sh": """#!/bin/sh\necho '{"values": {"mm": "mm-token"}}'\n""",
}
REFERENCE = "botToken: {{ source: {source!r}, provider: 'it', id: {id!r} }}"


def with_secret(source: str, name: str, provider: str) -> str:
    token = REFERENCE.format(source=source, id=name)
    secrets = f"secrets: {{ providers: {{ it: {{ source: {source!r}, {provider} }} }} }}"
    return f"{{ channels: {{ mattermost: {{ {CHANNEL}, {token} }} }}, {MODEL}, {secrets} }}"


CASES = {
    "a list of includes, nested, with keys beside it": f'{{ channels: {{ $include: "more/nested.json5" }}, {MODEL} }}',
    "lists from several files": (
        f'{{ channels: {{ $include: "channel.json5" }}, {MODEL}, '
        'bindings: { $include: ["one.json5", "two.json5"] } }'
    ),
    "no include at all": f"{{ channels: {{ $include: 'channel.json5' }}, {MODEL}, messages: {{ $include: [] }} }}",
    "variables, and what only looks like one": (
        f"{{ channels: {{ mattermost: {{ {CHANNEL}, {TOKEN}, "
        'name: "$${WHO} is ${WHO}, ${who} $ ${}" } }, '
        f"{MODEL}, env: {{ vars: {{ WHO: 'Clawd' }} }} }}"
    ),
    "variables of an older file": (
        f'{{ channels: {{ mattermost: {{ {CHANNEL}, botToken: "${{MM}}" }} }}, {MODEL}, env: {{ MM: "mm-token" }} }}'
    ),
    "a JSON pointer into a list": with_secret("file", "/mattermost/1", "path: './secrets.json'"),
    "a file with one value": with_secret("file", "value", "path: './token', mode: 'singleValue'"),
    "a program": with_secret("exec", "mm", "command: '@/ask.sh', timeoutMs: 9000"),
    "a pointer with escapes": (
        '{ channels: { $include: "channel.json5" }, agents: { defaults: { model: "groq/x" } }, models: { providers: '
        '{ groq: { baseUrl: "https://api.groq.com/openai/v1", models: [], apiKey: '
        '{ source: "file", provider: "it", id: "/a~1b/~0" } } } }, '
        'secrets: { providers: { it: { source: "file", path: "./secrets.json" } } } }'
    ),
}


def oc_trio(*words: str | Path) -> str:
    """Standard output of `oc-trio config`, which has to succeed."""
    done = CliRunner().invoke(command, [*map(str, words)])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("text", CASES.values(), ids=CASES)
def test_the_toml_means_the_same(tmp_path: Path, text: str) -> None:
    """Every key in effect, secrets by where they are read from included."""
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o700)
    theirs, ours = tmp_path / "openclaw.json", tmp_path / "oc-trio.toml"
    theirs.write_text(text.replace("@", str(tmp_path)))
    theirs.chmod(0o600)
    oc_trio("import", theirs, "--output", ours)
    shown = [json.loads(oc_trio("show", "--json", "--config", file)) for file in (theirs, ours)]
    assert shown[0] == shown[1]
    assert shown[0]["channels.mattermost.accounts.default.botToken"] == "***"


def test_what_differs_has_its_line(tmp_path: Path) -> None:
    """Older spellings, and what works differently, as `config check` names them."""
    file = tmp_path / "openclaw.json"
    file.write_text(f"{{ channels: {{ mattermost: {{ {CHANNEL}, {TOKEN},\n allowChannels: [] }} }},\n {MODEL} }}")
    file.chmod(0o600)
    done = CliRunner().invoke(command, ["import", str(file)])
    assert (
        "openclaw.json:2: channels.mattermost.allowChannels: is an older spelling (write onlyChannels)" in done.stderr
    )


def test_what_can_t_be_translated_has_its_line(tmp_path: Path) -> None:
    """The same words and the same place as `config check` has."""
    file = tmp_path / "openclaw.json"
    file.write_text(
        f'{{ channels: {{ mattermost: {{ {CHANNEL}, {TOKEN},\n name: "${{NOBODY_SET_THIS}}" }} }}, {MODEL} }}'
    )
    file.chmod(0o600)
    refused = CliRunner().invoke(command, ["import", str(file)])
    checked = CliRunner().invoke(command, ["check", "--config", str(file)])
    assert (refused.exit_code, refused.stderr) == (78, checked.stderr)
    assert (
        "openclaw.json:2: channels.mattermost.name: the environment variable NOBODY_SET_THIS is not set"
        in refused.stderr
    )
