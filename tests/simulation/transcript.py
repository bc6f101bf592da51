"""The readable transcript of a run: who did what when. Two equal runs have equal transcripts."""

import trio
from attrs import define, field


@define(eq=False)
class RunTranscript:
    """Lines of time, actor and action, in order. `is_detailed` also keeps what happens inside (requests, logs)."""

    is_detailed: bool = False
    lines: list[str] = field(factory=list)
    errors: list[str] = field(factory=list)

    def note(self, actor: str, action: str) -> None:
        self.lines.append(f"{trio.current_time():9.3f}  {actor:<10} {action}")

    def detail(self, actor: str, action: str) -> None:
        if self.is_detailed:
            self.note(actor, action)

    def error(self, actor: str, action: str) -> None:
        """Something that must never happen in a sound run."""
        self.errors.append(action)
        self.note(actor, f"ERROR {action}")

    def __str__(self) -> str:
        return "\n".join(self.lines)
