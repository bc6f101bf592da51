"""The keys of a Mattermost account for how a reply is shown while it grows: the table `streaming`."""

from oc_trio.classes import frozen
from oc_trio.config.fields import key, section
from oc_trio.core.chunking import ChunkMode
from oc_trio.core.draft_view import StreamMode
from oc_trio.core.tool_rows import CommandText


@frozen
class Coalesce:
    """`streaming.block.coalesce`; `idle` in seconds."""

    # OpenClaw's defaults for Mattermost, this and `idle`.
    min_chars: int = key(1500, "Join completed blocks until they have this many characters.", minimum=1)
    max_chars: int | None = key(None, "Never join to more than this; unset means `textChunkLimit`.", minimum=1)
    idle: float = key(
        1.0, "Send what has been joined after this pause.", name="idleMs", scale=0.001, minimum=0, maximum=60_000
    )


@frozen
class BlockStreaming:
    """`streaming.block`."""

    enabled: bool = key(False, "With `mode` `off`: send each completed block as a post of its own.")
    coalesce: Coalesce = section(Coalesce, "How small blocks are joined.")


@frozen
class PreviewStreaming:
    """`streaming.preview`."""

    tool_progress: bool = key(True, "Show tool activity in the draft (modes `partial` and `block`).")
    command_text: CommandText = key(CommandText.STATUS, "Show the text of shell commands, or only their status.")
    min_chars: int = key(0, "Create the draft once this many characters are there; 0 means at once.", minimum=0)


@frozen
class ProgressStreaming:
    """`streaming.progress`."""

    label: str | None = key(
        None, "First line of the draft; `false` hides it, unset takes one of `labels`.", also={False: ""}
    )
    labels: tuple[str, ...] = key(("Working",), "Labels to choose from, the same one for the same channel.")
    max_lines: int = key(8, "Tool rows shown.", minimum=1, maximum=100)
    max_line_chars: int = key(120, "Characters per tool row.", minimum=1, maximum=1000)
    tool_progress: bool | None = key(None, "Show tool rows in mode `progress`; unset means no.")
    command_text: CommandText | None = key(None, "As in `preview`, and wins over it in every mode.")


@frozen
class Streaming:
    """`streaming`; `throttle` in seconds."""

    mode: StreamMode = key(
        StreamMode.PARTIAL,
        "`partial`: one post grows and is finished in place. `block`: completed text and tool blocks stay as posts. "
        "`progress`: a status post, then the answer. `off`: only the answer.",
    )
    chunk_mode: ChunkMode = key(
        ChunkMode.LENGTH, "Cut a long reply at the limit, or between paragraphs where possible."
    )
    # OpenClaw's nominal interval.
    throttle: float = key(
        1.2,
        "Least time between two edits of a draft; it grows by itself with load.",
        name="throttleMs",
        scale=0.001,
        minimum=100,
        maximum=60_000,
    )
    # Mattermost stores every version of an edited post; 200 are four minutes at the usual interval.
    max_edits: int = key(200, "Edits per draft, the final one not counted.", minimum=1, maximum=10_000)
    preview: PreviewStreaming = section(PreviewStreaming, "The draft post.")
    progress: ProgressStreaming = section(ProgressStreaming, "The status post of mode `progress`.")
    block: BlockStreaming = section(BlockStreaming, "Blocks as posts, without a draft.")
