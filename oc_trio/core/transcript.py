"""Selects the part of a conversation that fits into a token budget, dropping the oldest entries first.

A tool call and its results are kept or dropped together, and the newest user message is always kept. Tokens are
estimated, because no tokenizer fits every model.
"""

from collections.abc import Sequence

from oc_trio.classes import frozen

USER = "user"
ASSISTANT = "assistant"
TOOL = "tool"

# Tokens for role, separators and ids of an entry; 3 to 7 in the chat formats that document it.
_PER_ENTRY = 5


@frozen
class TranscriptEntry:
    """One entry: `role` is user, assistant or tool; `tool_calls` is the JSON of an assistant's calls or empty.

    `tokens` 0 means: estimate from the text. The caller must set it to count images and other parts.
    """

    role: str
    text: str = ""
    tool_calls: str = ""
    tool_call_id: str = ""
    tokens: int = 0

    @property
    def cost(self) -> int:
        return self.tokens or estimate(self.text) + estimate(self.tool_calls) + _PER_ENTRY


def estimate(text: str) -> int:
    """Estimated tokens: a quarter of the UTF-8 bytes, about right for English and too high for other languages."""
    return (len(text.encode("utf-8", "replace")) + 3) // 4


def entries_within_budget(entries: Sequence[TranscriptEntry], budget: int) -> tuple[int, ...]:
    """The indexes, in order, of the entries that fit into `budget` tokens.

    The newest user message is kept even if it alone is too long; then entries after it (of an interrupted turn), newest
    first, then earlier ones, newest first. The earlier entries that are kept begin with a user message.
    """
    groups = _groups(entries)
    question = next((at for at in range(len(groups) - 1, -1, -1) if entries[groups[at][0]].role == USER), None)
    left = budget - (_cost(entries, groups[question]) if question is not None else 0)
    chosen = [] if question is None else [question]
    end = len(groups) if question is None else question
    for at in range(len(groups) - 1, -1, -1):
        if at == question:
            continue
        # Stop at the first group that does not fit, so that the kept part has no gaps.
        left -= _cost(entries, groups[at])
        if left < 0:
            break
        chosen.append(at)
    chosen.sort()
    if question is not None:
        while chosen[0] < end and entries[groups[chosen[0]][0]].role != USER:
            del chosen[0]
    return tuple(index for at in chosen for index in groups[at])


def _cost(entries: Sequence[TranscriptEntry], group: tuple[int, ...]) -> int:
    return sum(entries[index].cost for index in group)


def _groups(entries: Sequence[TranscriptEntry]) -> list[tuple[int, ...]]:
    """Groups that are kept or dropped together: an assistant's calls with their results. Drops orphaned results."""
    groups: list[tuple[int, ...]] = []
    open_call = False
    for index, entry in enumerate(entries):
        if entry.role != TOOL:
            groups.append((index,))
            open_call = bool(entry.tool_calls)
        elif open_call:
            groups[-1] = (*groups[-1], index)
    return groups
