"""The public port as a caller sees it: statuses, bodies, and what never gets in."""

import json
from contextlib import ExitStack
from urllib.parse import urlencode

import pytest

from oc_trio.callbacks.endpoints import CommandEndpoint, EndpointRegistry
from oc_trio.core.slash import INVALID_PAYLOAD, INVALID_TOKEN, NOT_READY
from oc_trio.core.sourceip import ProxyTrust, parse_networks
from oc_trio.errors import CallbackRefused, FenceRefused, LeaseLost, StoreError
from oc_trio.ids import AccountId
from oc_trio.signing import sign_context
from tests.callbacks.callers import (
    BOT_TOKEN,
    CLICK_PATH,
    COMMAND_PATH,
    FORM,
    HOOK_TOKEN,
    MAIN,
    STATUS,
    RecordingHandler,
    open_port,
)
from tests.logbook import Logbook

FORM_TYPE = {"Content-Type": "application/x-www-form-urlencoded"}
JSON_TYPE = {"Content-Type": "application/json"}


def form(**changes: str) -> bytes:
    return urlencode({**FORM, **changes}).encode()


def click_body(**changes: object) -> bytes:
    context = sign_context(BOT_TOKEN, {"action_id": "yes", "callback_data": "yes", "__openclaw_channel_id": "chan1"})
    body = {"user_id": "u1", "user_name": "alice", "channel_id": "chan1", "post_id": "p1", "context": context}
    return json.dumps({**body, **changes}).encode()


async def test_a_command_in_a_form_is_answered_for_its_caller_only() -> None:
    """A form callback reaches the account and gets its ephemeral text."""
    port = open_port()
    status, body, headers = await port.post(COMMAND_PATH, form(text="now"), headers=FORM_TYPE)
    assert (status, json.loads(body)) == (200, {"response_type": "ephemeral", "text": "Processing..."})
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert [(call.trigger, call.text) for call in port.handler.calls] == [("oc_status", "now")]


async def test_a_command_in_json_is_the_same() -> None:
    """A JSON callback is read like a form."""
    port = open_port()
    status, _, _ = await port.post(COMMAND_PATH, json.dumps(FORM).encode(), headers=JSON_TYPE)
    assert status == 200
    assert len(port.handler.calls) == 1


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [
        pytest.param(COMMAND_PATH, "GET", "POST", id="command"),
        pytest.param(CLICK_PATH, "PUT", "POST", id="click"),
        pytest.param("/hooks/wake", "DELETE", "POST", id="hook"),
        pytest.param(COMMAND_PATH, "OPTIONS", "POST", id="options is no way in either"),
        pytest.param(COMMAND_PATH, "HEAD", "POST", id="head"),
    ],
)
async def test_only_post_is_served(path: str, method: str, allow: str) -> None:
    """Every other method is 405 and names POST."""
    status, _, headers = await open_port().post(path, method=method)
    assert (status, headers["allow"]) == (405, allow)


async def test_get_on_commands_is_405_before_any_account_is_ready() -> None:
    """The method is judged before readiness."""
    port = open_port(arrange=lambda registry, handler, stack: None)
    assert (await port.post(COMMAND_PATH, method="GET"))[0] == 405
    status, body, _ = await port.post(COMMAND_PATH, form(), headers=FORM_TYPE)
    assert (status, json.loads(body)["text"]) == (503, NOT_READY)


async def test_commands_are_refused_until_registration_is_complete() -> None:
    """An account that registers still answers nobody."""
    port = open_port(known=None)
    status, body, _ = await port.post(COMMAND_PATH, form(), headers=FORM_TYPE)
    assert (status, json.loads(body)["text"]) == (503, NOT_READY)
    assert port.handler.calls == []


@pytest.mark.parametrize(
    ("changes", "status", "text"),
    [
        pytest.param({"token": "wrong", "command": "/oc_other"}, 401, INVALID_TOKEN, id="unknown command"),
        pytest.param({"token": "wrong", "team_id": "team2"}, 401, INVALID_TOKEN, id="foreign team"),
        pytest.param({"token": ""}, 400, INVALID_PAYLOAD, id="no token"),
        pytest.param({"channel_id": " "}, 400, INVALID_PAYLOAD, id="blank channel"),
    ],
)
async def test_a_call_that_is_nobodys_is_refused(changes: dict[str, str], status: int, text: str) -> None:
    """Unknown commands and broken payloads get the documented answer and reach no account."""
    port = open_port()
    got, body, _ = await port.post(COMMAND_PATH, form(**changes), headers=FORM_TYPE)
    assert (got, json.loads(body)) == (status, {"response_type": "ephemeral", "text": text})
    assert port.handler.calls == []


async def test_a_call_that_two_accounts_know_is_a_conflict() -> None:
    """A regenerated token that could be either account's is not guessed."""
    handlers = (RecordingHandler((STATUS,)), RecordingHandler((STATUS,)))

    def two(registry: EndpointRegistry, _: RecordingHandler, stack: ExitStack) -> None:
        for name, handler in zip(("one", "two"), handlers):
            endpoint = CommandEndpoint(lambda handler=handler: handler.known, handler.call)  # type: ignore[misc]
            stack.enter_context(registry.commands(AccountId(name), COMMAND_PATH, endpoint))

    status, _, _ = await open_port(arrange=two).post(COMMAND_PATH, form(token="new"), headers=FORM_TYPE)
    assert status == 409
    assert [handler.calls for handler in handlers] == [[], []]


async def test_an_account_that_left_is_not_asked_any_more() -> None:
    """Leaving the block takes the account off the path."""
    registry, handler = EndpointRegistry((COMMAND_PATH,)), RecordingHandler()
    with registry.commands(MAIN, COMMAND_PATH, CommandEndpoint(lambda: handler.known, handler.call)):
        assert MAIN in registry.commands_at(COMMAND_PATH)
    assert not registry.commands_at(COMMAND_PATH)


async def test_a_click_reaches_its_account() -> None:
    """A signed callback is handed over and answered with JSON."""
    port = open_port()
    status, body, _ = await port.post(CLICK_PATH, click_body(), headers=JSON_TYPE)
    assert (status, body) == (200, b"{}")
    assert [(callback.user_name, callback.action_id) for callback in port.handler.clicks] == [("alice", "yes")]


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        pytest.param(b"", 400, "Invalid request body", id="empty"),
        pytest.param(b"[" * 50_000, 400, "Invalid request body", id="deep"),
        pytest.param(b"\xff{}", 400, "Invalid request body", id="not UTF-8"),
        pytest.param(b"{}", 400, "Missing context", id="no context"),
        pytest.param(b'{"context":{"action_id":"yes"}}', 403, "Missing token", id="unsigned"),
        pytest.param(click_body(context={"action_id": "yes", "_token": "0" * 64}), 403, "Invalid token", id="forged"),
        pytest.param(click_body(channel_id="chan2"), 403, "Channel mismatch", id="foreign channel"),
        pytest.param(b'{"type":"dialog_submission","state":"{}"}', 403, "Invalid token", id="forged dialog"),
    ],
)
async def test_a_click_that_proves_nothing_is_refused(body: bytes, status: int, error: str) -> None:
    """Each broken or forged body gets its documented answer."""
    port = open_port()
    got, answer, _ = await port.post(CLICK_PATH, body, headers=JSON_TYPE)
    assert (got, json.loads(answer)) == (status, {"error": error})
    assert port.handler.clicks == []


@pytest.mark.parametrize(
    ("peer", "forwarded", "status"),
    [
        pytest.param("127.0.0.1", "", 200, id="this machine"),
        pytest.param("::1", "", 200, id="this machine by IPv6"),
        pytest.param("10.0.0.9", "", 403, id="elsewhere"),
        pytest.param("10.0.0.9", "127.0.0.1", 403, id="elsewhere, claiming to be here"),
        pytest.param("10.0.0.1", "10.0.0.9", 403, id="through a trusted proxy"),
        pytest.param("", "", 403, id="nobody knows where"),
    ],
)
async def test_clicks_come_from_allowed_addresses_only(peer: str, forwarded: str, status: int) -> None:
    """Without an allowlist only loopback delivers clicks, whatever a header says."""
    port = open_port(trust=ProxyTrust(parse_networks(["10.0.0.1"])))
    headers = {**JSON_TYPE, **({"X-Forwarded-For": forwarded} if forwarded else {})}
    got, body, _ = await port.post(CLICK_PATH, click_body(), headers=headers, peer=peer)
    assert got == status
    if status == 403:
        assert json.loads(body) == {"error": "Forbidden origin"}


async def test_a_hook_is_taken_and_named() -> None:
    """A hook with the token gets 202 and the id to ask about."""
    port = open_port()
    headers = {**JSON_TYPE, "Authorization": f"Bearer {HOOK_TOKEN}", "Idempotency-Key": "k1"}
    status, body, _ = await port.post("/hooks/wake", b'{"text":"the backup is done"}', headers=headers)
    assert (status, json.loads(body)) == (202, {"ok": True, "id": "hook:wake:1", "runId": "hook:wake:1"})
    assert [hook.key for _, hook in port.handler.hooks] == ["k1"]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        pytest.param("/hooks/wake", {}, 401, id="no token"),
        pytest.param("/hooks/wake", {"Authorization": "Bearer wrong"}, 401, id="wrong token"),
        pytest.param(
            f"/hooks/wake?token={HOOK_TOKEN}", {"Authorization": f"Bearer {HOOK_TOKEN}"}, 400, id="token in the query"
        ),
        pytest.param("/hooks/agent", {"Authorization": f"Bearer {HOOK_TOKEN}"}, 400, id="no message"),
        pytest.param("/hooks/else", {"Authorization": f"Bearer {HOOK_TOKEN}"}, 404, id="no such hook"),
    ],
)
async def test_a_hook_without_its_due_is_refused(path: str, headers: dict[str, str], status: int) -> None:
    """The token counts in the header alone, and each refusal says why."""
    port = open_port()
    got, _, _ = await port.post(path, b'{"text":"x"}', headers={**JSON_TYPE, **headers})
    assert got == status
    assert port.handler.hooks == []


@pytest.mark.parametrize(
    "path",
    ["/", "/admin", "/metrics", "/static/x", "/mattermost/interactions/other", f"/{COMMAND_PATH}", f"{COMMAND_PATH}/"],
)
async def test_nothing_else_is_served(path: str) -> None:
    """Every other path is 404, near misses included."""
    assert (await open_port().post(path, form(), headers=FORM_TYPE))[0] == 404


async def test_a_failing_journal_is_503_not_500(logbook: Logbook) -> None:
    """What we fail at ourselves is said as such, without a traceback."""
    port = open_port()
    port.handler.fail = StoreError("the disk is full")
    status, body, _ = await port.post(COMMAND_PATH, form(), headers=FORM_TYPE)
    assert (status, b"disk" in body) == (503, False)
    (logged,) = logbook.find("callback failed")
    assert logged["problem"] == "the disk is full"


@pytest.mark.parametrize(
    "problem", [FenceRefused("another process serves the account default by now"), LeaseLost("lost")]
)
async def test_an_account_that_moved_meanwhile_is_503_and_no_failure(problem: Exception, logbook: Logbook) -> None:
    """A call that a process was handling when it lost the account's lease may be made again."""
    port = open_port()
    port.handler.fail = problem
    status, _, _ = await port.post(COMMAND_PATH, form(), headers=FORM_TYPE)
    assert status == 503
    assert not logbook.find("callback failed")


async def test_a_refusal_of_the_account_is_passed_on() -> None:
    """The status and words of a refusal are the account's."""
    port = open_port()
    port.handler.fail = CallbackRefused(500, "Failed to validate interaction")
    status, body, _ = await port.post(CLICK_PATH, click_body(), headers=JSON_TYPE)
    assert (status, json.loads(body)) == (500, {"error": "Failed to validate interaction"})


async def test_what_happened_is_counted() -> None:
    """Answers are counted by kind and status, refusals of the guard by reason."""
    port = open_port()
    await port.post(COMMAND_PATH, form(), headers=FORM_TYPE)
    await port.post("/nowhere")
    count = port.metrics.registry.get_sample_value
    assert count("oc_trio_callbacks_total", {"kind": "command", "result": "200"}) == 1
    assert count("oc_trio_callbacks_total", {"kind": "none", "result": "unknown_path"}) == 1


async def test_a_refused_signature_is_logged_in_the_documented_words(logbook: Logbook) -> None:
    """Operators find `invalid _token` and `missing _token in context`, and no secret beside them."""
    port = open_port()
    await port.post(CLICK_PATH, click_body(context={"action_id": "yes", "_token": "0" * 64}), headers=JSON_TYPE)
    await port.post(CLICK_PATH, click_body(context={"action_id": "yes"}), headers=JSON_TYPE)
    assert len(logbook.find("invalid _token")) == len(logbook.find("missing _token in context")) == 1
    assert "0" * 64 not in str(logbook.events)


HALVES = [
    pytest.param(rb"\ud800", id="half an emoji"),
    pytest.param(rb"\u0000", id="NUL"),
    pytest.param(b"\xed\xa0\x80", id="half an emoji as bytes"),
    pytest.param(b"\xff", id="no UTF-8"),
    pytest.param(b"\0", id="NUL as a byte"),
]
HOOK = {"Authorization": f"Bearer {HOOK_TOKEN}"}


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize(
    ("path", "headers", "body"),
    [
        (COMMAND_PATH, {"Content-Type": "application/json"}, json.dumps({**FORM, "text": "HERE"})),
        (COMMAND_PATH, {"Content-Type": "application/json"}, json.dumps({**FORM, "HERE": "x"})),
        (CLICK_PATH, {}, json.dumps({"user_id": "u", "context": {"action_id": "HERE", "_token": "t"}})),
        (CLICK_PATH, {}, json.dumps({"user_id": "u", "post_id": "p", "context": {"deep": [{"HERE": 1}]}})),
        (CLICK_PATH, {}, json.dumps({"type": "dialog_submission", "state": "HERE", "submission": {}})),
        ("/hooks/wake", HOOK, json.dumps({"text": "HERE"})),
        ("/hooks/agent", HOOK, json.dumps({"message": "x", "sessionKey": "HERE"})),
        ("/hooks/deliver", HOOK, json.dumps({"to": "#town", "text": "x", "buttons": [[{"text": "HERE"}]]})),
    ],
    ids=["command", "command's key", "click", "click's key", "dialog", "wake", "agent", "deliver"],
)
async def test_text_that_is_none_is_refused(path: str, headers: dict[str, str], body: str, half: bytes) -> None:
    """Half a surrogate pair, NUL and bad UTF-8 are the caller's mistake: 400 in the endpoint's words."""
    port = open_port()
    status, answer, _ = await port.post(path, body.encode().replace(b"HERE", half), headers=headers)
    assert (status, answer.decode() != "") == (400, True)
    handler = port.handler
    assert [*handler.calls, *handler.clicks, *handler.hooks, *handler.dialogs] == []


@pytest.mark.parametrize("text", ["%ED%A0%80", "%00", "a%00b", "%ff", "\0"])
@pytest.mark.parametrize("field", ["text", "user_name", "root_id", "command", "unknown"])
async def test_a_form_that_holds_no_text_is_refused(field: str, text: str) -> None:
    """NUL and bytes that are not UTF-8 are refused in every field, however they are spelled."""
    port = open_port()
    body = f"{urlencode({**FORM, field: ''})}&{field}={text}".encode()
    status, _, _ = await port.post(COMMAND_PATH, body, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert (status, port.handler.calls) == (400, [])


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/hooks/wake?x=%ED%A0%80&y=%00", HOOK),
        ("/hooks/wake", {**HOOK, "Content-Type": "\xff"}),
        ("/hooks/wake", {**HOOK, "X-Forwarded-For": "\xff, \xfe"}),
    ],
    ids=["query", "type", "address"],
)
async def test_odd_headers_and_queries_that_mean_nothing_here(path: str, headers: dict[str, str]) -> None:
    """The hook is taken as without them."""
    port = open_port()
    assert (await port.post(path, b'{"text": "x"}', headers=headers))[0] == 202
    for odd in ("\xff", "%ED%A0%80", "é" * 300):
        status, _, _ = await port.post(path, b'{"text": "x"}', headers={**headers, "Idempotency-Key": odd})
        assert status in (202, 400)
