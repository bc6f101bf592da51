"""Collects the errors and warnings of a configuration, so that operators see all of them at once."""

from collections.abc import Iterable

from attrs import field

from oc_trio.classes import frozen
from oc_trio.config.parse import nearest
from oc_trio.errors import Problem


@frozen
class Findings:
    """`problems` stop the start, `warnings` are logged and don't."""

    problems: list[Problem] = field(factory=list)
    warnings: list[Problem] = field(factory=list)

    def error(self, path: str, message: str, hint: str = "") -> None:
        self.problems.append(Problem(path, message, hint))

    def warning(self, path: str, message: str, hint: str = "") -> None:
        self.warnings.append(Problem(path, message, hint))

    def unknown_name(self, path: str, kind: str, name: str, known: Iterable[str], otherwise: str = "") -> None:
        """An error: there is no `kind` of that name. The hint is the nearest of the `known` names, else all of them,
        and what to do `otherwise`.
        """
        names = sorted(known)
        guess = nearest(name, names)
        listed = f"there are: {', '.join(names)}" if names else f"no {kind} is configured"
        hint = f'did you mean "{guess}"?' if guess else f"{listed}{';' if otherwise else ''}"
        self.error(path, f'there is no {kind} "{name}"', f"{hint} else {otherwise}" if otherwise else hint)
