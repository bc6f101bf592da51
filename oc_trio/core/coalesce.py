"""Joins completed paragraphs into posts of a reasonable size, for a turn without draft (`streaming.block.enabled`).

Text is held until there is enough for a post and the agent pauses, or until there is more than fits into one post. The
end of the turn flushes the rest. Times are seconds of any monotonic clock.
"""

from attrs import evolve, field

from oc_trio.classes import frozen
from oc_trio.core.chunking import DEFAULT_LIMIT, ChunkMode, chunk


@frozen
class CoalesceRules:
    """`streaming.block.coalesce`: lengths in characters; `idle`: seconds of pause after which the text is sent."""

    # OpenClaw's defaults for Mattermost, the pause too.
    min_chars: int = 1_500
    max_chars: int = DEFAULT_LIMIT
    idle: float = 1.0
    chunk_mode: ChunkMode = ChunkMode.LENGTH


@frozen
class PendingText:
    """Text joined and not sent yet; `last_at` is when the newest block arrived."""

    text: str = field(default="", repr=lambda text: f"<{len(text)} characters>")
    last_at: float = 0.0


def with_block(
    pending: PendingText, block: str, now: float, rules: CoalesceRules
) -> tuple[PendingText, tuple[str, ...]]:
    """The pending text after `block`, and the posts that are ready."""
    block = block.strip("\n").rstrip()
    if not block:
        return pending, ()
    text = f"{pending.text}\n\n{block}" if pending.text else block
    if len(text) <= rules.max_chars:
        return PendingText(text, now), ()
    if pending.text and len(pending.text) >= rules.min_chars:
        # Send whole blocks first: that reads better than a post that ends inside the newest block.
        later, posts = with_block(PendingText(), block, now, rules)
        return later, (pending.text, *posts)
    *full, rest = chunk(text, rules.max_chars, rules.chunk_mode)
    return PendingText(rest, now), tuple(full)


def due_at(pending: PendingText, rules: CoalesceRules) -> float | None:
    """When the pending text is to be sent if no more comes; None while it is too short."""
    return pending.last_at + rules.idle if len(pending.text) >= rules.min_chars else None


def after_silence(pending: PendingText, now: float, rules: CoalesceRules) -> tuple[PendingText, tuple[str, ...]]:
    """Sends the pending text if it is due."""
    at = due_at(pending, rules)
    return (pending, ()) if at is None or now < at else flush(pending)


def flush(pending: PendingText) -> tuple[PendingText, tuple[str, ...]]:
    """Sends the pending text, however short; for the end of a turn."""
    return evolve(pending, text=""), (pending.text,) if pending.text else ()
