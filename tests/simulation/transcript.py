"""The readable transcript of a run: who did what when. Owns no meaning: two equal runs write equal chronicles."""

import trio
from attrs import define, field


@define(eq=False)
class RunTranscript:
    """Lines of time, actor and deed, in order. `is_detailed` also keeps what happens inside (requests, logs)."""

    is_detailed: bool = False
    lines: list[str] = field(factory=list)
    errors: list[str] = field(factory=list)

    def tell(self, actor: str, deed: str) -> None:
        self.lines.append(f"{trio.current_time():9.3f}  {actor:<10} {deed}")

    def detail(self, actor: str, deed: str) -> None:
        if self.is_detailed:
            self.tell(actor, deed)

    def error(self, actor: str, deed: str) -> None:
        """Something that must never happen in a sound run."""
        self.errors.append(deed)
        self.tell(actor, f"ERROR {deed}")

    def __str__(self) -> str:
        return "\n".join(self.lines)
