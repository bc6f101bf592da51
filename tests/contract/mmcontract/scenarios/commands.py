"""Slash commands: managing, calling back, answering."""

import json
import re
import time
from typing import Any
from urllib.parse import parse_qsl

import httpx

from tests.contract.mmcontract.client import Actor
from tests.contract.mmcontract.scenario import Run, scenario, slow
from tests.contract.mmcontract.scenarios.dialogs import dialog
from tests.contract.mmcontract.values import ABSENT, UNKNOWN_ID, as_json, pick, suffix

COMMAND = (
    "id team_id creator_id trigger method url token auto_complete auto_complete_desc auto_complete_hint display_name"
    " description username? delete_at"
)


async def command(t: Run, url: str, **more: Any) -> dict[str, Any]:
    trig = f"ct{suffix(10)}"
    t.norm.alias(trig, "<trigger>")
    cmd: dict[str, Any] = await t.cmdbot.ok(
        "POST", "/commands", {"team_id": t.team, "trigger": trig, "method": "P", "url": url, **more}
    )
    t.norm.alias(cmd["token"], "<command token>")
    t.norm.alias(cmd["id"], "<command>")
    return cmd


async def execute(t: Run, c: str, text: str, by: Actor | None = None, **more: Any) -> httpx.Response:
    return await (by or t.user).post("/commands/execute", {"channel_id": c, "team_id": t.team, "command": text, **more})


@scenario
async def command_permission(t: Run) -> None:
    """A plain bot may not manage slash commands (403; 404 for one that exists); a team admin bot may."""
    cmd = await command(t, t.hook.json({}))
    body = {"team_id": t.team, "trigger": "ct" + suffix(8), "method": "P", "url": t.hook.json({})}
    t.rest("create by a plain bot", await t.bot.post("/commands", body))
    t.rest(
        "list custom by a plain bot", await t.bot.get("/commands", params={"team_id": t.team, "custom_only": "true"})
    )
    t.rest("get by a plain bot", await t.bot.get(f"/commands/{cmd['id']}"))
    t.rest("update by a plain bot", await t.bot.put(f"/commands/{cmd['id']}", cmd))
    t.rest("delete by a plain bot", await t.bot.delete(f"/commands/{cmd['id']}"))
    t.rest("regenerate by a plain bot", await t.bot.put(f"/commands/{cmd['id']}/regen_token"))
    t.rest("create in an unknown team", await t.cmdbot.post("/commands", {**body, "team_id": UNKNOWN_ID}))


@scenario
async def command_crud(t: Run) -> None:
    """Create (201, with the token), get, list, update (the token stays), regenerate the token, delete."""
    trig = "Ct" + suffix(8)
    t.norm.alias(trig.lower(), "<trigger>")
    url = t.hook.json({})
    t.norm.alias(url, "<url>")
    body = {
        "team_id": t.team,
        "trigger": trig,
        "method": "P",
        "url": url,
        "auto_complete": True,
        "auto_complete_desc": "does it",
        "auto_complete_hint": "[what]",
        "display_name": "Kit",
        "description": "d",
    }
    r = await t.cmdbot.post("/commands", body)
    cmd = r.json()
    t.norm.alias(cmd["id"], "<command>")
    t.norm.alias(cmd["token"], "<command token>")
    t.rest("create", r, COMMAND)
    t.rest("get", await t.cmdbot.get(f"/commands/{cmd['id']}"), COMMAND)
    r = await t.cmdbot.get("/commands", params={"team_id": t.team, "custom_only": "true"})
    t.see("list", {"status": r.status_code, "it": [pick(x, COMMAND) for x in r.json() if x["id"] == cmd["id"]]})
    r = await t.cmdbot.put(f"/commands/{cmd['id']}", {**cmd, "token": "x" * 26, "auto_complete_hint": "[new]"})
    t.rest("update", r, "id token auto_complete_hint creator_id")
    r = await t.cmdbot.put(f"/commands/{cmd['id']}/regen_token")
    t.see(
        "regenerate", {"status": r.status_code, "keys": sorted(r.json()), "changed": r.json()["token"] != cmd["token"]}
    )
    r2 = await t.cmdbot.get(f"/commands/{cmd['id']}")
    t.see("new token is stored", r2.json()["token"] == r.json()["token"])
    t.norm.alias(r.json()["token"], "<new token>")
    r = await t.user.get(f"/teams/{t.team}/commands/autocomplete")
    t.see(
        "autocomplete for a user",
        {
            "status": r.status_code,
            "it": [
                pick(x, "trigger auto_complete auto_complete_desc auto_complete_hint token url")
                for x in r.json()
                if x["trigger"] == trig.lower()
            ],
        },
    )
    t.rest("delete", await t.cmdbot.delete(f"/commands/{cmd['id']}"), "status")
    t.rest("get deleted", await t.cmdbot.get(f"/commands/{cmd['id']}"))
    t.rest("delete again", await t.cmdbot.delete(f"/commands/{cmd['id']}"))
    t.rest("create the same trigger after", await t.cmdbot.post("/commands", body), "trigger")


@scenario
async def command_create_errors(t: Run) -> None:
    """A trigger that is taken (in any case, by anyone), a built in one, one with a slash or blank, no url, a bad
    method."""
    cmd = await command(t, t.hook.json({}))
    base = {"team_id": t.team, "method": "P", "url": t.hook.json({})}

    async def create(label: str, **more: Any) -> None:
        t.rest(label, await t.cmdbot.post("/commands", {**base, "trigger": "ct" + suffix(8), **more}), "team_id")

    await create("taken", trigger=cmd["trigger"])
    await create("taken, upper case", trigger=cmd["trigger"].upper())
    await create("built in: join", trigger="join")
    await create("built in: help", trigger="help")
    await create("with a slash", trigger="/abc" + suffix(4))
    await create("with a blank", trigger="ab cd")
    await create("empty trigger", trigger="")
    await create("128 letters", trigger="a" * 122 + suffix(6))
    await create("129 letters", trigger="a" * 123 + suffix(6))
    await create("hyphen and underscore", trigger="a-b_" + suffix(6))
    await create("no url", url="")
    await create("not an http url", url="ftp://x/y")
    await create("no method", method="")
    await create("bad method", method="X")
    second = await command(t, t.hook.json({}))
    r = await t.cmdbot.put(f"/commands/{second['id']}", {**second, "trigger": cmd["trigger"]})
    t.rest("update to a taken trigger", r, "trigger")


@scenario
async def command_callback(t: Run) -> None:
    """What the callback receives: a form POST with Authorization: Token <token>; fields by name."""
    c = await t.channel()
    url = t.hook.json({"text": "ok"})
    cmd = await command(t, url)
    r = await execute(t, c, f"/{cmd['trigger']} do  this @{t.other.name} in ~town-square ")
    t.rest("execute", r, "response_type text trigger_id!")
    call = t.hook.got(url)[0]
    form = dict(parse_qsl(call["body"], keep_blank_values=True))
    t.see(
        "request",
        {
            "method": call["method"],
            "headers": {h: call["headers"].get(h, ABSENT) for h in ("content-type", "accept", "authorization")},
        },
    )
    t.see("fields", sorted(form))
    t.see("form", {k: form[k] for k in sorted(form) if k not in ("trigger_id", "response_url")})
    t.see("response_url looks like", bool(re.search(r"/hooks/commands/[a-z0-9]{26}$", form["response_url"])))
    t.see("trigger_id is there", bool(form["trigger_id"]))


@scenario
async def command_callback_get(t: Run) -> None:
    """With method G the same fields come in the query string."""
    c = await t.channel()
    url = t.hook.json({"text": "ok"})
    cmd = await command(t, url, method="G")
    t.rest("execute", await execute(t, c, f"/{cmd['trigger']} hello"), "text")
    call = t.hook.got(url)[0]
    q = dict(parse_qsl(call["query"], keep_blank_values=True))
    t.see(
        "request",
        {
            "method": call["method"],
            "authorization": call["headers"].get("authorization"),
            "body": call["body"],
            "text": q.get("text"),
            "token": q.get("token"),
        },
    )


@scenario
async def command_in_thread_and_direct(t: Run) -> None:
    """root_id is passed on; in a direct channel team_id is the one the caller names; the answer goes to the same
    place."""
    c = await t.channel()
    url = t.hook.json({"response_type": "in_channel", "text": "pong"})
    cmd = await command(t, url)
    root = await t.user.say(c, "root")
    t.ident(root["id"], "<root>")
    w = await t.ws(t.user)
    t.rest("in a thread", await execute(t, c, f"/{cmd['trigger']} x", root_id=root["id"]), "response_type")
    t.event("answer", await w.posted("pong"), "", "root_id channel_id user_id message")
    d = await t.dm(t.bot, t.user)
    t.rest("in a direct channel", await execute(t, d, f"/{cmd['trigger']} y"), "response_type")
    t.event("answer there", await w.posted("pong"), "channel_type", "root_id channel_id user_id message")
    forms = [dict(parse_qsl(x["body"], keep_blank_values=True)) for x in t.hook.got(url)]
    t.see("forms", [pick(f, "root_id channel_id channel_name team_id team_domain text") for f in forms])


@scenario
async def command_answers(t: Run) -> None:
    """How each answer is shown: in_channel is a real post by the caller with from_webhook; ephemeral and no
    response_type go to the caller only; plain text is ephemeral; extra_responses come too; an unknown type shows
    nothing."""
    c = await t.channel()
    wu, wb = await t.ws(t.user), await t.ws(t.bot)

    async def case(label: str, answer: Any, event: str, text: str, ctype: str = "application/json") -> None:
        cmd = await command(t, t.hook.path((200, ctype, answer if isinstance(answer, str) else json.dumps(answer))))
        r = await execute(t, c, f"/{cmd['trigger']}")
        t.rest(label, r, "response_type text")
        m = await wu.expect(event, lambda m: text in m["data"].get("post", ""))
        t.event(label + ": event", m, "", "user_id root_id message type props.from_webhook props.from_bot?")

    await case("in_channel", {"response_type": "in_channel", "text": "for all"}, "posted", "for all")
    t.event(
        "in_channel: seen by the bot", await wb.posted("for all"), "sender_name", "user_id message props.from_webhook"
    )
    await case("ephemeral", {"response_type": "ephemeral", "text": "for you"}, "ephemeral_message", "for you")
    await case("no type", {"text": "untyped"}, "ephemeral_message", "untyped")
    cmd = await command(t, t.hook.json({"response_type": "shout", "text": "odd type"}))
    t.rest("unknown type", await execute(t, c, f"/{cmd['trigger']}"), "response_type text")
    await case("plain text", "just text", "ephemeral_message", "just text", "text/plain")
    await case("json sent as text", '{"text": "raw json"}', "ephemeral_message", "raw json", "text/plain")
    await case(
        "extra",
        {"text": "first", "extra_responses": [{"response_type": "in_channel", "text": "second one"}]},
        "posted",
        "second one",
    )
    await t.fence(wb)
    t.see("the bot saw ephemerals", len(wb.events("ephemeral_message")))
    t.see("the unknown type made", [m["event"] for m in wu.log if "odd type" in json.dumps(m)])


@scenario
async def command_bad_answers(t: Run) -> None:
    """An empty text body and {} are 200 without a post; an in_channel answer without text makes an empty post; an empty
    JSON body, broken JSON, any status but 200 and no listener give the caller 500."""
    c = await t.channel()
    w = await t.ws(t.user)
    cases = {
        "empty json body": t.hook.path((200, "application/json", "")),
        "empty text body": t.hook.path((200, "text/plain", "")),
        "empty object": t.hook.json({}),
        "empty text field": t.hook.json({"response_type": "in_channel", "text": ""}),
        "broken json": t.hook.path((200, "application/json", "{nope")),
        "a list": t.hook.path((200, "application/json", "[]")),
        "500": t.hook.path((500, "text/plain", "boom")),
        "201": t.hook.json({"text": "created"}, status=201),
        "nobody listens": "http://127.0.0.1:9/closed",
    }
    for label, url in cases.items():
        cmd = await command(t, url)
        t.rest(label, await execute(t, c, f"/{cmd['trigger']}"), "response_type text")
    await t.fence(w)
    got = [as_json(m["data"]["post"]) for m in w.events("posted", "ephemeral_message")]
    t.see(
        "posts made",
        [(p["type"], p["message"]) for p in got if p["channel_id"] == c and not p["type"].startswith("system_add")],
    )


@scenario
async def command_execute_errors(t: Run) -> None:
    """An unknown command 404, no slash 400, not in the channel 403, an archived channel 400; case of the trigger
    does not matter."""
    c = await t.channel()
    p = await t.channel("P", members=(t.bot,), alias="<private>")
    url = t.hook.json({"text": "ok"})
    cmd = await command(t, url)
    t.rest("unknown", await execute(t, c, "/nonesuch" + suffix(6)))
    t.rest("no slash", await execute(t, c, "hello"))
    t.rest("only a slash", await execute(t, c, "/"))
    t.rest("not in the channel", await execute(t, p, f"/{cmd['trigger']}"))
    t.rest("unknown channel", await execute(t, UNKNOWN_ID, f"/{cmd['trigger']}"))
    t.rest("upper case", await execute(t, c, f"/{cmd['trigger'].upper()} x"), "text")
    t.rest("line break after the trigger", await execute(t, c, f"/{cmd['trigger']}\nline two"), "text")
    t.rest("by a bot", await execute(t, c, f"/{cmd['trigger']} from a bot", by=t.bot), "text")
    forms = [dict(parse_qsl(x["body"], keep_blank_values=True)) for x in t.hook.got(url)]
    t.see("callbacks", [pick(f, "command text user_id") for f in forms])
    await t.admin.ok("DELETE", f"/channels/{c}")
    t.rest("archived channel", await execute(t, c, f"/{cmd['trigger']}"))


@scenario
async def command_regenerated_token(t: Run) -> None:
    """After regenerating, the callback carries the new token in both places."""
    c = await t.channel()
    url = t.hook.json({"text": "ok"})
    cmd = await command(t, url)
    new = (await t.cmdbot.ok("PUT", f"/commands/{cmd['id']}/regen_token"))["token"]
    t.norm.alias(new, "<new token>")
    await execute(t, c, f"/{cmd['trigger']}")
    call = t.hook.got(url)[0]
    t.see(
        "token",
        {"form": dict[str, Any](parse_qsl(call["body"]))["token"], "header": call["headers"].get("authorization")},
    )


@scenario
async def command_response_url(t: Run) -> None:
    """POSTing to response_url needs no token: ephemeral or in_channel answers; five uses, then 400; an unknown one
    is 404."""
    c = await t.channel()
    url = t.hook.json({})
    cmd = await command(t, url)
    w = await t.ws(t.user)
    await execute(t, c, f"/{cmd['trigger']}")
    site = (await t.bot.get("/config/client", params={"format": "old"})).json().get("SiteURL") or t.kit.base
    ru = dict(parse_qsl(t.hook.got(url)[0]["body"]))["response_url"].replace(site, t.kit.base)
    r = await t.anon.post(ru, {"response_type": "in_channel", "text": "late for all"})
    t.see("in_channel", {"status": r.status_code, "text": r.text})
    t.event("in_channel: event", await w.posted("late for all"), "", "user_id message props.from_webhook")
    r = await t.anon.post(ru, {"text": "late for you"})
    t.see("ephemeral", {"status": r.status_code, "text": r.text})
    t.event(
        "ephemeral: event",
        await w.expect("ephemeral_message", lambda m: "late for you" in m["data"]["post"]),
        "",
        "message type",
    )
    r = await t.anon.req("POST", ru, content=b"plain words", headers={"Content-Type": "text/plain"})
    t.see("plain text", {"status": r.status_code, "text": r.text})
    codes = []
    for _ in range(4):
        r = await t.anon.post(ru, {"text": "more"})
        codes.append((r.status_code, r.json().get("id") if r.status_code >= 400 else None))
    t.see("uses four to seven", codes)
    t.rest("unknown", await t.anon.post(f"{t.kit.base}/hooks/commands/{UNKNOWN_ID}", {"text": "x"}))


@scenario
async def command_trigger_opens_dialog(t: Run) -> None:
    """The trigger_id of a slash command opens a dialog as well."""
    c = await t.channel()
    url = t.hook.json({})
    cmd = await command(t, url)
    w = await t.ws(t.user)
    await execute(t, c, f"/{cmd['trigger']}")
    trig = dict(parse_qsl(t.hook.got(url)[0]["body"]))["trigger_id"]
    t.rest(
        "open",
        await t.bot.post("/actions/dialogs/open", {"trigger_id": trig, "url": url, "dialog": dialog()}),
        "status",
    )
    m = await w.expect("open_dialog")
    t.see("event", as_json(m["data"]["dialog"])["dialog"]["callback_id"])


@scenario
async def command_slow_answer(t: Run) -> None:
    """An answer that takes two seconds is used; the caller waits."""
    c = await t.channel()
    cmd = await command(t, t.hook.json({"text": "late"}, delay=2))
    t0 = time.monotonic()
    t.rest("execute", await execute(t, c, f"/{cmd['trigger']}"), "text")
    t.see("waited", time.monotonic() - t0 > 1.9)


@scenario
@slow
async def command_timeout(t: Run) -> None:
    """A callback that never answers: after OutgoingIntegrationRequestsTimeout (30 s) the caller gets 500."""
    c = await t.channel()
    cmd = await command(t, t.hook.json({"text": "never"}, delay=45))
    t.rest("execute", await execute(t, c, f"/{cmd['trigger']}"), "text")


@scenario
async def command_list_for_team(t: Run) -> None:
    """GET /commands?team_id= without custom_only lists built in ones too; a team admin sees others' commands; tokens
    are blank there."""
    cmd = await command(t, t.hook.json({}))
    r = await t.cmdbot.get("/commands", params={"team_id": t.team})
    mine = [x for x in r.json() if x["id"] == cmd["id"]]
    t.see(
        "all",
        {
            "status": r.status_code,
            "built in ones": any(x["trigger"] == "join" for x in r.json()),
            "mine": [pick(x, "trigger token url creator_id") for x in mine],
        },
    )
    r = await t.admin.get("/commands", params={"team_id": t.team, "custom_only": "true"})
    t.see("custom, by the admin", [pick(x, "trigger token creator_id") for x in r.json() if x["id"] == cmd["id"]])
    t.rest("no team", await t.cmdbot.get("/commands"))


@scenario
async def command_survives_bot(t: Run) -> None:
    """A slash command goes on working after the bot that made it was disabled."""
    c = await t.channel()
    b = await t.new_bot("maker")
    await t.admin.ok("PUT", f"/teams/{t.team}/members/{b.id}/roles", {"roles": "team_user team_admin"})
    trig = "ct" + suffix(10)
    t.norm.alias(trig, "<trigger>")
    url = t.hook.json({"text": "still here"})
    await b.ok("POST", "/commands", {"team_id": t.team, "trigger": trig, "method": "P", "url": url})
    await t.admin.ok("POST", f"/bots/{b.id}/disable")
    r = await execute(t, c, f"/{trig}")
    t.see("execute", {"status": r.status_code, "text": r.json().get("text"), "callbacks": len(t.hook.got(url))})
