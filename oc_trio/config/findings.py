"""What was found wrong or odd in a configuration: one collector for every check."""

from collections.abc import Iterable

from attrs import field, frozen

from oc_trio.config.parse import nearest
from oc_trio.errors import Problem


@frozen
class Findings:
    """Problems and warnings found so far."""

    problems: list[Problem] = field(factory=list)
    warnings: list[Problem] = field(factory=list)

    def wrong(self, path: str, message: str, hint: str = "") -> None:
        self.problems.append(Problem(path, message, hint))

    def odd(self, path: str, message: str, hint: str = "") -> None:
        self.warnings.append(Problem(path, message, hint))

    def unknown(self, path: str, kind: str, name: str, known: Iterable[str], otherwise: str = "") -> None:
        """There is no `kind` of that name: name the nearest, or those there are, and what to do `otherwise`."""
        names = sorted(known)
        guess = nearest(name, names)
        there = f"there are: {', '.join(names)}" if names else f"no {kind} is configured"
        hint = f'did you mean "{guess}"?' if guess else f"{there}{';' if otherwise else ''}"
        self.wrong(path, f'there is no {kind} "{name}"', f"{hint} else {otherwise}" if otherwise else hint)
