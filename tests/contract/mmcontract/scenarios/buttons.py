"""Buttons and menus of posts."""

import asyncio
import json
import re
import time
from typing import Any

from tests.contract.mmcontract.client import Actor
from tests.contract.mmcontract.scenario import Run, scenario, slow
from tests.contract.mmcontract.values import ABSENT, UNKNOWN_ID, as_json, pick


def button(url: str, aid: str = "approve", **more: Any) -> dict[str, Any]:
    return {
        "id": aid,
        "name": "Approve",
        "type": "button",
        "style": "primary",
        "integration": {"url": url, "context": {"do": "approve", "n": 1}},
        **more,
    }


async def button_post(
    t: Run, c: str, url: str, by: Actor | None = None, aid: str = "approve", **more: Any
) -> dict[str, Any]:
    p = await (by or t.bot).say(
        c, "press", props={"attachments": [{"text": "really?", "actions": [button(url, aid)]}], "mine": "kept", **more}
    )
    t.ident(p["id"], "<post>")
    return p


ACTIONS = (
    "props.attachments.text props.attachments.actions.id props.attachments.actions.name props.attachments.actions.type"
    " props.attachments.actions.integration"
)


@scenario
async def button_visibility(t: Run) -> None:
    """The `integration` of an action (url and context) is given to nobody: not to the creator, not on read, not in
    events."""
    c = await t.channel()
    w = await t.ws(t.user)
    p = await button_post(t, c, t.hook.json({}))
    t.see("to the creator", pick(p, ACTIONS))
    t.rest("read by the bot", await t.bot.get(f"/posts/{p['id']}"), ACTIONS)
    t.rest("read by a user", await t.user.get(f"/posts/{p['id']}"), ACTIONS)
    m = await w.posted(p["id"])
    t.event("posted", m, "", ACTIONS)
    r = await t.bot.get(f"/channels/{c}/posts")
    t.see("in the list", pick(r.json()["posts"][p["id"]], ACTIONS))
    t.rest(
        "patched message keeps the button", await t.bot.put(f"/posts/{p['id']}/patch", {"message": "changed"}), ACTIONS
    )
    url = t.hook.json({})
    t.rest(
        "patched attachments",
        await t.bot.put(
            f"/posts/{p['id']}/patch", {"props": {"attachments": [{"text": "new", "actions": [button(url, "later")]}]}}
        ),
        ACTIONS,
    )
    t.rest("press the new one", await t.user.post(f"/posts/{p['id']}/actions/later", {}), "status")
    t.see("callbacks", len(t.hook.got(url)))
    t.rest("press the old one", await t.user.post(f"/posts/{p['id']}/actions/approve", {}))


@scenario
async def button_round_trip(t: Run) -> None:
    """A bot that reads its post and puts it back loses the buttons' integrations: the press is then 404."""
    c = await t.channel()
    url = t.hook.json({})
    p = await button_post(t, c, url)
    back = (await t.bot.get(f"/posts/{p['id']}")).json()
    r = await t.bot.put(f"/posts/{p['id']}", {"id": p["id"], "message": "edited", "props": back["props"]})
    t.rest("put back", r, ACTIONS)
    t.rest("press", await t.user.post(f"/posts/{p['id']}/actions/approve", {}))
    t.see("callbacks", len(t.hook.got(url)))


@scenario
async def button_press(t: Run) -> None:
    """What the integration receives: POST, JSON; the answer {} gives 200 with a trigger_id."""
    c = await t.channel()
    url = t.hook.json({})
    p = await button_post(t, c, url)
    r = await t.user.post(f"/posts/{p['id']}/actions/approve", {})
    t.rest("press", r, "status trigger_id!")
    call = t.hook.got(url)[0]
    body = json.loads(call["body"])
    t.see(
        "callback",
        {
            "method": call["method"],
            "headers": {
                h: call["headers"].get(h, ABSENT) for h in ("content-type", "accept", "authorization", "cookie")
            },
        },
    )
    t.see("callback keys", sorted(body))
    t.see(
        "callback body",
        pick(
            body,
            "user_id user_name channel_id channel_name team_id team_domain post_id type data_source context"
            " trigger_id!",
        ),
    )
    t.rest("press without a body", await t.user.req("POST", f"/posts/{p['id']}/actions/approve"), "status")
    t.rest("press by the bot itself", await t.bot.post(f"/posts/{p['id']}/actions/approve", {}), "status")
    t.see("callbacks", [json.loads(x["body"])["user_id"] == t.user.id for x in t.hook.got(url)])


@scenario
async def button_press_in_direct(t: Run) -> None:
    """In a direct channel team_id and team_domain are empty in the callback."""
    d = await t.dm(t.bot, t.user)
    url = t.hook.json({})
    p = await button_post(t, d, url)
    t.rest("press", await t.user.post(f"/posts/{p['id']}/actions/approve", {}), "status")
    t.see(
        "callback body",
        pick(json.loads(t.hook.got(url)[0]["body"]), "user_id channel_id channel_name team_id team_domain post_id"),
    )


@scenario
async def button_update(t: Run) -> None:
    """Answer {"update": {message, props}}: the post is changed (props replaced), a post_edited event goes out."""
    c = await t.channel()
    url = t.hook.json({"update": {"message": "done", "props": {"fresh": "yes"}}})
    p = await button_post(t, c, url)
    w = await t.ws(t.user)
    t.rest("press", await t.user.post(f"/posts/{p['id']}/actions/approve", {}), "status")
    t.event(
        "event",
        await w.expect("post_edited"),
        "",
        "id user_id message props.fresh props.mine props.attachments props.from_bot",
    )
    t.rest(
        "post",
        await t.bot.get(f"/posts/{p['id']}"),
        "user_id message edit_at props.fresh props.mine props.attachments props.from_bot",
    )


@scenario
async def button_update_keeps_props(t: Run) -> None:
    """An update without props keeps them (the buttons stay); with empty props the buttons go; override_username is
    kept in any case; an update without a message empties the message."""
    c = await t.channel()
    for label, update in (
        ("no props", {"message": "m"}),
        ("empty props", {"message": "m", "props": {}}),
        ("no message", {"props": {"a": "b"}}),
        ("empty update", {}),
    ):
        p = await button_post(t, c, t.hook.json({"update": update}), override_username="shown")
        t.rest(label + ": press", await t.user.post(f"/posts/{p['id']}/actions/approve", {}), "status")
        t.rest(
            label + ": post",
            await t.bot.get(f"/posts/{p['id']}"),
            "message props.mine props.attachments.text props.override_username props.a",
        )


@scenario
async def button_ephemeral(t: Run) -> None:
    """Answer {"ephemeral_text": ...}: an ephemeral post for the presser only, as their own user_id, in the thread of
    the post."""
    c = await t.channel()
    p = await button_post(t, c, t.hook.json({"ephemeral_text": "only you"}))
    w = await t.ws(t.user)
    t.rest("press", await t.user.post(f"/posts/{p['id']}/actions/approve", {}), "status")
    t.event("event", await w.expect("ephemeral_message"), "", "user_id channel_id root_id message type")
    both = await button_post(t, c, t.hook.json({"ephemeral_text": "and", "update": {"message": "both"}}))
    await t.user.post(f"/posts/{both['id']}/actions/approve", {})
    t.event("both: event", await w.expect("ephemeral_message"), "", "message")
    t.rest("both: post", await t.bot.get(f"/posts/{both['id']}"), "message")


@scenario
async def button_bad_answers(t: Run) -> None:
    """Answers that are not 200 or not JSON give the presser 400; an empty body and {"error": ...} are 200; 201 is an
    error too."""
    c = await t.channel()
    cases = {
        "500": t.hook.path((500, "text/plain", "boom")),
        "404": t.hook.path((404, "application/json", "{}")),
        "201": t.hook.json({}, status=201),
        "204": t.hook.path((204, "text/plain", "")),
        "302": t.hook.path((302, "text/plain", "")),
        "empty body": t.hook.path((200, "text/plain", "")),
        "not json": t.hook.path((200, "text/plain", "hello")),
        "json as text": t.hook.path((200, "text/plain", '{"update": {"message": "x"}}')),
        "a list": t.hook.path((200, "application/json", "[]")),
        "error field": t.hook.json({"error": {"message": "no"}}),
        "unknown fields": t.hook.json({"whatever": 1}),
        "null": t.hook.path((200, "application/json", "null")),
        "nobody listens": "http://127.0.0.1:9/closed",
        "no url": "",
    }
    for label, url in cases.items():
        p = await button_post(t, c, url)
        t.rest(label, await t.user.post(f"/posts/{p['id']}/actions/approve", {}), "status")


@scenario
async def button_slow_answer(t: Run) -> None:
    """An answer that takes two seconds is applied; the presser's request waits for it."""
    c = await t.channel()
    p = await button_post(t, c, t.hook.json({"update": {"message": "late"}}, delay=2))
    t0 = time.monotonic()
    t.rest("press", await t.user.post(f"/posts/{p['id']}/actions/approve", {}), "status")
    t.see("waited", time.monotonic() - t0 > 1.9)
    t.rest("post", await t.bot.get(f"/posts/{p['id']}"), "message")


@scenario
@slow
async def button_timeout(t: Run) -> None:
    """An integration that never answers: after OutgoingIntegrationRequestsTimeout (30 s) the presser gets 400."""
    c = await t.channel()
    p = await button_post(t, c, t.hook.json({}, delay=45))
    t.rest("press", await t.user.post(f"/posts/{p['id']}/actions/approve", {}), "status")


@scenario
async def button_ids(t: Run) -> None:
    """An action id may hold only letters and digits: with - or _ the post is stored, but the press is 404 and calls
    nobody."""
    c = await t.channel()
    for aid in ("approve", "Approve2", "a-b", "a_b", "a.b", "x" * 100):
        url = t.hook.json({})
        p = await button_post(t, c, url, aid=aid)
        stored = p["props"]["attachments"][0]["actions"][0].get("id")
        r = await t.user.post(f"/posts/{p['id']}/actions/{aid}", {})
        label = aid if len(aid) < 20 else "100 letters"
        t.see(
            label,
            {
                "stored": stored if len(aid) < 20 else stored == aid,
                "status": r.status_code,
                "error_id": r.json().get("id") if r.status_code >= 400 else None,
                "callbacks": len(t.hook.got(url)),
            },
        )
    url = t.hook.json({})
    p = await t.bot.say(c, "no id", props={"attachments": [{"actions": [{"name": "A", "integration": {"url": url}}]}]})
    a = p["props"]["attachments"][0]["actions"][0]
    t.see(
        "no id and no type given",
        {"id made up": bool(re.fullmatch("[a-z0-9]{26}", a.get("id", ""))), "type": a.get("type", ABSENT)},
    )
    r = await t.user.post(f"/posts/{p['id']}/actions/{a.get('id')}", {})
    t.see("press it", {"status": r.status_code, "callbacks": len(t.hook.got(url))})


@scenario
async def button_press_errors(t: Run) -> None:
    """An unknown action 404, an outsider 403, an unknown post 403, a deleted post 404; nobody is called."""
    c = await t.channel("P")
    url = t.hook.json({})
    p = await button_post(t, c, url)
    t.rest("unknown action", await t.user.post(f"/posts/{p['id']}/actions/nonesuch", {}))
    t.rest("outsider", await t.other.post(f"/posts/{p['id']}/actions/approve", {}))
    t.rest("unknown post", await t.user.post(f"/posts/{UNKNOWN_ID}/actions/approve", {}))
    await t.bot.ok("DELETE", f"/posts/{p['id']}")
    t.rest("deleted post", await t.user.post(f"/posts/{p['id']}/actions/approve", {}))
    t.see("callbacks", len(t.hook.got(url)))


@scenario
async def select_menu(t: Run) -> None:
    """A select action: the callback has type select and the choice in context.selected_option; data_source is passed
    on."""
    c = await t.channel()
    url = t.hook.json({})
    options = [{"text": "One", "value": "1"}, {"text": "Two", "value": "2"}]
    acts = [
        {
            "id": "pick",
            "name": "Pick",
            "type": "select",
            "options": options,
            "integration": {"url": url, "context": {"k": "v"}},
        },
        {"id": "who", "name": "Who", "type": "select", "data_source": "users", "integration": {"url": url}},
    ]
    p = await t.bot.say(c, "choose", props={"attachments": [{"text": "x", "actions": acts}]})
    t.ident(p["id"], "<post>")
    t.see(
        "post",
        pick(
            p,
            "props.attachments.actions.id props.attachments.actions.type props.attachments.actions.options"
            " props.attachments.actions.data_source",
        ),
    )
    t.rest("choose", await t.user.post(f"/posts/{p['id']}/actions/pick", {"selected_option": "2"}), "status")
    t.see("callback", pick(json.loads(t.hook.got(url)[0]["body"]), "type data_source context"))
    t.rest(
        "a value not offered",
        await t.user.post(f"/posts/{p['id']}/actions/pick", {"selected_option": "forged"}),
        "status",
    )
    t.see("callback of it", pick(json.loads(t.hook.got(url)[1]["body"]), "type context"))
    t.rest(
        "choose a user", await t.user.post(f"/posts/{p['id']}/actions/who", {"selected_option": t.other.id}), "status"
    )
    t.see("callback of the user", pick(json.loads(t.hook.got(url)[2]["body"]), "type data_source context"))


@scenario
async def button_made_by_a_user(t: Run) -> None:
    """Any user can post a button with the bot's callback URL and a context of their own: the callback looks the
    same, so a gateway must recognise its own by a secret in the context (or by the post's author)."""
    c = await t.channel()
    url = t.hook.json({})
    p = await t.user.say(
        c,
        "fake",
        props={
            "attachments": [
                {"actions": [{"id": "approve", "name": "OK", "integration": {"url": url, "context": {"do": "evil"}}}]}
            ]
        },
    )
    t.ident(p["id"], "<post>")
    t.rest("press by another member", await t.bot.post(f"/posts/{p['id']}/actions/approve", {}), "status")
    t.see("callback", pick(json.loads(t.hook.got(url)[0]["body"]), "user_id post_id context"))
    t.rest("author of that post", await t.bot.get(f"/posts/{p['id']}"), "user_id")


@scenario
async def button_without_context(t: Run) -> None:
    """No context: the callback has no context key; selected_option for a button is dropped; a disabled button can be
    pressed."""
    c = await t.channel()
    url = t.hook.json({})
    p = await t.bot.say(
        c,
        "x",
        props={
            "attachments": [
                {
                    "actions": [
                        {"id": "plain", "name": "P", "type": "button", "integration": {"url": url}},
                        {"id": "off", "name": "O", "type": "button", "disabled": True, "integration": {"url": url}},
                    ]
                }
            ]
        },
    )
    t.rest("press", await t.user.post(f"/posts/{p['id']}/actions/plain", {"selected_option": "x"}), "status")
    t.see("callback", pick(json.loads(t.hook.got(url)[0]["body"]), "type context"))
    t.rest("press the disabled one", await t.user.post(f"/posts/{p['id']}/actions/off", {}), "status")
    t.see("callbacks", len(t.hook.got(url)))


@scenario
async def button_concurrent_presses(t: Run) -> None:
    """Five presses at once are five callbacks: the server does not serialise or merge them."""
    c = await t.channel()
    url = t.hook.json({"update": {"message": "pressed", "props": {}}}, delay=0.3)
    p = await button_post(t, c, url)
    rs = await asyncio.gather(*(t.user.post(f"/posts/{p['id']}/actions/approve", {}) for _ in range(5)))
    t.see("statuses", [r.status_code for r in rs])
    t.see("callbacks", len(t.hook.got(url)))
    t.rest("press after the button is gone", await t.user.post(f"/posts/{p['id']}/actions/approve", {}))


@scenario
async def button_post_deleted_meanwhile(t: Run) -> None:
    """The post is deleted while its integration thinks: an update then gives the presser 404."""
    c = await t.channel()
    p = await button_post(t, c, t.hook.json({"update": {"message": "too late"}}, delay=0.6))
    press = asyncio.create_task(t.user.post(f"/posts/{p['id']}/actions/approve", {}))
    await asyncio.sleep(0.2)
    await t.bot.ok("DELETE", f"/posts/{p['id']}")
    t.rest("update", await press)


@scenario
async def button_on_ephemeral(t: Run) -> None:
    """A button of an ephemeral post is pressed with its cookie; the callback carries the ephemeral post's id; an
    update is 404."""
    c = await t.channel()
    url = t.hook.json({"ephemeral_text": "pressed"})
    w = await t.ws(t.user)
    await t.admin.ok(
        "POST",
        "/posts/ephemeral",
        {
            "user_id": t.user.id,
            "post": {
                "channel_id": c,
                "message": "private button",
                "props": {"attachments": [{"text": "q", "actions": [button(url)]}]},
            },
        },
    )
    m = await w.expect("ephemeral_message", lambda m: "private button" in m["data"]["post"])
    post = as_json(m["data"]["post"])
    act = post["props"]["attachments"][0]["actions"][0]
    t.see("action", pick(act, "id name cookie! integration"))
    t.rest("press without the cookie", await t.user.post(f"/posts/{post['id']}/actions/approve", {}))
    t.rest(
        "press with it", await t.user.post(f"/posts/{post['id']}/actions/approve", {"cookie": act["cookie"]}), "status"
    )
    call = json.loads(t.hook.got(url)[0]["body"])
    t.see("callback", {**pick(call, "user_id channel_id context type"), "same post id": call["post_id"] == post["id"]})
    await w.expect("ephemeral_message", lambda m: "pressed" in m["data"]["post"])
    url = t.hook.json({"update": {"message": "changed"}})
    await t.admin.ok(
        "POST",
        "/posts/ephemeral",
        {
            "user_id": t.user.id,
            "post": {
                "channel_id": c,
                "message": "second one",
                "props": {"attachments": [{"text": "q", "actions": [button(url)]}]},
            },
        },
    )
    m = await w.expect("ephemeral_message", lambda m: "second one" in m["data"]["post"])
    post = as_json(m["data"]["post"])
    t.rest(
        "its answer is an update",
        await t.user.post(
            f"/posts/{post['id']}/actions/approve", {"cookie": post["props"]["attachments"][0]["actions"][0]["cookie"]}
        ),
        "status",
    )
