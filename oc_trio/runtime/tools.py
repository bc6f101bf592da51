"""The tools of a turn: the message tool, the skills, the MCP servers'; held to the agent's rules."""

from collections.abc import Callable, Mapping, Sequence

from attrs import define, field

from oc_trio.agent.port import Toolbox
from oc_trio.agent.toolbox import SEPARATOR, Approve, LocalTools, RuledToolbox, ToolPolicy
from oc_trio.config.agents import ToolRules
from oc_trio.core.inbound import InboundMessage
from oc_trio.runtime.mcp_servers import ToolServers
from oc_trio.runtime.message_tool import MessageTool
from oc_trio.runtime.skills import SkillBook

BUTTONS_HINT = (
    "You can offer clickable buttons with the tool message: action send, a message, and buttons as rows of objects "
    "with text, callback_data and style (default, primary or danger). A click comes back to you as a message."
)


@define(eq=False)
class ToolBench:
    """One account's tools. `approval` makes who is asked for a turn's calls: without it, calls that need approval are
    denied.
    """

    message: MessageTool
    servers: ToolServers = field(factory=ToolServers)
    skills: SkillBook = SkillBook()
    approval: Callable[[InboundMessage], Approve] | None = None

    def for_turn(self, here: InboundMessage, rules: ToolRules, skills: Sequence[str] | None = None) -> Toolbox:
        """What the agent that answers `here` may use; `skills` are those it is offered, None for all."""
        book = self.skills.only(skills)
        local = [self.message.tool(here), *([book.tool()] if book.skills else [])]
        boxes: Mapping[str, Toolbox] = {"": LocalTools(local), **self.servers.boxes}
        approve = self.approval(here) if self.approval is not None else None
        return RuledToolbox(boxes, policy_of(rules, self.servers), approve)

    def prompt(self, skills: Sequence[str] | None = None) -> str:
        """What the system prompt says of the tools; empty where they explain themselves."""
        hint = BUTTONS_HINT if self.message.powers.buttons else ""
        return "\n\n".join(part for part in (self.skills.only(skills).prompt(), hint) if part)


def policy_of(rules: ToolRules, servers: ToolServers) -> ToolPolicy:
    """The operator's rules; `files.*` and `files__*` both mean the tools of the server `files`."""
    return ToolPolicy(
        allow=_spelled(rules.allow),
        deny=_spelled(rules.deny),
        approve=(*_spelled(rules.approve), *servers.approve),
        limits=servers.limits,
    )


def _spelled(patterns: tuple[str, ...]) -> tuple[str, ...]:
    # Model APIs take no dot in a tool's name, so a dot can only part the server from its tool.
    return tuple(pattern.replace(".", SEPARATOR, 1) for pattern in patterns)
