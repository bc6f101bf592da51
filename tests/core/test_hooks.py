import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.hooks import (
    AgentHook,
    DeliverHook,
    Hook,
    HookKind,
    WakeHook,
    accepted_body,
    check_token,
    hook_trigger,
    read_hook,
)
from oc_trio.core.presentation import Presentation
from oc_trio.core.targets import ChannelByName, UserByName
from oc_trio.core.turn_events import Button, Media
from oc_trio.errors import CallbackRefused

AGENT, WAKE, DELIVER = HookKind.AGENT, HookKind.WAKE, HookKind.DELIVER


@pytest.mark.parametrize(
    ("kind", "payload", "hook"),
    [
        pytest.param(AGENT, {"message": "Sum up"}, AgentHook("Sum up"), id="smallest"),
        pytest.param(
            AGENT,
            {
                "message": "Run this",
                "name": "Email",
                "agentId": "main",
                "sessionKey": "hook:email",
                "wakeMode": "now",
                "deliver": False,
                "channel": "mattermost",
                "to": "#ops",
                "model": "openai/gpt",
                "thinking": "low",
                "timeoutSeconds": 120,
                "unknownField": 1,
            },
            AgentHook(
                "Run this",
                name="Email",
                agent="main",
                session_key="hook:email",
                deliver=False,
                target=ChannelByName("ops"),
                model="openai/gpt",
                thinking="low",
                time_limit=120.0,
            ),
            id="all of OpenClaw's fields",
        ),
        pytest.param(WAKE, {"text": "New mail"}, WakeHook("New mail"), id="wake"),
        pytest.param(WAKE, {"text": "x", "mode": "next-heartbeat"}, WakeHook("x", now=False), id="wake later"),
        pytest.param(
            DELIVER,
            {
                "to": "@alice",
                "text": "Done",
                "media": "https://x.example/a.png",
                "buttons": [[{"text": "OK", "callback_data": "ok"}]],
                "accountId": "alerts",
            },
            DeliverHook(
                UserByName("alice"),
                "Done",
                (Media(url="https://x.example/a.png"),),
                Presentation(rows=((Button("OK", "ok"),),)),
                account="alerts",
            ),
            id="deliver",
        ),
        pytest.param(
            DELIVER,
            {"to": "#ops", "presentation": {"blocks": [{"type": "text", "text": "Hi"}]}},
            DeliverHook(ChannelByName("ops"), presentation=Presentation("Hi")),
            id="presentation alone",
        ),
    ],
)
def test_hooks(kind: HookKind, payload: dict[str, Any], hook: Hook) -> None:
    assert read_hook(kind, json.dumps(payload).encode()) == hook


@pytest.mark.parametrize(
    ("kind", "payload", "why"),
    [
        (AGENT, {}, "message is required"),
        (AGENT, {"message": "  "}, "message is required"),
        (AGENT, {"message": 5}, "message must be a string"),
        (AGENT, {"message": "x", "channel": "telegram"}, "only mattermost"),
        (AGENT, {"message": "x", "deliver": "no"}, "deliver must be true or false"),
        (AGENT, {"message": "x", "timeoutSeconds": -1}, "timeoutSeconds"),
        (AGENT, {"message": "x", "timeoutSeconds": True}, "timeoutSeconds"),
        (AGENT, {"message": "x", "thinking": "hard"}, "thinking must be one of"),
        (AGENT, {"message": "x", "to": "a/b/c"}, "to: "),
        (AGENT, {"message": "x", "idempotencyKey": "k" * 300}, "idempotency key"),
        (WAKE, {}, "text is required"),
        (WAKE, {"text": "x", "mode": "soon"}, "mode must be one of"),
        (DELIVER, {"text": "x"}, "to is required"),
        (DELIVER, {"to": "#ops"}, "nothing to deliver"),
        (DELIVER, {"to": "#ops", "media": "/etc/passwd"}, "http or https"),
        (DELIVER, {"to": "#ops", "media": [7]}, "list of URLs"),
        (DELIVER, {"to": "#ops", "buttons": [[{}]]}, "button 1"),
    ],
)
def test_mistakes_name_the_field(kind: HookKind, payload: dict[str, Any], why: str) -> None:
    with pytest.raises(CallbackRefused, match=why) as caught:
        read_hook(kind, json.dumps(payload).encode())
    assert caught.value.status_hint == 400


@given(st.sampled_from(HookKind), st.binary(max_size=80))
def test_no_stray_body_is_a_hook(kind: HookKind, body: bytes) -> None:
    with pytest.raises(CallbackRefused):
        read_hook(kind, body)


@pytest.mark.parametrize(
    ("authorization", "header", "query", "status"),
    [
        ("Bearer s3cret", "", {}, None),
        ("bearer  s3cret ", "", {}, None),
        ("", "s3cret", {}, None),
        ("Bearer wrong", "", {}, 401),
        ("Bearer wrong", "s3cret", {}, 401),
        ("Basic s3cret", "", {}, 401),
        ("", "", {}, 401),
        ("Bearer é", "", {}, 401),
        ("Bearer s3cret", "", {"token": "s3cret"}, 400),
    ],
)
def test_tokens(authorization: str, header: str, query: dict[str, str], status: int | None) -> None:
    try:
        check_token("s3cret", authorization=authorization, token_header=header, query=query)
    except CallbackRefused as refused:
        given: int | None = refused.status_hint
    else:
        given = None
    assert given == status


def test_an_empty_secret_opens_nothing() -> None:
    with pytest.raises(CallbackRefused):
        check_token("", authorization="Bearer ", token_header="", query={})


def test_one_key_one_trigger() -> None:
    """The header wins over the field; without a key each call is its own."""
    body = b'{"message": "x", "idempotencyKey": "field"}'
    with_header = read_hook(AGENT, body, idempotency_key="header")
    assert with_header.key == "header"
    assert hook_trigger(AGENT, with_header, "1") == hook_trigger(AGENT, with_header, "2")
    assert hook_trigger(AGENT, with_header, "1") != hook_trigger(AGENT, read_hook(AGENT, body), "1")
    plain = read_hook(AGENT, b'{"message": "x"}')
    assert hook_trigger(AGENT, plain, "1") == "hook:agent:1"


def test_the_answer_carries_the_id() -> None:
    assert accepted_body("o1") == {"ok": True, "id": "o1", "runId": "o1"}
