"""The documentation holds: its examples load; the commands, files, classes and numbers that it names are the code's."""

import ast
import re
from functools import cache
from pathlib import Path

import click
import pytest
import tomli

from oc_trio import errors
from oc_trio.cli.main import main
from oc_trio.config.document import Document
from oc_trio.config.load import build

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "oc_trio"
# Files of skills and of agents' workspaces, which are the operators'.
THEIRS = {"SKILL.md", "AGENTS.md", "IDENTITY.md", "MEMORY.md"}
# Those for people who work on the code. Their paths begin at the root or in the package.
MAPS = ("ARCHITECTURE.md", "CONTRIBUTING.md", "docs/glossary.md")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

_FENCED_TOML = re.compile(r"^( *)```toml\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"\boc-trio((?: [a-z]+)+)")
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
_ANCHOR = re.compile(r"\]\(([^)#:]*)#([^)]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
# `core/gating.py`, `tests/wires/`, a script without a suffix; not the end of an address, nor that of `agent/<api>.py`.
_PATH = re.compile(r"(?<![\w./>-])((?:[\w-]+/)+(?:[\w-]+\.(?:py|md|toml))?|scripts/\w+|[a-z]\w*\.py)(?![\w/<])")
_CODE = re.compile(r"`([^`\n]+)`")
_NAME = re.compile(r"\b(?:[A-Z][a-z]+){2,}\b|^[A-Z][a-z]+$|\b_?[A-Z]{2,}(?:_[A-Z]+)*\b")


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
            assert first in ("reads", "lists", "knows", "has", "never", "with"), f"oc-trio {first}"
        elif isinstance(command, click.Group) and rest:
            assert command.get_command(context, rest[0]), f"oc-trio {first} {rest[0]}"


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    """Links to files of this repository name files that are there."""
    page = ROOT / name
    missing = [link for link in _LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_headings(name: str) -> None:
    """A link to a part of a page names one of its headings."""
    page = ROOT / name
    missing = []
    for link, anchor in _ANCHOR.findall(page.read_text()):
        target = page.parent / link if link else page
        if target.suffix == ".md" and anchor not in slugs(target):
            missing.append(f"{link}#{anchor}")
    assert missing == []


@cache
def slugs(page: Path) -> frozenset[str]:
    """The anchors of a page, as GitHub makes them."""
    found = (
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in _HEADING.findall(page.read_text())
    )
    return frozenset(found)


@pytest.mark.parametrize("name", [*MAPS, "docs/operating.md"])
def test_paths_exist(name: str) -> None:
    """Every file and folder that these pages name is there."""
    found = set(_PATH.findall((ROOT / name).read_text()))
    modules = {path.name for path in PACKAGE.rglob("*.py")}
    assert len(found) > 30 or name not in MAPS
    assert (
        sorted(path for path in found - modules if not any((place / path).exists() for place in (ROOT, PACKAGE))) == []
    )


def test_the_simulations_page_names_its_files() -> None:
    """Modules on the simulation's page are those of its folder."""
    named = re.findall(r"`(\w+\.py)`", (ROOT / "docs" / "simulation.md").read_text())
    assert [name for name in named if not (ROOT / "tests" / "simulation" / name).exists()] == []


def test_the_code_refers_to_pages_that_are_here() -> None:
    """A page that a comment or a docstring points to is in this repository."""
    files = [*(path for folder in ("oc_trio", "tests", "scripts") for path in (ROOT / folder).rglob("*.py"))]
    named = {
        name for file in files for name in re.findall(r"\b(?:(?:docs|tests)/[\w/-]+|[A-Z]{5,})\.md\b", file.read_text())
    }
    assert len(named) > 5
    assert [name for name in sorted(named - THEIRS) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("name", MAPS)
def test_names_exist(name: str) -> None:
    """Every class and constant that these pages name stands in the code."""
    code = identifiers()
    named = {word for span in _CODE.findall((ROOT / name).read_text()) for word in _NAME.findall(span)}
    assert len(named) > 5 or name == "docs/glossary.md"
    assert sorted(word for word in named - code if not (ROOT / f"{word}.md").exists()) == []


@pytest.mark.parametrize("name", MAPS)
def test_functions_exist(name: str) -> None:
    """Every function that these pages name with its parentheses stands in the code."""
    named = set(re.findall(r"\b([a-z]\w+)\(\)", (ROOT / name).read_text()))
    assert sorted(named - identifiers()) == []


def test_the_tests_keep_their_variables() -> None:
    """A variable by which CONTRIBUTING.md has tests write something is not cleared before they run."""
    named = set(re.findall(r"`(OC_TRIO_\w+)=", (ROOT / "CONTRIBUTING.md").read_text()))
    kept = re.findall(r'"(OC_TRIO_\w+)"', (ROOT / "tests" / "conftest.py").read_text())
    assert named
    assert sorted(named - {*kept}) == []


@pytest.mark.parametrize("name", MAPS)
def test_classes_are_where_the_page_says(name: str) -> None:
    """A class that is named together with a module stands in that module."""
    pairs = re.findall(r"`(\w+)`(?:,| in) `([\w/]+\.py)`", (ROOT / name).read_text())
    wrong = [
        (word, path)
        for word, path in pairs
        if not any(
            re.search(rf"\b{word}\b", file.read_text()) for file in (PACKAGE / path, ROOT / path) if file.exists()
        )
    ]
    assert wrong == []


@cache
def identifiers() -> frozenset[str]:
    """Every word of the package and of the tests."""
    files = (*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py"))
    return frozenset(word for file in files for word in re.findall(r"\w+", file.read_text()))


def bounds() -> list[tuple[str, str, str]]:
    """The rows of the table of bounds: module, constant, value."""
    rows = re.findall(
        r"^\|[^|]+\| ([\d.]+) \| `(\w+)` \| `([\w/.]+)` \|", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE
    )
    return [(module, constant, value) for value, constant, module in rows]


@pytest.mark.parametrize(("module", "constant", "value"), bounds())
def test_bounds_are_the_codes(module: str, constant: str, value: str) -> None:
    """The table's numbers are those of the modules that it names."""
    assert constants(PACKAGE / module).get(constant) == float(value)


def test_the_table_of_bounds_is_read() -> None:
    assert len(bounds()) > 30


@cache
def constants(module: Path) -> dict[str, float]:
    """The module's numbers by name, products of numbers among them."""
    found: dict[str, float] = {}
    for node in ast.parse(module.read_text()).body:
        if not isinstance(node, ast.Assign):
            continue
        target = node.targets[0]
        pairs = (
            zip(target.elts, node.value.elts)
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
            else ((target, node.value),)
        )
        for name, value in pairs:
            if isinstance(name, ast.Name) and not any(
                isinstance(each, ast.Name | ast.Call) for each in ast.walk(value)
            ):
                number = eval(compile(ast.Expression(value), str(module), "eval"))
                if isinstance(number, int | float):
                    found[name.id] = number
    return found


def test_the_map_has_every_layer_table_and_error() -> None:
    """ARCHITECTURE.md has runtime's packages in the order of the import contract, the journal's tables, the errors."""
    page = (ROOT / "ARCHITECTURE.md").read_text()
    contracts = tomli.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    runtime = next(contract for contract in contracts if contract.get("containers") == ["oc_trio.runtime"])
    block = page.partition("Inside `runtime/`")[2].split("```")[1]
    listed = [re.findall(r"(\w+)\.py|^(\w+)", line) for line in block.strip().splitlines()]
    order = [sorted(first or second for first, second in line) for line in listed]
    assert order == [sorted(layer.split(" | ")) for layer in runtime["layers"]]

    schema = (PACKAGE / "store" / "schema.py").read_text()
    assert [table for table in re.findall(r"CREATE TABLE (\w+)", schema) if f"`{table}`" not in page] == []

    tree = [
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.OcTrioError)
    ]
    assert [name for name in tree if not re.search(rf"─ {name}\b", page) and name != "OcTrioError"] == []


def test_reasons_exist() -> None:
    """The reasons that the troubleshooting page explains are those that the decisions give."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    rows = [line for line in page.splitlines() if re.match(r"\| `[a-z]+_", line)]
    named = {word for line in rows for word in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", line.split("|")[1])}
    sources = "".join((ROOT / "oc_trio" / "core" / f"{module}.py").read_text() for module in ("access", "gating"))
    assert len(named) > 15
    assert [reason for reason in sorted(named) if f'"{reason}"' not in sources] == []
