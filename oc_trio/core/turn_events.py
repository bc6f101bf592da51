"""What an agent says and does during one turn, as frozen values; `oc_trio.agent.port` streams them.

A turn's stream is any number of the events below and ends with exactly one `Final` or `Failed`.
Text deltas are increments; `Final.text` is the whole visible reply and wins over what was streamed.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from attrs import field, frozen


@frozen
class Thinking:
    """An increment of reasoning; never part of the visible reply. Empty text means: it is thinking now."""

    text: str = ""


@frozen
class TextDelta:
    """An increment of the visible reply."""

    text: str


@frozen
class Opaque:
    """Fields of an answer that asked for tools which its provider wants back unchanged, and nobody else may get.

    `provider` names the API and address; `batch` is the id of the answer's first call. `message` are fields of the
    whole answer (on its first call), `call` those of the call itself.
    """

    provider: str = ""
    batch: str = ""
    message: Mapping[str, Any] = field(factory=dict, hash=False, repr=False)
    call: Mapping[str, Any] = field(factory=dict, hash=False, repr=False)


NOTHING_OPAQUE = Opaque()


@frozen
class ToolStarted:
    """A tool call begins. `arguments` are what the model gave; `detail` is one short line for people."""

    call_id: str
    name: str
    arguments: Mapping[str, Any] = field(factory=dict, hash=False)
    detail: str = ""
    opaque: Opaque = field(default=NOTHING_OPAQUE, eq=False, repr=False)


class ToolStatus(Enum):
    """How a tool call ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    DENIED = "denied"


@frozen
class ToolEnded:
    """A tool call ended; `result` is what the model gets to read."""

    call_id: str
    name: str
    status: ToolStatus
    result: str = ""
    detail: str = ""


@frozen
class PlanStep:
    """A line of the agent's plan: `state` is pending, active or done."""

    text: str
    state: str = "pending"


@frozen
class PlanUpdated:
    """The agent's checklist, whole, each time it changes; empty clears it."""

    steps: tuple[PlanStep, ...]


@frozen
class Headline:
    """One line that says what the agent is about to do (a preamble before tool calls)."""

    text: str


@frozen
class Media:
    """A file that belongs to the reply: a local `path`, or a `url` for the SSRF guard to judge."""

    path: str = ""
    url: str = ""
    name: str = ""
    mime: str = ""


@frozen
class Button:
    """A choice offered to the reader. `value` comes back as callback data; `url` makes it a link in the text."""

    label: str
    value: str = ""
    url: str = ""
    style: str = "default"
    id: str = ""


@frozen
class Usage:
    """Tokens counted by the model's server for this turn, estimated where the answer was cut; 0 where unknown."""

    input_tokens: int = 0
    output_tokens: int = 0
    model: str = ""


@frozen
class Final:
    """The whole visible reply. Empty text without media or buttons means: deliberately nothing to say.

    `silent_reason` says why in that case, for `oc-trio explain`.
    """

    text: str
    media: tuple[Media, ...] = ()
    buttons: tuple[tuple[Button, ...], ...] = ()
    usage: Usage = Usage()
    silent_reason: str = ""


@frozen
class Failed:
    """The turn can't be answered: `for_user` is one honest sentence, `for_operator` the log line.

    `retryable` says that asking again later may help. It is information only: a turn that has failed with this event is
    not run again. What is to be asked again, or of the next model, raises `AgentUnavailable` before its first event.
    """

    for_user: str
    for_operator: str
    retryable: bool = False


AgentEvent = Thinking | TextDelta | ToolStarted | ToolEnded | PlanUpdated | Headline | Final | Failed
