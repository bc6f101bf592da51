"""The documentation holds: its examples load, its commands and reasons exist, its links lead somewhere."""

import re
from pathlib import Path

import click
import pytest
import tomli

from oc_trio.cli.main import main
from oc_trio.config.document import Document
from oc_trio.config.load import build

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

_FENCED_TOML = re.compile(r"^( *)```toml\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"\boc-trio((?: [a-z]+)+)")
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def examples() -> list[tuple[str, str]]:
    found = []
    for name in ("README.md", "docs/mattermost-setup.md"):
        for indent, text in _FENCED_TOML.findall((ROOT / name).read_text()):
            found.append((name, "\n".join(line.removeprefix(indent) for line in text.splitlines())))
    return found


@pytest.mark.parametrize(("name", "text"), examples(), ids=lambda value: value if value.endswith(".md") else "")
def test_examples_load(name: str, text: str, tmp_path: Path) -> None:
    """Each TOML example is a configuration, or a part of one, without problems or warnings."""
    values = tomli.loads(text)
    account = values.setdefault("channels", {}).setdefault("mattermost", {})
    account.setdefault("baseUrl", "https://chat.example.com")
    account.pop("botTokenFile", None)
    if "groupAllowFrom" not in account:
        account["groupPolicy"] = "open"
    loaded = build(Document(values), {"HOME": str(tmp_path), "MATTERMOST_BOT_TOKEN": "t"})
    assert loaded.warnings == ()
    assert list(loaded.accounts) == ["default"]


@pytest.mark.parametrize("name", NAMES)
def test_commands_exist(name: str) -> None:
    """Every `oc-trio ...` that a page names is a command of this version."""
    context = click.Context(main)
    for spelled in _COMMAND.findall((ROOT / name).read_text()):
        first, *rest = spelled.split()
        command = main.get_command(context, first)
        if command is None:
            assert first in ("reads", "lists", "knows", "has", "never"), f"oc-trio {first}"
        elif isinstance(command, click.Group) and rest:
            assert command.get_command(context, rest[0]), f"oc-trio {first} {rest[0]}"


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    """Links to files of this repository name files that are there."""
    page = ROOT / name
    missing = [link for link in _LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert missing == []


def test_reasons_exist() -> None:
    """The reasons that the troubleshooting page explains are those that the decisions give."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    rows = [line for line in page.splitlines() if re.match(r"\| `[a-z]+_", line)]
    named = {word for line in rows for word in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", line.split("|")[1])}
    sources = "".join((ROOT / "oc_trio" / "core" / f"{module}.py").read_text() for module in ("access", "gating"))
    assert len(named) > 15
    assert [reason for reason in sorted(named) if f'"{reason}"' not in sources] == []
