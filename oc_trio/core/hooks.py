"""Parses calls of other programs to /hooks/agent, /hooks/wake and /hooks/deliver, and checks their token.

The field names of agent and wake are OpenClaw's, so that its callers work here; unknown fields are ignored.
`runtime.handlers.hooks` runs and delivers them.
"""

import hashlib
import hmac
from collections.abc import Mapping
from enum import Enum
from typing import Any, assert_never

from oc_trio.classes import frozen
from oc_trio.core.chat_commands import THINK_LEVELS
from oc_trio.core.json_body import BadJson, read_object
from oc_trio.core.presentation import BadPresentation, Presentation, read_buttons, read_presentation
from oc_trio.core.targets import Target, parse_target
from oc_trio.core.turn_events import Media
from oc_trio.errors import CallbackRefused, UnknownTarget

MAX_BODY_BYTES = 262_144  # OpenClaw's default for hooks
# A UUID or a digest with a prefix fits; the key becomes part of ids in the journal.
_MAX_KEY = 256


class HookKind(Enum):
    """The last segment of the path."""

    AGENT = "agent"
    WAKE = "wake"
    DELIVER = "deliver"


@frozen
class AgentHook:
    """Run `message` as a prompt and, if `deliver`, post the answer to `target` (None: the agent's last conversation).

    `time_limit` is in seconds, None for the agent's own. Blank fields mean: the configured default.
    """

    message: str
    name: str = ""
    agent: str = ""
    account: str = ""
    session_key: str = ""
    deliver: bool = True
    target: Target | None = None
    model: str = ""
    thinking: str = ""
    time_limit: float | None = None
    key: str = ""


@frozen
class WakeHook:
    """Tell the main session about an event: at once, or with its next turn if `now` is false."""

    text: str
    now: bool = True
    agent: str = ""
    account: str = ""
    key: str = ""


@frozen
class DeliverHook:
    """Post to `target` without asking a model: text, files, buttons."""

    target: Target
    text: str = ""
    media: tuple[Media, ...] = ()
    presentation: Presentation = Presentation()
    reply_to: str = ""
    account: str = ""
    key: str = ""


Hook = AgentHook | WakeHook | DeliverHook


def check_token(secret: str, *, authorization: str, token_header: str, query: Mapping[str, str]) -> None:
    """Raises CallbackRefused unless a header carries the hooks' token: `Authorization: Bearer` or `X-OpenClaw-Token`.

    A token in the query string is a 400 even if it is right, because proxies log URLs. An empty secret matches nothing.
    """
    if "token" in query:
        raise CallbackRefused(400, "The token belongs into the Authorization header, not into the address.")
    scheme, _, bearer = authorization.strip().partition(" ")
    given = bearer.strip() if scheme.lower() == "bearer" else token_header.strip()
    # An empty secret equals an empty token, so it is refused separately.
    if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), secret.encode()) or not secret:
        raise CallbackRefused(401, "Unauthorized")


def read_hook(kind: HookKind, body: bytes, *, idempotency_key: str = "") -> Hook:
    """The hook in a JSON body. `idempotency_key` is the header of that name and wins over the field `idempotencyKey`.

    Raises CallbackRefused(400) with one sentence that names the field.
    """
    try:
        payload = read_object(body)
    except BadJson as error:
        raise CallbackRefused(400, f"The body is {error}.") from None
    fields = _Fields(payload)
    key = idempotency_key.strip() or fields.text("idempotencyKey")
    if len(key) > _MAX_KEY or not key.isprintable():
        raise CallbackRefused(400, f"The idempotency key must be at most {_MAX_KEY} printable characters.")
    match kind:
        case HookKind.AGENT:
            return _agent(fields, key)
        case HookKind.WAKE:
            mode = fields.choice("mode", ("now", "next-heartbeat")) or "now"
            return WakeHook(fields.required("text"), mode == "now", fields.text("agentId"), fields.account(), key)
        case HookKind.DELIVER:
            return _deliver(fields, key)
        case _:
            assert_never(kind)


def _agent(fields: "_Fields", key: str) -> AgentHook:
    channel = fields.text("channel").lower()
    # OpenClaw's word for the platform; one that is meant for another must not arrive here.
    if channel not in ("", "last", "mattermost"):
        raise CallbackRefused(400, f"channel: {channel!r} is not served here; only mattermost is.")
    # Checked, and without effect here.
    # OpenClaw's callers send it; a typing error in it is a mistake here as there.
    fields.choice("wakeMode", ("now", "next-heartbeat"))
    return AgentHook(
        message=fields.required("message"),
        name=fields.text("name"),
        agent=fields.text("agentId"),
        account=fields.account(),
        session_key=fields.text("sessionKey"),
        deliver=fields.flag("deliver", default=True),
        target=fields.target(),
        model=fields.text("model"),
        thinking=fields.choice("thinking", THINK_LEVELS),
        time_limit=fields.seconds("timeoutSeconds"),
        key=key,
    )


def _deliver(fields: "_Fields", key: str) -> DeliverHook:
    target = fields.target()
    if target is None:
        raise CallbackRefused(400, "to is required: channel:<id>, #name, user:<id> or @username.")
    hook = DeliverHook(
        target=target,
        text=fields.text("text", "message"),
        media=fields.media(),
        presentation=fields.presentation(),
        reply_to=fields.text("replyTo", "rootId"),
        account=fields.account(),
        key=key,
    )
    shown = hook.presentation
    if not (hook.text or hook.media or shown.text or shown.rows or shown.menus):
        raise CallbackRefused(400, "There is nothing to deliver: give text, media or buttons.")
    return hook


@frozen
class _Fields:
    """Typed access to a payload; a wrong type raises CallbackRefused(400), which names the field."""

    payload: dict[str, Any]

    def text(self, *names: str) -> str:
        for name in names:
            value = self.payload.get(name)
            if value is None:
                continue
            if not isinstance(value, str):
                raise CallbackRefused(400, f"{name} must be a string.")
            if value.strip():
                return value.strip()
        return ""

    def required(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise CallbackRefused(400, f"{name} is required.")
        return value

    def account(self) -> str:
        return self.text("accountId", "account")

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        value = self.text(name).lower()
        if value and value not in choices:
            raise CallbackRefused(400, f"{name} must be one of {', '.join(choices)}.")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        value = self.payload.get(name, default)
        if not isinstance(value, bool):
            raise CallbackRefused(400, f"{name} must be true or false.")
        return value

    def seconds(self, name: str) -> float | None:
        value = self.payload.get(name)
        if value is None:
            return None
        # `true` is a number in Python.
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 86_400:
            raise CallbackRefused(400, f"{name} must be a number of seconds between 0 and 86400.")
        return float(value)

    def target(self) -> Target | None:
        spelled = self.text("to", "target")
        try:
            return parse_target(spelled) if spelled else None
        except UnknownTarget as error:
            raise CallbackRefused(400, f"to: {error}") from None

    def media(self) -> tuple[Media, ...]:
        value = self.payload.get("media", [])
        urls = [value] if isinstance(value, str) else value
        if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
            raise CallbackRefused(400, "media must be a URL or a list of URLs.")
        # With paths, whoever has the hooks' token could read the gateway's files.
        if not all(url.lower().startswith(("http://", "https://")) for url in urls):
            raise CallbackRefused(400, "media must be http or https URLs.")
        return tuple(Media(url=url) for url in urls)

    def presentation(self) -> Presentation:
        try:
            if self.payload.get("presentation") is not None:
                return read_presentation(self.payload["presentation"])
            return read_buttons(self.payload.get("buttons") or [])
        except BadPresentation as error:
            raise CallbackRefused(400, str(error)) from None


def hook_trigger(kind: HookKind, hook: Hook, unique: str) -> str:
    """The trigger by which the journal admits the hook once: from its idempotency key, else from `unique`."""
    if not hook.key:
        return f"hook:{kind.value}:{unique}"
    # Hashed: a caller's key may hold colons and blanks, and triggers are typed into `oc-trio explain`.
    return f"hook:{kind.value}:key-{hashlib.sha256(hook.key.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def accepted_body(id_: str) -> dict[str, Any]:
    """The body of the 202 response: `id` is for `oc-trio explain`, `runId` is OpenClaw's name for it."""
    return {"ok": True, "id": id_, "runId": id_}
