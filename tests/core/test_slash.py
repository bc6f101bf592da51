import json
from urllib.parse import urlencode

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.chat_commands import USAGE
from oc_trio.core.entities import SlashCommand
from oc_trio.core.slash import (
    BUILT_IN,
    INVALID_PAYLOAD,
    SlashCall,
    command_text,
    cut_description,
    ephemeral,
    find_registered,
    is_current,
    match_call,
    parse_call,
    skill_trigger,
    wanted_commands,
)
from oc_trio.errors import CallbackRefused
from oc_trio.ids import ChannelId, CommandId, TeamId, UserId

FORM = "application/x-www-form-urlencoded"
FIELDS = {
    "token": "tok1",
    "team_id": "t1",
    "channel_id": "c1",
    "user_id": "u1",
    "user_name": "alice",
    "command": "/oc_status",
    "text": " do  this @bob ",
    "root_id": "",
    "response_url": "http://chat/hooks/commands/x",
}
CALL = SlashCall("tok1", TeamId("t1"), ChannelId("c1"), UserId("u1"), "/oc_status")
COMMAND = SlashCommand(CommandId("k1"), TeamId("t1"), "oc_status", url="http://gw/cmd", token="tok1")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (urlencode(FIELDS).encode(), FORM),
        (urlencode(FIELDS).encode(), ""),
        (json.dumps(FIELDS).encode(), "application/json; charset=utf-8"),
    ],
    ids=["form", "no type", "json"],
)
def test_a_call_is_read(body: bytes, content_type: str) -> None:
    call = parse_call(body, content_type)
    assert (call.trigger, call.user_name, call.text, call.root_id) == ("oc_status", "alice", " do  this @bob ", "")


def test_secrets_stay_out_of_the_repr() -> None:
    shown = repr(parse_call(urlencode(FIELDS).encode(), FORM))
    assert "tok1" not in shown
    assert "hooks/commands" not in shown


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", FORM),
        (urlencode({**FIELDS, "token": ""}).encode(), FORM),
        (urlencode({name: value for name, value in FIELDS.items() if name != "user_id"}).encode(), FORM),
        (b"token=%ff&team_id=1&channel_id=1&user_id=1&command=1", FORM),
        (b"\xff", FORM),
        (b"&".join(b"a%d=1" % n for n in range(500)), FORM),
        (b"{", "application/json"),
        (b"[1]", "application/json"),
        (json.dumps({**FIELDS, "token": 7}).encode(), "application/json"),
        (b"[" * 60_000, "application/json"),
    ],
    ids=["empty", "blank token", "no user", "bad escape", "not utf-8", "many", "broken", "list", "number", "deep"],
)
def test_what_is_no_call_is_refused_in_the_documented_words(body: bytes, content_type: str) -> None:
    with pytest.raises(CallbackRefused) as caught:
        parse_call(body, content_type)
    assert (caught.value.status_hint, caught.value.reason) == (400, INVALID_PAYLOAD)


@given(st.binary(max_size=200), st.sampled_from([FORM, "application/json", ""]))
def test_any_body_is_read_or_refused(body: bytes, content_type: str) -> None:
    try:
        parse_call(body, content_type)
    except CallbackRefused as refused:
        status = refused.status_hint
    else:
        status = 400
    assert status == 400


@pytest.mark.parametrize(
    ("call", "matches"),
    [
        (CALL, True),
        (evolve(CALL, command="/OC_Status"), True),
        (evolve(CALL, token="tok2"), False),
        (evolve(CALL, token="é\ud800"), False),
        (evolve(CALL, team_id=TeamId("t2")), False),
        (evolve(CALL, command="/oc_new"), False),
    ],
    ids=["right", "case", "wrong token", "odd token", "other team", "other command"],
)
def test_a_call_matches_only_its_own_command_and_team(call: SlashCall, matches: bool) -> None:
    other = evolve(COMMAND, id=CommandId("k2"), trigger="oc_new", token="tok9")
    assert (match_call(call, [other, COMMAND]) == COMMAND) is matches


def test_a_regenerated_token_still_names_its_command() -> None:
    assert find_registered(evolve(CALL, token="regenerated"), [COMMAND]) == (COMMAND,)


def test_a_command_without_a_token_matches_nothing() -> None:
    assert match_call(evolve(CALL, token=""), [evolve(COMMAND, token="")]) is None


@pytest.mark.parametrize(
    ("live", "call", "current"),
    [
        (COMMAND, CALL, True),
        (evolve(COMMAND, token="new"), evolve(CALL, token="new"), True),
        (evolve(COMMAND, token="new"), CALL, False),
        (evolve(COMMAND, delete_at=5), CALL, False),
        (evolve(COMMAND, url="http://elsewhere"), CALL, False),
        (evolve(COMMAND, method="G"), CALL, False),
        (evolve(COMMAND, id=CommandId("k9")), CALL, False),
        (evolve(COMMAND, token=""), evolve(CALL, token=""), False),
    ],
    ids=["same", "regenerated", "stale token", "deleted", "url", "method", "id", "hidden token"],
)
def test_the_servers_record_decides(live: SlashCommand, call: SlashCall, current: bool) -> None:
    assert is_current(COMMAND, live, call) is current


@pytest.mark.parametrize(
    ("command", "text", "expected"),
    [
        ("/oc_status", "", "/status"),
        ("/oc_think", "  high ", "/think high"),
        ("/oc_add_provider", "x y", "/Add-Provider x y"),
        ("/oc_unknown", "z", "/unknown z"),
    ],
)
def test_the_text_command(command: str, text: str, expected: str) -> None:
    specs = wanted_commands([("Add-Provider", "Adds one")])
    assert command_text(evolve(CALL, command=command, text=text), specs) == expected


def test_the_set_of_commands() -> None:
    """All ten built-in ones come first; a skill can't take one of their triggers; unnamed skills are left out."""
    specs = wanted_commands(
        [("status", "x"), ("My Skill", ""), ("my-skill", "again"), ("!!!", "none"), ("oc_ping", "p")]
    )
    assert [spec.trigger for spec in specs[:10]] == [
        "oc_status", "oc_model", "oc_models", "oc_new", "oc_stop", "oc_help", "oc_think", "oc_reasoning", "oc_verbose",
        "oc_queue",
    ]  # fmt: skip
    assert [(spec.trigger, spec.original, spec.description) for spec in specs[10:]] == [
        ("oc_my_skill", "My Skill", "My Skill"),
        ("oc_ping", "oc_ping", "p"),
    ]
    assert all(len(spec.description.encode()) <= 128 for spec in BUILT_IN)


def test_each_built_in_command_is_one_that_chat_understands() -> None:
    assert {spec.original for spec in BUILT_IN} == set(USAGE)


@given(st.text())
def test_a_skill_trigger_is_one_that_mattermost_takes(name: str) -> None:
    trigger = skill_trigger(name)
    assert trigger == "" or (trigger.startswith("oc_") and trigger.isascii() and trigger == trigger.lower())
    assert " " not in trigger
    assert len(trigger) <= 128


@given(st.text())
def test_a_description_fits_in_128_bytes_on_one_line(text: str) -> None:
    cut = cut_description(text)
    assert len(cut.encode("utf-8", "replace")) <= 128
    assert "\n" not in cut


def test_ephemeral_answer() -> None:
    assert ephemeral("Processing...") == {"response_type": "ephemeral", "text": "Processing..."}
