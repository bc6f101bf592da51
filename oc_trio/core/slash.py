"""Native slash commands: their triggers, the callback that Mattermost sends for one, and the texts of our responses.

`core.slash_plan` decides which commands to create or delete on the server, `core.access` who may use them.
"""

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from attrs import evolve, field

from oc_trio.classes import frozen
from oc_trio.core.entities import SlashCommand
from oc_trio.core.json_body import read_object
from oc_trio.core.text import is_clean
from oc_trio.errors import CallbackRefused
from oc_trio.ids import ChannelId, TeamId, UserId

# OpenClaw's, so that people who come from it find their commands.
PREFIX = "oc_"
DESCRIPTION_BYTES = 128  # Mattermost's limit for both descriptions, in UTF-8 bytes
# Mattermost's, too (tests/contract/README.md, "Slash commands").
_TRIGGER_LENGTH = 128
# Mattermost sends about fifteen.
_MAX_FIELDS = 64

PROCESSING = "Processing..."
INVALID_PAYLOAD = "Invalid slash command payload."
INVALID_TOKEN = "Unauthorized: invalid command token."  # noqa: S105 - a sentence
NOT_READY = "Slash commands are not yet initialized. Please try again in a moment."
AMBIGUOUS = "Conflict: this slash command is not unique across the accounts of this gateway."
UNKNOWN_CHANNEL = "Temporary error: unable to determine channel type. Please try again."


@frozen
class CommandSpec:
    """A command to register: `trigger` without slash, `original` is the text command that it stands for."""

    trigger: str
    original: str
    description: str
    hint: str = ""


BUILT_IN = (
    CommandSpec("oc_status", "status", "Show what this conversation runs on and has used"),
    CommandSpec("oc_model", "model", "Show or change the model", "[model-name]"),
    CommandSpec("oc_models", "models", "Choose among the models there are", "[provider]"),
    CommandSpec("oc_new", "new", "Start a new conversation"),
    CommandSpec("oc_stop", "stop", "Stop the answer that is being written"),
    CommandSpec("oc_help", "help", "Show what you can ask for"),
    CommandSpec("oc_think", "think", "Set how much the model thinks", "[off|minimal|low|medium|high]"),
    CommandSpec("oc_reasoning", "reasoning", "Turn reasoning on or off", "[on|off]"),
    CommandSpec("oc_verbose", "verbose", "Show more or less of the work", "[on|off]"),
    CommandSpec(
        "oc_queue",
        "queue",
        "Set what happens to messages that come while one is answered",
        "[steer|followup|collect|interrupt]",
    ),
)


def cut_description(text: str) -> str:
    """The text on one line, cut to Mattermost's limit of bytes, never inside a character."""
    line = " ".join(text.split())
    data = line.encode("utf-8", "replace")
    if len(data) <= DESCRIPTION_BYTES:
        return line
    return data[: DESCRIPTION_BYTES - 3].decode("utf-8", "ignore").rstrip() + "…"


def skill_trigger(name: str, prefix: str = PREFIX) -> str:
    """The trigger for a skill, `oc_add_provider` for `Add-Provider`; blank if the name has no usable character."""
    word = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    # A trigger of the prefix alone would say nothing, and all such skills would share it.
    if not word:
        return ""
    return (word if word.startswith(prefix) else prefix + word)[:_TRIGGER_LENGTH]


def wanted_commands(skills: Iterable[tuple[str, str]] = (), prefix: str = PREFIX) -> tuple[CommandSpec, ...]:
    """The built-in commands and one for each skill (name, description); of equal triggers the first wins."""
    built_in = (evolve(spec, trigger=prefix + spec.original) for spec in BUILT_IN)
    specs = {spec.trigger: spec for spec in built_in}
    for name, description in skills:
        trigger = skill_trigger(name, prefix)
        if trigger:
            # A skill never takes a built-in command's place.
            specs.setdefault(trigger, CommandSpec(trigger, name, cut_description(description or name), "[args]"))
    return tuple(specs.values())


@frozen
class SlashCall:
    """What Mattermost sends when somebody uses a command: the fields in tests/contract/wire/command_callback.json.

    `token` and `response_url` are secrets. `root_id` is the thread in which it was typed, or empty. `text` is verbatim.
    """

    token: str = field(repr=False)
    team_id: TeamId
    channel_id: ChannelId
    user_id: UserId
    command: str
    text: str = ""
    user_name: str = ""
    channel_name: str = ""
    team_domain: str = ""
    trigger_id: str = field(default="", repr=False)
    response_url: str = field(default="", repr=False)
    root_id: str = ""

    @property
    def trigger(self) -> str:
        return self.command.strip().removeprefix("/").lower()


def parse_call(body: bytes, content_type: str) -> SlashCall:
    """The call in a form or JSON body. Raises CallbackRefused(400) with the documented text for anything else."""
    try:
        fields = read_object(body) if "application/json" in content_type.lower() else _form(body)
        required = {name: _text(fields, name) for name in ("token", "team_id", "channel_id", "user_id", "command")}
    except ValueError:
        raise CallbackRefused(400, INVALID_PAYLOAD) from None
    if not all(value.strip() for value in required.values()):
        raise CallbackRefused(400, INVALID_PAYLOAD)
    names = ("text", "user_name", "channel_name", "team_domain", "trigger_id", "response_url", "root_id")
    optional = {name: value for name in names if isinstance(value := fields.get(name), str)}
    return SlashCall(
        token=required["token"],
        team_id=TeamId(required["team_id"]),
        channel_id=ChannelId(required["channel_id"]),
        user_id=UserId(required["user_id"]),
        command=required["command"],
        **optional,
    )


def _form(body: bytes) -> dict[str, Any]:
    # `max_num_fields` bounds the work that a hostile body makes.
    pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    if not all(is_clean(part) for pair in pairs for part in pair):
        raise ValueError("NUL")
    return dict(pairs)


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise ValueError(name)
    return value


def find_registered(call: SlashCall, registered: Sequence[SlashCommand]) -> tuple[SlashCommand, ...]:
    """The registered commands with the call's team and trigger, whatever its token.

    If `match_call` finds none of them, the token may have been regenerated in Mattermost: `is_current` decides then, by
    the server's record.
    """
    return tuple(
        command for command in registered if command.team_id == call.team_id and command.trigger.lower() == call.trigger
    )


def match_call(call: SlashCall, registered: Sequence[SlashCommand]) -> SlashCommand | None:
    """The registered command with the call's team, trigger and token, or None.

    The tokens of all candidates are compared, each in constant time; a command without a token never matches.
    """
    # `compare_digest` takes text only if it is ASCII, and a caller may send anything.
    given = call.token.encode("utf-8", "surrogatepass")
    matches = [
        command
        for command in find_registered(call, registered)
        if hmac.compare_digest(command.token.encode(), given) and command.token
    ]
    return matches[0] if matches else None


def is_current(command: SlashCommand, live: SlashCommand, call: SlashCall) -> bool:
    """Whether `live`, the server's record, is still the command that we registered, and has the call's token.

    `live.token` counts and not the stored one, so that a token regenerated in Mattermost works at once.
    """
    same = (live.id, live.team_id, live.trigger.lower(), live.method, live.url) == (
        command.id,
        call.team_id,
        call.trigger,
        # POST, in Mattermost's letters; a command changed to GET would put its token into URLs and so into logs.
        "P",
        command.url,
    )
    tokens = hmac.compare_digest(live.token.encode(), call.token.encode("utf-8", "surrogatepass"))
    return same and tokens and bool(live.token) and not live.delete_at


def command_text(call: SlashCall, specs: Sequence[CommandSpec]) -> str:
    """The text command that a call stands for: `/status` for `/oc_status`, arguments trimmed."""
    originals = {spec.trigger: spec.original for spec in specs}
    original = originals.get(call.trigger, call.trigger.removeprefix(PREFIX))
    return f"/{original} {call.text.strip()}".rstrip()


def ephemeral(text: str) -> dict[str, str]:
    """The JSON response that only the caller sees."""
    return {"response_type": "ephemeral", "text": text}
