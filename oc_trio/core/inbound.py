"""An admitted and routed message: the value that an obligation keeps, as JSON, in its payload.

It holds everything that a turn needs after a restart; only attachments are read again. The names of its fields are
in rows of the journal, so they must not change.
"""

import json

from attrs import asdict, evolve
from attrs import fields as fields_of

from oc_trio.classes import frozen
from oc_trio.core.events import ChannelType
from oc_trio.core.ledger import Source
from oc_trio.ids import AccountId, AgentId, ChannelId, FileId, SessionKey, TeamId, UserId

# What the texts of clicks, and of events that a hook tells, begin with; such an event's trigger begins with the last.
CLICK_LABEL, EVENT_LABEL, EVENT_TRIGGER = "[Button click: ", "[Event] ", "hook:wake:"


@frozen
class InboundMessage:
    """`text` has the bot's mention and any trigger prefix removed. `root_id` is the thread the post is in, empty on
    a root; `reply_root` is where the answer goes, empty for the channel itself. `trigger` is the post id, or an id
    made from a click, a slash command or a hook. `create_at` is in milliseconds, `time_limit` in seconds: the longest
    turn that answers it, None for the agent's own.
    """

    account: AccountId
    trigger: str
    source: Source
    channel_id: ChannelId
    channel_type: ChannelType
    user_id: UserId
    user_name: str
    text: str
    session: SessionKey
    agent: AgentId
    reply_root: str = ""
    root_id: str = ""
    post_id: str = ""
    team_id: TeamId = TeamId("")
    file_ids: tuple[FileId, ...] = ()
    create_at: int = 0
    command: str = ""
    time_limit: float | None = None

    @property
    def is_direct(self) -> bool:
        return self.channel_type is ChannelType.DIRECT

    @property
    def is_marked(self) -> bool:
        """Whether the text begins with a label that the gateway wrote: of a click, or of an event that a hook told."""
        is_click = self.source is Source.BUTTON and self.text.startswith(CLICK_LABEL)
        is_event = self.source is Source.HOOK and self.trigger.startswith(EVENT_TRIGGER)
        return is_click or (is_event and self.text.startswith(EVENT_LABEL))

    def with_text(self, text: str) -> "InboundMessage":
        return evolve(self, text=text)

    def to_json(self) -> str:
        fields = asdict(self)
        fields["source"] = self.source.value
        fields["channel_type"] = self.channel_type.value
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "InboundMessage":
        """The inverse of `to_json`; ValueError, KeyError or TypeError on anything else."""
        fields = json.loads(text)
        fields["source"] = Source(fields["source"])
        fields["channel_type"] = ChannelType(fields["channel_type"])
        fields["file_ids"] = tuple(FileId(file_id) for file_id in fields["file_ids"])
        # Ignore fields that only an earlier version had.
        return cls(**{name: value for name, value in fields.items() if name in _FIELDS})


_FIELDS = frozenset(field.name for field in fields_of(InboundMessage))
