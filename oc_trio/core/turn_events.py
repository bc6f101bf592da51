"""The events of an agent during one turn, as frozen values; `oc_trio.agent.port` streams them.

A stream has any number of events and ends with exactly one `Final` or `Failed`. Text deltas are increments;
`Final.text` is the complete visible reply and replaces what was streamed.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from attrs import field

from oc_trio.classes import frozen


@frozen
class Thinking:
    """An increment of reasoning, which is never part of the visible reply. Empty text: the model is reasoning now."""

    text: str = ""


@frozen
class TextDelta:
    """An increment of the visible reply."""

    text: str


@frozen
class Opaque:
    """Provider-specific fields of a response with tool calls, which must be sent back unchanged, to that provider only.

    `provider` names the API and address; `batch` is the id of the response's first call. `message` holds fields of the
    whole response (on its first call), `call` those of the call itself.
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
    """A tool call ended; `result` is the text for the model."""

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
    """The agent's complete checklist, each time it changes; empty removes it."""

    steps: tuple[PlanStep, ...]


@frozen
class Headline:
    """One line about what the agent does next (a preamble before tool calls)."""

    text: str


@frozen
class Media:
    """A file of the reply: a local `path`, or a `url`, which the SSRF guard checks."""

    path: str = ""
    url: str = ""
    name: str = ""
    mime: str = ""


@frozen
class Button:
    """A button of the reply. `value` comes back as callback data; with `url` it becomes a link in the text."""

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
    """The complete visible reply. Empty text without media or buttons: the agent deliberately says nothing.

    `silent_reason` says why then, for `oc-trio explain`.
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
