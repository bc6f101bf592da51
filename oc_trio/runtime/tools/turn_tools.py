"""Puts together the tools of a turn: message tool, skills and MCP servers, under the agent's tool rules."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from attrs import evolve, field

from oc_trio.agent.port import Toolbox
from oc_trio.agent.toolbox import SEPARATOR, Approve, LocalTools, RuledToolbox, ToolPolicy
from oc_trio.classes import frozen
from oc_trio.config.agents import ToolRules
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.tool_names import visible_pattern
from oc_trio.runtime.delivery.buttons import PROMPT
from oc_trio.runtime.tools.asker_places import Asked
from oc_trio.runtime.tools.mcp_servers import ToolServers
from oc_trio.runtime.tools.message_tool import MessageTool
from oc_trio.runtime.tools.post_names import PostNames
from oc_trio.runtime.tools.skills import SkillLibrary

# Makes the `Approve` for the turn that answers a message; arguments: that message, the configured `approvers`, and a
# function that gives all messages which the turn answers by then.
Approval = Callable[[InboundMessage, tuple[str, ...], Asked], Approve]


@frozen(eq=False)
class TurnTools:
    """One account's tools. `local` makes further tools for a turn; `approval` makes what asks people about its calls:
    without it, calls that need approval are denied. `limits` are seconds by tool.
    `local` and `approval` count only while `can_ask()`.
    """

    message: MessageTool
    servers: ToolServers = field(factory=ToolServers)
    skills: SkillLibrary = SkillLibrary()
    local: tuple[Callable[[InboundMessage, PostNames], LocalTools], ...] = ()
    limits: Mapping[str, float] = field(factory=dict)
    approval: Approval | None = None
    can_ask: Callable[[], bool] = lambda: True

    def for_turn(
        self,
        here: InboundMessage,
        rules: ToolRules,
        skills: Sequence[str] | None = None,
        *,
        asked: Asked,
        names: PostNames,
    ) -> Toolbox:
        """The tools of the turn that answers `here`, and whatever `asked` gives at the time of a call. `skills` are
        those that the agent is offered, None for all; `names` names what the tools post.
        """
        library = self.skills.only(skills)
        can_ask = self.can_ask()
        own = LocalTools([self.message.tool(here, asked, names), *([library.tool()] if library.skills else [])])
        toolboxes: Mapping[str, Toolbox] = {
            # First, so that no server's tool can take the name of one of these.
            "": LocalTools.joined(own, *(make(here, names) for make in self.local if can_ask)),
            **self.servers.toolboxes,
        }
        approve = self.approval(here, rules.approvers, asked) if self.approval is not None and can_ask else None
        policy = policy_of(rules, self.servers)
        # Built for each turn: who is asked for approval, and where the message tool may write, depend on its messages.
        return RuledToolbox(toolboxes, evolve(policy, limits={**policy.limits, **self.limits}), approve)

    def prompt(self, skills: Sequence[str] | None = None) -> str:
        """What the system prompt says about the tools; empty where their descriptions say enough."""
        hint = PROMPT if self.message.permissions.buttons and self.local and self.can_ask() else ""
        return "\n\n".join(part for part in (self.skills.only(skills).prompt(), hint) if part)


def policy_of(rules: ToolRules, servers: ToolServers) -> ToolPolicy:
    """The operator's rules; `files.*` and `files__*` both mean the tools of the server `files`."""
    return ToolPolicy(
        # Without the visible forms: what is allowed must match as it is written, or more would be offered than was
        # meant.
        allow=_with_separator(rules.allow),
        deny=(*_with_separator(rules.deny), *_visible_forms(rules.deny)),
        approve=(*_with_separator(rules.approve), *_visible_forms(rules.approve), *servers.approve),
        limits=servers.limits,
    )


def _with_separator(patterns: tuple[str, ...]) -> tuple[str, ...]:
    # Model APIs allow no dot in a tool's name, so a dot can only be between a server and its tool.
    return tuple(pattern.replace(".", SEPARATOR, 1) for pattern in patterns)


def _visible_forms(patterns: tuple[str, ...]) -> Iterator[str]:
    """The patterns as models see the names, for each dot that may be between server and tool.

    A rule that forbids something has to match however the name is written; matching more does no harm.
    """
    for pattern in patterns:
        if SEPARATOR in pattern:
            yield visible_pattern(pattern)
        for at in (at for at, char in enumerate(pattern) if char == "."):
            yield f"{visible_pattern(pattern[:at])}{SEPARATOR}{visible_pattern(pattern[at + 1 :])}"
