"""A copy of an openclaw.json while it is converted to oc-trio's form, with the findings of the conversion."""

from collections.abc import Iterator
from typing import Any, TypeVar

from attrs import field

from oc_trio.classes import frozen
from oc_trio.config.findings import Findings
from oc_trio.config.parse import join, kind_of

T = TypeVar("T", dict[str, Any], list[Any], str)
_KINDS: dict[type, str] = {dict: "a table", list: "a list", str: "text"}


@frozen
class OpenClawDraft:
    """`values` is changed in place; `original_paths` maps each new path to the one in the file."""

    values: dict[str, Any]
    findings: Findings
    original_paths: dict[str, str] = field(factory=dict)

    def table(self, *names: str) -> dict[str, Any]:
        """The table at that path. If there is none, an empty one that is not part of the document."""
        table: Any = self.values
        for name in names:
            table = table.get(name) if isinstance(table, dict) else None
        return table if isinstance(table, dict) else {}

    def ensure_table(self, *names: str) -> dict[str, Any]:
        """The table at that path, created if there is none. Whatever else is on the way is replaced by a table."""
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
        """Renames a key of a table. If the new one exists, it is kept and the old one dropped."""
        if old in table:
            value = table.pop(old)
            if new not in table:
                table[new] = value
                self.original_paths[join(path, new)] = join(path, old)

    def of_kind(self, value: Any, kind: type[T], path: str) -> T | None:
        """The value if it is of that kind, else None; adds an error if it is of another kind."""
        if value is None or isinstance(value, kind):
            return value
        self.findings.error(path, f"must be {_KINDS[kind]}, not {kind_of(value)}")
        return None

    def error(self, path: str, message: str, hint: str = "") -> None:
        self.findings.error(path, message, hint)

    def warning(self, path: str, message: str, hint: str = "") -> None:
        """For a setting that is translated, but does not mean exactly the same here."""
        self.findings.warning(path, message, hint)
