"""Which part of a conversation fits a token budget: the oldest goes first, and nothing that would make no sense alone.

A tool call never loses its result, nor a result its call; the newest user message always stays. Counting is an
estimate, as no tokenizer fits every model. Storing and sending the conversation is not its business.
"""

from collections.abc import Sequence

from attrs import frozen

USER = "user"
ASSISTANT = "assistant"
TOOL = "tool"

# Role, separators and ids around each entry, in the chat formats whose overhead is documented (3 to 7).
_PER_ENTRY = 5


@frozen
class Entry:
    """One entry: `role` is user, assistant or tool; `tool_calls` is the JSON of an assistant's calls or empty.

    `tokens` 0 means not counted yet; images and other parts are for the caller to count in.
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
    """About how many tokens: a quarter of the UTF-8 bytes, which is fair to English and cautious elsewhere."""
    return (len(text.encode("utf-8", "replace")) + 3) // 4


def kept(entries: Sequence[Entry], budget: int) -> tuple[int, ...]:
    """Indexes, ascending, of the entries that fit into `budget` tokens.

    The newest user message is kept even if it alone is too long; what came after it (the exchange of an interrupted
    turn) is kept next, newest first, then the past. The past that is kept begins with a user message.
    """
    groups = _groups(entries)
    asked = next((at for at in range(len(groups) - 1, -1, -1) if entries[groups[at][0]].role == USER), None)
    left = budget - (_cost(entries, groups[asked]) if asked is not None else 0)
    chosen = [] if asked is None else [asked]
    behind = len(groups) if asked is None else asked
    for at in range(len(groups) - 1, -1, -1):
        if at == asked:
            continue
        left -= _cost(entries, groups[at])
        if left < 0:
            break
        chosen.append(at)
    chosen.sort()
    if asked is not None:
        while chosen[0] < behind and entries[groups[chosen[0]][0]].role != USER:
            del chosen[0]
    return tuple(index for at in chosen for index in groups[at])


def _cost(entries: Sequence[Entry], group: tuple[int, ...]) -> int:
    return sum(entries[index].cost for index in group)


def _groups(entries: Sequence[Entry]) -> list[tuple[int, ...]]:
    """Entries that stay or go together: an assistant's calls with the results behind them; orphan results go."""
    groups: list[tuple[int, ...]] = []
    open_call = False
    for index, entry in enumerate(entries):
        if entry.role != TOOL:
            groups.append((index,))
            open_call = bool(entry.tool_calls)
        elif open_call:
            groups[-1] = (*groups[-1], index)
    return groups
