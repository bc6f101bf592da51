"""Every configuration key is read by something outside `config/`, found by the type of what it is read from."""

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from mypy.build import build
from mypy.modulefinder import BuildSource
from mypy.nodes import MemberExpr
from mypy.options import Options
from mypy.types import Instance, Type, UnionType, get_proper_type

import oc_trio
from oc_trio.config.accounts import Account
from oc_trio.config.fields import Key, all_keys
from oc_trio.config.mattermost import MattermostSection
from oc_trio.config.model import Config
from oc_trio.config.reference import all_tables, inner_table

PACKAGE = Path(oc_trio.__file__).parent
# What reads the configuration, and what the types of that are made of. Other modules count as untyped.
ANALYZED = ("config", "runtime", "cli", "core", "ids.py", "errors.py")
# Loading puts these into effect: it merges them into other keys, or reads what they name.
USED_BY_LOADING = {
    "agents.defaults.mediaMaxMb",
    "agents.defaults.workspace",
    "agents.entries.<name>.workspace",
    "channels.defaults.contextVisibility",
    "channels.defaults.groupPolicy",
    "channels.mattermost.botTokenFile",
    "channels.mattermost.defaultAccount",
    "channels.mattermost.enabled",
    "gateway.bind",
    "hooks.tokenFile",
    "messages.groupChat.historyLimit",
    "messages.responsePrefix",
    "models.providers.<name>.apiKeyFile",
    "telemetry.otel.enabled",
}
# Their line in the reference says that they mean nothing here, or that there is one value only.
WITHOUT_EFFECT = {
    "accessGroups.<name>.type",
    "channels.defaults.implicitMentions.quotedBot",
    "channels.defaults.implicitMentions.replyToBot",
    "channels.mattermost.configWrites",
    "channels.mattermost.implicitMentions.quotedBot",
    "channels.mattermost.implicitMentions.replyToBot",
}


def declared() -> dict[str, Key]:
    """Every key by its path."""
    return {
        f"{path}.{key.name}": key
        for path, cls, _ in all_tables(Config, "", "")
        for key in all_keys(cls)
        if not inner_table(key)
    }


def analyzed_files() -> Iterator[Path]:
    for name in ANALYZED:
        place = PACKAGE / name
        yield from place.rglob("*.py") if place.is_dir() else (place,)


def read_attributes() -> set[tuple[str, str]]:
    """(class of the configuration, attribute) of every read outside `config/`."""
    options = Options()
    options.export_types, options.preserve_asts, options.ignore_errors = True, True, True
    options.incremental, options.cache_dir, options.follow_imports = False, os.devnull, "skip"
    sources, own_reads = [], set[tuple[int, int, str]]()
    for path in analyzed_files():
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        sources.append(BuildSource(str(path), ".".join(parts).removesuffix(".__init__")))
        if path.is_relative_to(PACKAGE / "config"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            own_reads |= {(e.lineno, e.col_offset, e.attr) for e in ast.walk(tree) if isinstance(e, ast.Attribute)}
    types = build(sources, options).types
    return {
        (base.fullname, node.name)
        for node in types
        # mypy's nodes don't know their file: a read of the same name at the same place in config/ is left out.
        if isinstance(node, MemberExpr) and (node.line, node.column, node.name) not in own_reads
        for owner in _instances(types.get(node.expr))
        for base in owner.type.mro
    }


def _holders(key: Key) -> tuple[type, ...]:
    """The classes that have a key's value: an account has those of its section, with what it inherits."""
    return (key.owner, Account) if issubclass(key.owner, MattermostSection) else (key.owner,)


def _instances(given: Type | None) -> Iterator[Instance]:
    if given is None:
        return
    proper = get_proper_type(given)
    if isinstance(proper, Instance):
        yield proper
    elif isinstance(proper, UnionType):
        for item in proper.items:
            yield from _instances(item)


@pytest.mark.slow
def test_every_key_is_read() -> None:
    """A key that nothing outside `config/` reads has no effect, unless loading uses it or the reference says so."""
    reads = read_attributes()
    unread = {
        path
        for path, key in declared().items()
        if reads.isdisjoint((f"{cls.__module__}.{cls.__qualname__}", key.attribute) for cls in _holders(key))
    }
    assert sorted(unread) == sorted(USED_BY_LOADING | WITHOUT_EFFECT)


@pytest.mark.parametrize("path", sorted(WITHOUT_EFFECT))
def test_what_has_no_effect_says_so(path: str) -> None:
    """The operator reads that in the reference."""
    assert declared()[path].spec.doc.startswith(("Accepted for compatibility", "Always "))
