"""Builds the parts of an agent's request: system prompt, user message with its context, images, and tools."""

from collections.abc import Sequence

from attrs import evolve

from oc_trio.agent.image_bounds import ImageBounds
from oc_trio.agent.port import Message, Toolbox
from oc_trio.core.inbound import InboundMessage
from oc_trio.runtime.agents import AgentSetup
from oc_trio.runtime.local_time import time_line
from oc_trio.runtime.services import AccountServices
from oc_trio.runtime.tools.asker_places import Asked
from oc_trio.runtime.tools.post_names import PostNames
from oc_trio.runtime.turn.services import TurnServices


def system_prompt(services: AccountServices, turns: TurnServices, setup: AgentSetup) -> str:
    """The agent's own prompt, its tools' part, and the time: last, so that all before it stays cached."""
    tools = turns.tools.prompt(setup.skills) if turns.tools is not None and setup.takes_tools else ""
    parts = (setup.system_prompt, tools, time_line(services.clock.now_ms(), setup.timezone))
    return "\n\n".join(part for part in parts if part)


async def question(
    services: AccountServices,
    turns: TurnServices,
    messages: Sequence[InboundMessage],
    *,
    has_history: bool,
    dropped: Sequence[str] = (),
    image_bounds: ImageBounds | None = None,
) -> Message:
    """The user message: the messages to be answered, with their context and files.

    `dropped` are messages that did not fit into the queue, a line each; without `image_bounds` the model takes no
    images. Raises MattermostError, StoreError.
    """
    reader = turns.reader(image_bounds) if turns.reader is not None else None
    return await services.context.build_prompt(messages, has_history=has_history, dropped=dropped, reader=reader)


async def with_images(
    turns: TurnServices, messages: Sequence[Message], *, current: int, image_bounds: ImageBounds | None
) -> tuple[Message, ...]:
    """A conversation with its images, of which the transcript holds only ids. The last `current` messages are the
    turn's own.
    """
    if turns.reader is None or not any(message.images for message in messages):
        return tuple(evolve(message, images=()) for message in messages)
    return await turns.reader(image_bounds).reload_images(messages, current)


def toolbox(turns: TurnServices, here: InboundMessage, setup: AgentSetup, asked: Asked, names: PostNames) -> Toolbox:
    """The tools of the turn that runs where `here` was written and answers what `asked` gives; `names` are those of
    its posts.
    """
    if turns.tools is None:
        return setup.tools
    return turns.tools.for_turn(here, setup.rules, setup.skills, asked=asked, names=names)
