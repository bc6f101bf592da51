"""docs/troubleshooting.md has every warning and error of the log, and what people and commands are told."""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from oc_trio.cli import exits

pytestmark = pytest.mark.slow  # it parses a third of the package

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "oc_trio"
LEVELS = ("warning", "error", "critical")
# Lines of the log that the page can't quote, by module and expression.
UNQUOTED = {
    ("runtime/process/start.py", "str(warning)"): "a warning of `config check`, which says itself what to do",
    ("runtime/process/reload.py", "str(warning)"): "the same",
}
# Modules whose sentences people read in the chat in place of an answer.
SENTENCES = (
    "agent/command.py",
    "agent/checked_events.py",
    "agent/failures.py",
    "agent/stream.py",
    "core/access.py",
    "core/interactions.py",
    "core/pairing.py",
    "core/slash.py",
    "runtime/error_boundary.py",
    "runtime/delivery/fallback.py",
    "runtime/turn/agent_run.py",
    "runtime/turn/end_without_agent.py",
)
# Errors whose words end a command.
ENDING = ("StoreError", "StoreUnusable", "ProxyRefused", "SetupFailed")
# Of these, the ones that only a defect raises.
DEFECTS = (
    "there is no outbox row ...",
    "outbox row ... is ..., it can't become ...",
    "turn ... has ended, it can't begin again",
    "the store is closed",
)
# Of a long line, its first characters are compared: the page may end it with an ellipsis.
COMPARED = 60

_LINE = re.compile(r"[a-z][\w:]* \w")
_SENTENCE = re.compile(r"(?:⚠️ )?[A-Z{_(].* .*\w[\w)`]*[.!]$", re.DOTALL)


@cache
def page() -> str:
    return " ".join((ROOT / "docs" / "troubleshooting.md").read_text().split())


@cache
def tree(module: Path) -> ast.Module:
    return ast.parse(module.read_text())


def is_quoted(text: str) -> bool:
    """Whether a code span or a quotation of the page is `text`, or begins like it where that is long."""
    part = text[:COMPARED]
    ends = ("`", '"') if len(text) <= COMPARED else ("",)
    return any(f"{begin}{part}{end}" in page() for begin in ("`", '"') for end in ends)


def spelled(node: ast.expr) -> str | None:
    """The text of a literal, with `...` for what is filled in; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return " ".join(node.value.split())
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "..." for part in node.values)
        return re.sub(r"(\.\.\.){2,}", "...", " ".join("".join(map(str, parts)).split()))
    return None


def texts(node: ast.expr, module: Path, scope: ast.AST) -> Iterator[str]:
    """The texts that an expression of the function `scope` may be.

    A name stands for what is assigned or passed to it, or what a loop takes from a function of the module.
    """
    text = spelled(node)
    if text is not None:
        yield text
    elif isinstance(node, ast.IfExp):
        yield from texts(node.body, module, scope)
        yield from texts(node.orelse, module, scope)
    elif isinstance(node, ast.Name):
        for found in ast.walk(scope):
            match found:
                case ast.Assign(targets=[ast.Name(id=node.id)], value=value):
                    yield from texts(value, module, scope)
                case ast.For(target=target, iter=ast.Call(func=ast.Attribute(attr=maker))) if node.id in names(target):
                    yield from made_by(maker, module)
        if isinstance(scope, ast.FunctionDef) and node.id in (passed := [each.arg for each in scope.args.args]):
            at = passed.index(node.id) - passed.count("self")
            for call, caller in calls(module):
                if isinstance(call.func, ast.Attribute) and call.func.attr == scope.name:
                    yield from texts(call.args[at], module, caller)


def names(node: ast.AST) -> list[str]:
    return [each.id for each in ast.walk(node) if isinstance(each, ast.Name)]


def made_by(function: str, module: Path) -> Iterator[str]:
    """The literals of a function that read like lines of the log."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            inner = {id(part) for each in ast.walk(node) if isinstance(each, ast.JoinedStr) for part in each.values}
            docs = ast.get_docstring(node, clean=False)
            for each in ast.walk(node):
                text = spelled(each) if isinstance(each, ast.expr) and id(each) not in inner else None
                if text and _LINE.match(text) and text != docs:
                    yield text


@cache
def calls(module: Path) -> list[tuple[ast.Call, ast.AST]]:
    """Every call with the function that it is in, or the module."""
    found: list[tuple[ast.Call, ast.AST]] = []
    left: list[tuple[ast.AST, ast.AST]] = [(tree(module), tree(module))]
    while left:
        node, scope = left.pop()
        if isinstance(node, ast.Call):
            found.append((node, scope))
        inner = node if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else scope
        left += [(child, inner) for child in ast.iter_child_nodes(node)]
    return found


def modules(pattern: str) -> list[Path]:
    """The modules in which the pattern is found, so that only these are parsed."""
    return [module for module in sorted(PACKAGE.rglob("*.py")) if re.search(pattern, module.read_text())]


def is_logger(node: ast.expr) -> bool:
    """`log`, or a logger that is made on the spot."""
    return ast.unparse(node) == "log" or ast.unparse(node).startswith("get_logger(")


def is_level(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in LEVELS and is_logger(node.value)


@cache
def log_lines() -> list[tuple[str, str]]:
    """Every warning and error of the log: its module and its text."""
    found: set[tuple[str, str]] = set()
    for module in modules(rf"(\blog|get_logger\(.*\))\.({'|'.join(LEVELS)})\b"):
        # A level that is chosen first: `level = log.warning if ... else log.info`.
        chosen = {
            node.targets[0].id
            for node in ast.walk(tree(module))
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
            if isinstance(node.value, ast.IfExp) and (is_level(node.value.body) or is_level(node.value.orelse))
        }
        name = str(module.relative_to(PACKAGE))
        for call, scope in calls(module):
            if is_level(call.func) or (isinstance(call.func, ast.Name) and call.func.id in chosen):
                lines = list(texts(call.args[0], module, scope))
                if not lines and (name, ast.unparse(call.args[0])) not in UNQUOTED:
                    raise AssertionError(f"{name}:{call.lineno}: no text of this line of the log was found")
                found.update((name, line) for line in lines)
    return sorted(found)


def sentences() -> list[tuple[str, str]]:
    """What the modules of SENTENCES have people read."""
    found = []
    for name in SENTENCES:
        module = tree(PACKAGE / name)
        strings = (node for node in ast.walk(module) if isinstance(node, ast.Expr) and spelled(node.value) is not None)
        docs = {spelled(node.value) for node in strings}
        inner = {id(part) for node in ast.walk(module) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(module):
            text = spelled(node) if isinstance(node, ast.expr) and id(node) not in inner else None
            if text and text not in docs and _SENTENCE.match(text):
                found.append((name, text))
    return found


def endings() -> list[tuple[str, str]]:
    """What is raised with the errors of ENDING, and its module."""
    found = []
    for module in modules(rf"\b({'|'.join(ENDING)})\("):
        for call, scope in calls(module):
            if isinstance(call.func, ast.Name) and call.func.id in ENDING and call.args:
                name = str(module.relative_to(PACKAGE))
                found += [(name, text) for text in texts(call.args[0], module, scope) if says_something(text)]
    return found


def says_something(text: str) -> bool:
    """Whether it has words of its own, and no defect alone leads to it."""
    return len(re.findall(r"[a-z]{2,}", text)) > 2 and text not in DEFECTS


def test_they_are_found() -> None:
    """The search finds lines of every form: plain, chosen, passed on, made by a function."""
    lines = {line for _, line in log_lines()}
    assert len(lines) > 100
    assert {
        "connection lost",
        "turn ended",
        "a defect; trying again",
        "mattermost: interaction refused: ...",
        "the model refuses ... in messages: left out from now on",
        "the gateway crashed; please report it",
    } <= lines
    assert len(sentences()) > 30
    assert len(endings()) > 20


@pytest.mark.parametrize("found", [log_lines, sentences, endings], ids=["log", "chat", "commands"])
def test_the_page_has_them(found: Callable[[], list[tuple[str, str]]]) -> None:
    """Each stands on the page as it appears, `...` for what is filled in."""
    assert [f"{module}: {text}" for module, text in found() if not is_quoted(text)] == []


def test_the_page_has_every_exit_code() -> None:
    """Codes by which a service manager or a script acts."""
    codes = [value for name, value in vars(exits).items() if name.startswith("EX_")]
    assert [code for code in codes if f"| {code} |" not in page()] == []
