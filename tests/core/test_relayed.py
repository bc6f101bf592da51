"""Relayed requests come out of the journal as they went in."""

import pytest

from oc_trio.core.hooks import AgentHook, DeliverHook, HookKind, WakeHook, read_hook
from oc_trio.core.interactions import ButtonCallback
from oc_trio.core.questions import Answer, DialogAnswer
from oc_trio.core.relayed import (
    RelayedAnswer,
    RelayedHook,
    RelayedRequest,
    StopSession,
    decode_request,
    encode_request,
    kind_of,
    order_key,
)
from oc_trio.core.slash import SlashCall
from oc_trio.core.targets import ChannelByName, parse_target
from oc_trio.core.turn_events import Media
from oc_trio.ids import ChannelId, PostId, SessionKey, TeamId, UserId

CONTEXT = {"map": ["list", 1], "list": [{"deep": [True, None, 1.5]}], "text": "\x00 \ud800 \u4e16", "class": {}}
DELIVER = read_hook(
    HookKind.DELIVER,
    b'{"to": "#town", "text": "hi", "media": ["https://a/b.png"], "idempotencyKey": "k",'
    b' "buttons": [[{"text": "Yes", "callback_data": "y"}]]}',
)
AGENT = AgentHook("do it", target=parse_target("@anna"), time_limit=1.5)
REQUESTS: dict[str, RelayedRequest] = {
    "command": SlashCall("secret", TeamId("t"), ChannelId("c"), UserId("u"), "/oc_status", "a b", trigger_id="x"),
    "click": ButtonCallback(
        UserId("u"), "anna", ChannelId("c"), TeamId("t"), PostId("p"), "yes", CONTEXT, "blue", "trigger"
    ),
    "dialog": DialogAnswer(Answer("q1", "Blue", None), "u", "c", cancelled=True),
    "a hook for an agent": RelayedHook(HookKind.AGENT, AGENT, "hook:agent:1"),
    "an event": RelayedHook(HookKind.WAKE, WakeHook("news", now=False), "hook:wake:1"),
    "a hook with all that a post may have": RelayedHook(HookKind.DELIVER, DELIVER, "hook:deliver:key-1"),
    "stop": StopSession(SessionKey("mattermost:town")),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_a_request_comes_out_as_it_went_in(request_: RelayedRequest) -> None:
    """Equal in all fields, with lists as lists; and its text is plain ASCII."""
    text = encode_request(request_)
    assert text.isascii()
    assert decode_request(text) == request_


def test_the_hook_of_the_test_has_all_parts() -> None:
    """Otherwise the table above would show less than it says."""
    assert isinstance(DELIVER, DeliverHook)
    assert (DELIVER.target, DELIVER.media) == (ChannelByName("town"), (Media(url="https://a/b.png"),))
    assert DELIVER.presentation.rows[0][0].value == "y"


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "1", "null", "[" * 5000),
        *('["list",[]]', '["kind","no"]', '["class","Gone",{}]', '["class","StopSession",{}]', '["class","Answer",{}]'),
        *('["class","StopSession",{"session":["other"]}]', '["class","Media",{"more":1}]'),
    ],
)
def test_what_is_no_request_is_refused(text: str) -> None:
    """As from a release that knows another form."""
    with pytest.raises(ValueError, match=r"."):
        decode_request(text)


def test_requests_of_one_person_are_in_order() -> None:
    """Those of other people and programs are independent of them."""
    keys = {name: order_key(request) for name, request in REQUESTS.items()}
    assert keys["command"] == keys["click"] == keys["dialog"] == "u"
    assert keys["a hook with all that a post may have"] == "k"
    assert keys["an event"] == "hook:wake:1"
    assert {kind_of(request).value for request in REQUESTS.values()} == {"command", "click", "dialog", "hook", "stop"}


@pytest.mark.parametrize(
    "answer", [RelayedAnswer("Processing..."), RelayedAnswer({"a": [1]}), RelayedAnswer(None, 403, "No")]
)
def test_an_answer_comes_out_as_it_went_in(answer: RelayedAnswer) -> None:
    """Values and refusals alike."""
    assert RelayedAnswer.from_json(answer.to_json()) == answer
    assert answer.is_refused == (answer.status == 403)
