"""The tools that a turn is offered: rules of the agent, skills, hints, and who approves."""

from typing import Any

from oc_trio.agent.scripted import CallTool, Say
from oc_trio.config.agents import ToolRules
from oc_trio.core.turn_events import ToolStatus
from oc_trio.runtime.tools.mcp_servers import ToolServers
from oc_trio.runtime.tools.turn_tools import policy_of
from tests.runtime.harness import Harness


async def request_of_turn(harness: Harness) -> Any:
    """The request of one turn."""
    harness.script = [Say("ok")]
    harness.say("@helper go")
    await harness.settled()
    return harness.agent.requests[-1]


def test_a_dot_parts_server_and_tool() -> None:
    """Rules may be written as in the documentation or as models see the names."""
    policy = policy_of(ToolRules(allow=("files.*", "message"), deny=("files__delete*",)), ToolServers())
    names = ("files__read", "files__delete_all", "message", "other__x")
    assert [policy.offers(name) for name in names] == [True, False, True, False]


async def test_a_denied_message_tool_is_not_offered(harness: Harness) -> None:
    """`deny` wins over `allow`."""
    await harness.start(agents={"defaults": {"tools": {"deny": ["message"]}}})
    assert list((await request_of_turn(harness)).tools.specs) == []


async def test_a_tool_that_needs_approval_is_denied_where_nobody_can_be_asked(harness: Harness) -> None:
    """Closed by default; the turn goes on."""
    await harness.start(agents={"defaults": {"tools": {"approve": ["message"]}}})
    results: list[Any] = []

    def script(request: Any) -> Any:
        results.append((yield CallTool("message", {"action": "send", "message": "x"})))
        yield Say("done")

    harness.script = script
    harness.say("@helper go")
    await harness.settled()
    assert [result.status for result in results] == [ToolStatus.DENIED]
    assert harness.answers() == ["done"]


async def test_buttons_are_hinted_at_with_the_capability(harness: Harness) -> None:
    """`inlineButtons` adds a sentence to the system prompt."""
    await harness.start({"capabilities": ["inlineButtons"]}, gateway={"port": 0})
    assert "You can offer buttons" in (await request_of_turn(harness)).system_prompt
    await harness.stop()
    await harness.start()
    assert "You can offer buttons" not in (await request_of_turn(harness)).system_prompt


async def test_nothing_is_said_of_tools_to_a_model_without_them(harness: Harness) -> None:
    """`tools = false` of the model; what can't be called is not hinted at."""
    harness.script = [Say("done", delay=0)]
    providers = {"play": {"api": "scripted", "models": [{"id": "m", "tools": False}]}}
    agents = {"defaults": {"model": "play/m"}}
    await harness.start(
        {"capabilities": ["inlineButtons"]}, gateway={"port": 0}, agents=agents, models={"providers": providers}
    )
    assert "You can offer buttons" not in (await request_of_turn(harness)).system_prompt


async def test_each_agent_has_its_rules(harness: Harness) -> None:
    """An entry's table replaces the defaults'."""
    entries = {"main": {"default": True, "tools": {"allow": ["nothing"]}}}
    await harness.start(agents={"entries": entries})
    assert list((await request_of_turn(harness)).tools.specs) == []
