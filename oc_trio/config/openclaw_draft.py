"""A copy of an openclaw.json that is being rewritten in oc-trio's terms, with what is noted on the way."""

from collections.abc import Iterator
from typing import Any, TypeVar

from attrs import field, frozen

from oc_trio.config.findings import Findings
from oc_trio.config.parse import join, kind_of

T = TypeVar("T", dict[str, Any], list[Any], str)
_KINDS: dict[type, str] = {dict: "a table", list: "a list", str: "text"}


@frozen
class OpenClawDraft:
    """`values` is changed in place; `written` maps each new path to the one in the file."""

    values: dict[str, Any]
    found: Findings
    written: dict[str, str] = field(factory=dict)

    def table(self, *names: str) -> dict[str, Any]:
        """The table at that path; an empty one, not part of the document, where there is none."""
        table: Any = self.values
        for name in names:
            table = table.get(name) if isinstance(table, dict) else None
        return table if isinstance(table, dict) else {}

    def made(self, *names: str) -> dict[str, Any]:
        """The table at that path, made where there is none; for paths that hold tables only."""
        table = self.values
        for name in names:
            if not isinstance(table.get(name), dict):
                table[name] = {}
            table = table[name]
        return table

    def agents(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """`agents.defaults` and each entry, with their paths."""
        defaults = self.table("agents", "defaults")
        if defaults:
            yield "agents.defaults", defaults
        for name, entry in self.table("agents", "entries").items():
            if isinstance(entry, dict):
                yield join("agents.entries", name), entry

    def rename(self, table: dict[str, Any], path: str, old: str, new: str) -> None:
        """Move a key within its table, unless the new one is there."""
        if old in table:
            value = table.pop(old)
            if new not in table:
                table[new] = value
                self.written[join(path, new)] = join(path, old)

    def of_kind(self, value: Any, kind: type[T], path: str) -> T | None:
        """A value that was taken out of the document, None where there is none; one of another kind is a problem."""
        if value is None or isinstance(value, kind):
            return value
        self.found.wrong(path, f"must be {_KINDS[kind]}, not {kind_of(value)}")
        return None

    def odd(self, path: str, message: str, hint: str = "") -> None:
        """A setting that is taken over, but not to the letter."""
        self.found.odd(path, message, hint)
