"""The keys of a Mattermost account for how answers are posted: threads, chunks, prefixes, notifications."""

from oc_trio.classes import frozen
from oc_trio.config.fields import key, section
from oc_trio.core.final_plan import Notify
from oc_trio.core.routing import ReplyToMode
from oc_trio.core.tables import TableMode


@frozen
class ReplyToByChatType:
    """`replyToModeByChatType`."""

    direct: ReplyToMode = key(ReplyToMode.OFF, "Direct messages.")
    group: ReplyToMode | None = key(None, "Private channels and group messages; unset means `replyToMode`.")
    channel: ReplyToMode | None = key(None, "Public channels; unset means `replyToMode`.")


@frozen
class Markdown:
    """`markdown`."""

    tables: TableMode = key(
        TableMode.OFF, "Tables go out as they are, as bullets, or as code.", also={"block": TableMode.CODE}
    )


@frozen
class DeliverySettings:
    """How answers are posted."""

    reply_to_mode: ReplyToMode = key(
        ReplyToMode.OFF,
        "`off`: answer in a thread only where there is one. The others: a thread under each top-level post, "
        "with a session of its own.",
    )
    reply_to_mode_by_chat_type: ReplyToByChatType = section(ReplyToByChatType, "Exceptions by kind of conversation.")
    # The maximum is Mattermost's own limit for a message.
    text_chunk_limit: int = key(
        4000, "Characters per post; longer replies continue in further posts.", minimum=1, maximum=16_383
    )
    # These two bound what a model that repeats itself can write into a channel.
    max_answer_chars: int = key(
        100_000, "Characters of one answer; a longer one is cut there and says so.", minimum=100, maximum=10_000_000
    )
    max_answer_posts: int = key(
        30, "Posts that one turn may leave; a longer answer is cut there and says so.", minimum=1, maximum=1000
    )
    markdown: Markdown = section(Markdown, "Markdown details.")
    response_prefix: str = key(
        "", 'Put before each answer; `"auto"` is the agent\'s name in brackets. Default: `messages.responsePrefix`.'
    )
    notify: Notify = key(
        Notify.DRAFT, "Edits notify nobody in Mattermost: notify with the draft, with a fresh final post, or with both."
    )
    # Off, because a person who may not notify the whole channel could ask the bot to do it.
    allow_channel_mentions: bool = key(False, "Let the model's `@channel`, `@all` and `@here` notify people.")
