"""The tools of a turn: the message tool, the skills, the MCP servers'; held to the agent's rules."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from attrs import evolve, field, frozen

from oc_trio.agent.port import Toolbox
from oc_trio.agent.toolbox import SEPARATOR, Approve, LocalTools, RuledToolbox, ToolPolicy
from oc_trio.config.agents import ToolRules
from oc_trio.core.inbound import InboundMessage
from oc_trio.runtime.delivery.buttons import PROMPT
from oc_trio.runtime.tools.asker_places import Asked
from oc_trio.runtime.tools.mcp_servers import ToolServers, seen_name
from oc_trio.runtime.tools.message_tool import MessageTool
from oc_trio.runtime.tools.post_names import PostNames
from oc_trio.runtime.tools.skills import SkillLibrary

# Who is asked for the calls of the turn that answers a message: `approvers` as configured, and whom it answers by then.
Approval = Callable[[InboundMessage, tuple[str, ...], Asked], Approve]


@frozen(eq=False)
class TurnTools:
    """One account's tools. `local` makes further ones for a turn; `approval` makes who is asked for a turn's calls:
    without it, calls that need approval are denied. `limits` are seconds by tool.
    """

    message: MessageTool
    servers: ToolServers = field(factory=ToolServers)
    skills: SkillLibrary = SkillLibrary()
    local: tuple[Callable[[InboundMessage, PostNames], LocalTools], ...] = ()
    limits: Mapping[str, float] = field(factory=dict)
    approval: Approval | None = None

    def for_turn(
        self,
        here: InboundMessage,
        rules: ToolRules,
        skills: Sequence[str] | None = None,
        *,
        asked: Asked,
        names: PostNames,
    ) -> Toolbox:
        """What the agent that answers `here`, and all that `asked` gives by then, may use; `skills` are those it is
        offered, None for all. What they post is named by `names`.
        """
        book = self.skills.only(skills)
        own = LocalTools([self.message.tool(here, asked, names), *([book.tool()] if book.skills else [])])
        boxes: Mapping[str, Toolbox] = {
            "": LocalTools.joined(own, *(make(here, names) for make in self.local)),
            **self.servers.boxes,
        }
        approve = self.approval(here, rules.approvers, asked) if self.approval is not None else None
        policy = policy_of(rules, self.servers)
        return RuledToolbox(boxes, evolve(policy, limits={**policy.limits, **self.limits}), approve)

    def prompt(self, skills: Sequence[str] | None = None) -> str:
        """What the system prompt says of the tools; empty where they explain themselves."""
        hint = PROMPT if self.message.powers.buttons and self.local else ""
        return "\n\n".join(part for part in (self.skills.only(skills).prompt(), hint) if part)


def policy_of(rules: ToolRules, servers: ToolServers) -> ToolPolicy:
    """The operator's rules; `files.*` and `files__*` both mean the tools of the server `files`."""
    return ToolPolicy(
        allow=_spelled(rules.allow),
        deny=(*_spelled(rules.deny), *_seen(rules.deny)),
        approve=(*_spelled(rules.approve), *_seen(rules.approve), *servers.approve),
        limits=servers.limits,
    )


def _spelled(patterns: tuple[str, ...]) -> tuple[str, ...]:
    # Model APIs take no dot in a tool's name, so a dot can only part the server from its tool.
    return tuple(pattern.replace(".", SEPARATOR, 1) for pattern in patterns)


def _seen(patterns: tuple[str, ...]) -> Iterator[str]:
    """Patterns in the form that models see, for each dot that may part server and tool.

    A rule that keeps something out has to fit however the name is written; more than is meant does no harm.
    """
    for pattern in patterns:
        if SEPARATOR in pattern:
            yield seen_name(pattern)
        for at in (at for at, char in enumerate(pattern) if char == "."):
            yield f"{seen_name(pattern[:at])}{SEPARATOR}{seen_name(pattern[at + 1 :])}"
