"""Joins completed blocks into posts of a fair size, for a turn without preview (`streaming.block`).

Blocks wait until there is enough for a post and the agent pauses, or until there is more than one post holds. The
end of the turn flushes whatever is left. Time comes in as seconds of any steady clock.
"""

from attrs import evolve, field, frozen

from oc_trio.core.chunking import DEFAULT_LIMIT, ChunkMode, chunk


@frozen
class CoalesceRules:
    """`streaming.block.coalesce`: characters, and seconds of silence after which enough text goes out."""

    min_chars: int = 1_500
    max_chars: int = DEFAULT_LIMIT
    idle: float = 1.0
    chunk_mode: ChunkMode = ChunkMode.LENGTH


@frozen
class Waiting:
    """Blocks joined and not sent yet; `last_at` is when the newest came."""

    text: str = field(default="", repr=lambda text: f"<{len(text)} characters>")
    last_at: float = 0.0


def with_block(waiting: Waiting, block: str, now: float, rules: CoalesceRules) -> tuple[Waiting, tuple[str, ...]]:
    """What waits after `block`, and the posts that are full."""
    block = block.strip("\n").rstrip()
    if not block:
        return waiting, ()
    text = f"{waiting.text}\n\n{block}" if waiting.text else block
    if len(text) <= rules.max_chars:
        return Waiting(text, now), ()
    if waiting.text and len(waiting.text) >= rules.min_chars:
        # A post of whole blocks reads better than one that ends amid the newest.
        later, posts = with_block(Waiting(), block, now, rules)
        return later, (waiting.text, *posts)
    *full, rest = chunk(text, rules.max_chars, rules.chunk_mode)
    return Waiting(rest, now), tuple(full)


def due_at(waiting: Waiting, rules: CoalesceRules) -> float | None:
    """When what waits is to be sent if nothing more comes; None while it is too little."""
    return waiting.last_at + rules.idle if len(waiting.text) >= rules.min_chars else None


def after_silence(waiting: Waiting, now: float, rules: CoalesceRules) -> tuple[Waiting, tuple[str, ...]]:
    """Sends what waits if its time has come."""
    at = due_at(waiting, rules)
    return (waiting, ()) if at is None or now < at else flush(waiting)


def flush(waiting: Waiting) -> tuple[Waiting, tuple[str, ...]]:
    """Sends what waits, however little; for the end of a turn."""
    return evolve(waiting, text=""), (waiting.text,) if waiting.text else ()
