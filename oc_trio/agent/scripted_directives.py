"""The default script of the scripted agent: runs the directives in the last message, or makes small talk. Pure.

The directives are documented in docs/agents.md. Several may be in one message; they run in order.
"""

import re
from collections.abc import Callable, Generator
from typing import Any

from attrs import evolve

from oc_trio.agent.port import Message, Role, ToolResult, TurnRequest
from oc_trio.agent.scripted import Attach, CallTool, Pause, Say, ScriptedAgent, Step
from oc_trio.agent.scripted_replies import reply
from oc_trio.core.context import spoken
from oc_trio.core.json_body import BadJson, read_lenient
from oc_trio.core.turn_events import (
    Button,
    Failed,
    Headline,
    Media,
    PlanStep,
    PlanUpdated,
    Thinking,
    ToolEnded,
    ToolStarted,
    ToolStatus,
)
from oc_trio.errors import AgentFailed, AgentUnavailable

Steps = Generator[Step, ToolResult | None, None]

_WORDS = re.findall(r"\w+", "the quick brown fox jumps over the lazy dog while seven careful gateways watch the thread")
_DIRECTIVE = re.compile(r"(?:^|(?<=\s))!([a-z]+)(?=\s|$)")

CODE = """Here is a small program:

```python
import trio


async def greet(name: str) -> None:
    await trio.sleep(1)
    print(f"hello, {name}")


trio.run(greet, "world")
```

It waits a second and then says hello."""

TABLE = """| Fruit | Colour | Price |
| --- | :---: | ---: |
| Apple | red | 1.20 |
| Banana | yellow | 0.35 |
| Plum | blue | 2.10 |"""


def scripted_steps(request: TurnRequest) -> Steps:
    """The steps for the last user message of `request`."""
    messages = tuple(
        evolve(message, text=spoken(message.text)) if message.role is Role.USER else message
        for message in request.messages
    )
    at = max((n for n, message in enumerate(messages) if message.role is Role.USER), default=-1)
    question = messages[at] if at >= 0 else Message(Role.USER)
    results = sum(message.role is Role.TOOL for message in messages[at + 1 :])
    directives = parse(question.text)
    if not directives:
        yield Say(reply(messages[: at + 1]))
        return
    spoke = False
    for name, argument in directives:
        if name == "tool" and results:  # this call was made before the turn was interrupted
            results -= 1
            continue
        for step in DIRECTIVES[name](argument, request):
            if isinstance(step, Say):
                step = Say(f"\n\n{step.text}" if spoke else step.text, step.delay)
                spoke = True
            yield step
    if not spoke and all(name in _NEEDS_WORDS for name, _ in directives):
        yield Say("Done.")


def parse(text: str) -> list[tuple[str, str]]:
    """Directives and the text up to the next one; `!` before a word that is none means nothing."""
    matches = [match for match in _DIRECTIVE.finditer(text) if match[1] in DIRECTIVES]
    ends = [match.start() for match in matches[1:]] + [len(text)]
    return [(match[1], text[match.end() : end].strip()) for match, end in zip(matches, ends)]


def demo_agent(*, token_delay: float = 0.03) -> ScriptedAgent:
    """The agent of `oc-trio demo` and of `api = "scripted"`."""
    return ScriptedAgent(scripted_steps, token_delay=token_delay)


def words(count: int) -> str:
    """`count` words in short paragraphs; always the same."""
    picked = [_WORDS[at % len(_WORDS)] for at in range(count)]
    return "\n\n".join(" ".join(picked[at : at + 60]) for at in range(0, count, 60))


def _number(argument: str, default: float) -> float:
    match = re.search(r"\d+(?:\.\d+)?", argument)
    return float(match[0]) if match else default


def _slow(argument: str, _: TurnRequest) -> list[Step]:
    return [Say(words(int(_number(argument, 30))), delay=0.3)]


def _think(argument: str, _: TurnRequest) -> list[Step]:
    thought = argument or "Let me see. What is being asked here, and what do I know about it?"
    return [step for word in thought.split() for step in (Thinking(f"{word} "), Pause(0.05))]


def _tool(argument: str, request: TurnRequest) -> list[Step]:
    name, _, rest = argument.partition(" ")
    name = name or "lookup"
    arguments = _arguments(rest.strip())
    if any(spec.name == name for spec in request.tools.specs):
        return [CallTool(name, arguments)]
    call_id = f"pretend_{name}"
    return [
        ToolStarted(call_id, name, arguments, detail=rest.strip()),
        Pause(0.8),
        ToolEnded(call_id, name, ToolStatus.COMPLETED, f"a pretended result of {name}", "pretended"),
    ]


def _arguments(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        value = read_lenient(text)
    except BadJson:
        return {"input": text}
    return value if isinstance(value, dict) else {"input": value}


def _buttons(argument: str, _: TurnRequest) -> list[Step]:
    labels = [label.strip() for label in (argument or "Yes|No").split("|") if label.strip()]
    return [Say("Please choose:"), Attach(buttons=(tuple(Button(label, label.lower()) for label in labels),))]


def _fail(argument: str, _: TurnRequest) -> list[Step]:
    return [Failed(argument or "I was asked to fail, so I did.", "the script failed on request")]


def _refuse(argument: str, _: TurnRequest) -> list[Step]:
    raise AgentFailed("refused on request", for_user=argument or "The model refused this request.")


def _unavailable(argument: str, _: TurnRequest) -> list[Step]:
    raise AgentUnavailable("unavailable on request", for_user=argument or "The model is out of reach right now.")


def _long(argument: str, _: TurnRequest) -> list[Step]:
    size = int(_number(argument, 9000))
    return [Say(words(size // 4 + 1)[:size], delay=0.001)]


def _media(argument: str, _: TurnRequest) -> list[Step]:
    where = argument or "https://example.com/cat.png"
    if "://" not in where:  # anyone in the chat may write this, so a path would hand out the gateway's files
        return [Say("I only send files from an address.")]
    return [Say("Here is the file."), Attach(media=(Media(url=where),))]


def _plan(argument: str, _: TurnRequest) -> list[Step]:
    lines = [line.strip() for line in (argument or "Look|Think|Answer").split("|") if line.strip()]
    out: list[Step] = []
    for active in range(len(lines) + 1):
        state = [("done" if at < active else "active" if at == active else "pending") for at in range(len(lines))]
        out += [PlanUpdated(tuple(PlanStep(line, mark) for line, mark in zip(lines, state))), Pause(0.5)]
    return out


DIRECTIVES: dict[str, Callable[[str, TurnRequest], list[Step]]] = {
    "say": lambda argument, _: [Say(argument)] if argument else [],
    "slow": _slow,
    "think": _think,
    "ponder": _think,
    "tool": _tool,
    "buttons": _buttons,
    "fail": _fail,
    "refuse": _refuse,
    "unavailable": _unavailable,
    "long": _long,
    "code": lambda _, __: [Say(CODE)],
    "table": lambda _, __: [Say(TABLE)],
    "media": _media,
    "silent": lambda _, __: [],
    "plan": _plan,
    "headline": lambda argument, _: [Headline(argument or "Looking into it"), Pause(0.5)],
    "pause": lambda argument, _: [Pause(_number(argument, 1.0))],
}
# After these alone a reader would wait for nothing.
_NEEDS_WORDS = frozenset({"think", "ponder", "tool", "plan", "headline", "pause"})
