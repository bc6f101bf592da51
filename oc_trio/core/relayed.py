"""Requests that arrived at a process which does not serve their account, and the answers, as texts for the journal.

The values are verified ones: who writes a row has checked token or signature. `store.relayed` keeps the rows,
`runtime.handlers.relay` writes them, `runtime.handlers.relayed_requests` handles them.
"""

import json
from collections.abc import Mapping
from enum import Enum
from typing import Any

from attrs import field, fields, has

from oc_trio.classes import frozen
from oc_trio.core.hooks import AgentHook, DeliverHook, Hook, HookKind, WakeHook
from oc_trio.core.interactions import ButtonCallback
from oc_trio.core.presentation import Menu, Presentation
from oc_trio.core.questions import Answer, DialogAnswer
from oc_trio.core.slash import SlashCall
from oc_trio.core.targets import ChannelById, ChannelByName, OpaqueId, UserById, UserByName
from oc_trio.core.turn_events import Button, Media
from oc_trio.ids import SessionKey

# What people read where nobody answered in time; the request stays in the journal.
COMMAND_ACCEPTED = "Received. It takes effect in a moment."
CLICK_ACCEPTED = "Received. This takes effect in a moment."
# Where a late answer would be of no use to who waits: the request is taken back.
DIALOG_UNANSWERED = "The bot can't take the answer right now. Please send it again in a moment."
FORM_UNANSWERED = "The bot can't open the form right now. Please click again in a moment."

MAX_BODY = 1_000_000  # characters; four times the largest request, since escapes make texts longer


class RelayedKind(Enum):
    """What is relayed."""

    COMMAND = "command"
    CLICK = "click"
    DIALOG = "dialog"
    HOOK = "hook"
    STOP = "stop"


class RelayedState(Enum):
    """`WAITING` until the process that serves the account takes it; withdrawn or answered, it has `ENDED`."""

    WAITING = "waiting"
    TAKEN = "taken"
    ENDED = "ended"


class NoticeKind(Enum):
    """What one process wants all others to do: read their configuration again, look at the scheduled jobs."""

    RELOAD = "reload"
    JOBS = "jobs"


@frozen
class RelayedHook:
    """A hook with the trigger under which it is admitted, however often it is handled."""

    kind: HookKind
    hook: Hook
    trigger: str


@frozen
class StopSession:
    """An operator's wish to stop what runs and waits in a conversation."""

    session: SessionKey


RelayedRequest = SlashCall | ButtonCallback | DialogAnswer | RelayedHook | StopSession

_KINDS: Mapping[type, RelayedKind] = {
    SlashCall: RelayedKind.COMMAND,
    ButtonCallback: RelayedKind.CLICK,
    DialogAnswer: RelayedKind.DIALOG,
    RelayedHook: RelayedKind.HOOK,
    StopSession: RelayedKind.STOP,
}


@frozen
class RelayedAnswer:
    """What became of a request: `value` is the handler's result, or it was refused with `status` and `reason`."""

    value: Any = field(default=None, hash=False)
    status: int = 200
    reason: str = ""

    @property
    def is_refused(self) -> bool:
        return self.status >= 400

    def to_json(self) -> str:
        return json.dumps([self.value, self.status, self.reason], separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "RelayedAnswer":
        """Raises ValueError, TypeError for what `to_json` has not made."""
        value, status, reason = json.loads(text)
        return cls(value, status, reason)


def kind_of(request: RelayedRequest) -> RelayedKind:
    return _KINDS[type(request)]


def order_key(request: RelayedRequest) -> str:
    """Requests with the same key are handled one after the other, those of others beside them."""
    match request:
        case SlashCall() | ButtonCallback() | DialogAnswer():
            # What one person does must take effect in its order; different people's don't depend on each other.
            return request.user_id
        case RelayedHook():
            # Two calls with one key are one hook: the second has to wait for what the first admits.
            return request.hook.key or request.trigger
        case StopSession():
            return request.session


# Classes of which a request may consist, by name. Everything is tagged, since contexts of buttons hold any JSON.
_CLASSES: Mapping[str, type] = {
    each.__name__: each
    for each in (
        *(SlashCall, ButtonCallback, DialogAnswer, Answer, RelayedHook, StopSession),
        *(AgentHook, WakeHook, DeliverHook, Media, Presentation, Button, Menu),
        *(ChannelById, ChannelByName, UserById, UserByName, OpaqueId),
    )
}


def encode_request(request: RelayedRequest) -> str:
    """The request as JSON in ASCII: no text in it is one that a database refuses."""
    return json.dumps(_encoded(request), separators=(",", ":"))


def decode_request(text: str) -> RelayedRequest:
    """The request that `encode_request` was given. Raises ValueError for anything else, as of another release."""
    try:
        value = _decoded(json.loads(text))
    except (KeyError, TypeError, RecursionError) as problem:
        raise ValueError(f"not a relayed request: {type(problem).__name__}") from None
    if not isinstance(value, SlashCall | ButtonCallback | DialogAnswer | RelayedHook | StopSession):
        raise ValueError("not a relayed request")
    return value


def _encoded(value: Any) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case HookKind():
            return ["kind", value.value]
        case tuple():
            return ["tuple", [_encoded(item) for item in value]]
        case list():
            return ["list", [_encoded(item) for item in value]]
        case Mapping():
            return ["map", {key: _encoded(item) for key, item in value.items()}]
    kind = type(value)
    assert _CLASSES.get(kind.__name__) is kind, f"{kind.__name__} has no form in the journal"
    assert has(kind), "the classes of requests are attrs classes"
    return ["class", kind.__name__, {each.name: _encoded(getattr(value, each.name)) for each in fields(kind)}]


def _decoded(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    match value:
        case ["kind", name]:
            return HookKind(name)
        case ["tuple", items]:
            return tuple(_decoded(item) for item in items)
        case ["list", items]:
            return [_decoded(item) for item in items]
        case ["map", items]:
            return {key: _decoded(item) for key, item in items.items()}
        case ["class", name, items]:
            return _CLASSES[name](**{key: _decoded(item) for key, item in items.items()})
    raise ValueError("not a relayed request")
