"""Parses chat commands: `/status`, `!model gpt`, `@bot /new`, or a bare "stop".

Whether the sender may use a command, and carrying it out, is `runtime.inbound.chat_commands`. A text that is no known
command gives None and goes to the agent.
"""

import re
from collections.abc import Callable

from attrs import field

from oc_trio.classes import frozen
from oc_trio.core.queueing import DropRule, QueueMode
from oc_trio.core.stop_phrases import is_stop_phrase


@frozen
class ShowStatus:
    """`/status`."""


@frozen
class NewSession:
    """`/new`, `/reset`: forget the conversation; `prompt` begins the next one at once if not empty."""

    prompt: str = field(default="", repr=lambda text: f"<{len(text)} characters>")


@frozen
class StopTurn:
    """`/stop` or a bare stop phrase."""


@frozen
class ShowHelp:
    """`/help`, `/commands`."""


@frozen
class ChooseModel:
    """`/model NAME`; empty shows the one in use, `default` goes back to the agent's own."""

    name: str = ""


@frozen
class ListModels:
    """`/models`, optionally of one provider."""

    provider: str = ""


@frozen
class SetThinking:
    """`/think LEVEL`; None shows it."""

    level: str | None = None


@frozen
class SetReasoning:
    """`/reasoning on|off`; None shows it."""

    on: bool | None = None


@frozen
class SetVerbose:
    """`/verbose on|off`; None shows it."""

    on: bool | None = None


@frozen
class SetQueue:
    """`/queue MODE [cap:N] [drop:RULE] [debounce:TIME]`; None keeps a part as it is, `reset` clears the override."""

    mode: QueueMode | None = None
    cap: int | None = None
    drop: DropRule | None = None
    debounce: float | None = None
    reset: bool = False


@frozen
class Misused:
    """A known command with arguments that it does not take; `usage` is what to write instead."""

    command: str
    problem: str
    usage: str


ChatCommand = (
    ShowStatus
    | NewSession
    | StopTurn
    | ShowHelp
    | ChooseModel
    | ListModels
    | SetThinking
    | SetReasoning
    | SetVerbose
    | SetQueue
    | Misused
)

THINK_LEVELS = ("off", "minimal", "low", "medium", "high")
USAGE = {
    "status": "/status",
    "new": "/new [first message]",
    "stop": "/stop",
    "help": "/help",
    "model": "/model [name | default]",
    "models": "/models [provider]",
    "think": f"/think [{' | '.join(THINK_LEVELS)}]",
    "reasoning": "/reasoning [on | off]",
    "verbose": "/verbose [on | off]",
    "queue": "/queue [steer | followup | collect | interrupt | reset] [cap:N] [drop:old|new|summarize] [debounce:2s]",
}
_ALIASES = {"reset": "new", "commands": "help", "abort": "stop", "thinking": "think", "t": "think", "v": "verbose"}
# The prefix under which slash commands are registered with the server; people type it as text as well.
_REGISTERED = "oc_"

_WORD = re.compile(r"[/!](?P<name>[a-z_]+)(?::|(?=\s)|\Z)\s*(?P<rest>.*)\Z", re.IGNORECASE | re.DOTALL)
# As in the configuration (`messages.queue`): nobody may make a conversation wait for days.
MAX_QUEUED, MAX_DEBOUNCE = 1000, 60.0
_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>ms|s|m)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}
_SWITCH = {"on": True, "off": False, "true": True, "false": False, "yes": True, "no": False}


def parse_command(text: str, bot_names: tuple[str, ...] = ()) -> ChatCommand | None:
    """The command in a message, after leading mentions of `bot_names` (usernames without `@`); None if it is none."""
    body = without_mentions(text, bot_names)
    if is_stop_phrase(body):
        return StopTurn()
    match = _WORD.match(body)
    if match is None:
        return None
    name = match["name"].lower().removeprefix(_REGISTERED)
    name = _ALIASES.get(name, name)
    read = _READERS.get(name)
    return read(match["rest"].strip()) if read else None


def without_mentions(text: str, bot_names: tuple[str, ...]) -> str:
    """`text` without white space and mentions of the bot at both ends."""
    text = text.strip()
    lower = text.lower() if "@" in text else ""
    for name in bot_names:
        if f"@{name.lower()}" not in lower:
            continue
        # A longer name that begins with ours (`@bot2`, `@bot.test`) is somebody else's; a mark at a sentence's end is
        # no name.
        mention = rf"@{re.escape(name)}(?![\w.-]*\w)"
        text = re.sub(rf"\A(?:{mention}[\s,:]*)+|(?:\s+{mention}[.!?\s]*)+\Z", "", text, flags=re.IGNORECASE).strip()
    return text


def _bare(command: ChatCommand) -> Callable[[str], ChatCommand | None]:
    """A command without arguments; if text follows, it is a message for the agent."""
    # "/status of the order?" is a question.
    return lambda rest: None if rest else command


def _one_word(name: str, make: Callable[[str], ChatCommand]) -> Callable[[str], ChatCommand | None]:
    def read(rest: str) -> ChatCommand:
        return make(rest) if len(rest.split()) <= 1 else _misused(name, "takes one word")

    return read


def _switch(name: str, make: Callable[[bool | None], ChatCommand]) -> Callable[[str], ChatCommand | None]:
    def read(rest: str) -> ChatCommand:
        if not rest:
            return make(None)
        if rest.lower() not in _SWITCH:
            return _misused(name, f"does not know {_quoted(rest)}")
        return make(_SWITCH[rest.lower()])

    return read


def _think(rest: str) -> ChatCommand:
    level = rest.lower()
    if level and level not in THINK_LEVELS:
        return _misused("think", f"does not know {_quoted(rest)}")
    return SetThinking(level or None)


def _queue(rest: str) -> ChatCommand:
    changes: dict[str, object] = {}
    for word in rest.lower().split():
        key, _, value = word.partition(":")
        change = _queue_part(key, value)
        if isinstance(change, str):
            return _misused("queue", change)
        if change is None or set(change) & set(changes):
            return _misused("queue", f"does not know {_quoted(word)}" if change is None else f"has {key} twice")
        changes |= change
    if "reset" in changes and len(changes) > 1:
        return _misused("queue", "takes nothing beside reset")
    return SetQueue(**changes)  # type: ignore[arg-type]


def _queue_part(key: str, value: str) -> dict[str, object] | str | None:
    """The change that one word makes; a str says what is wrong with its value, None that the word is unknown."""
    if not value and key in ("reset", "default"):
        return {"reset": True}
    if not value:
        return {"mode": QueueMode(key)} if key in {mode.value for mode in QueueMode} else None
    if key == "drop":
        return {"drop": DropRule(value)} if value in {rule.value for rule in DropRule} else None
    if key == "cap":
        if not (value.isascii() and value.isdigit()):
            return None
        # Check the length first: int() raises for numbers with thousands of digits.
        cap = int(value) if len(value) <= 9 else 0
        return {"cap": cap} if 1 <= cap <= MAX_QUEUED else f"takes a cap from 1 to {MAX_QUEUED}"
    match = _DURATION.fullmatch(value)
    if key != "debounce" or match is None:
        return None
    seconds = float(match["number"]) * _SECONDS[match["unit"] or "ms"]
    return {"debounce": seconds} if seconds <= MAX_DEBOUNCE else f"takes a debounce of at most {MAX_DEBOUNCE:g}s"


def _misused(name: str, problem: str) -> Misused:
    return Misused(name, f"/{name} {problem}", USAGE[name])


def _quoted(word: str) -> str:
    return f"`{word[:40].replace('`', '')}`"


_READERS: dict[str, Callable[[str], ChatCommand | None]] = {
    "status": _bare(ShowStatus()),
    "new": NewSession,
    "stop": _bare(StopTurn()),
    "help": _bare(ShowHelp()),
    "model": _one_word("model", ChooseModel),
    "models": _one_word("models", ListModels),
    "think": _think,
    "reasoning": _switch("reasoning", SetReasoning),
    "verbose": _switch("verbose", SetVerbose),
    "queue": _queue,
}
