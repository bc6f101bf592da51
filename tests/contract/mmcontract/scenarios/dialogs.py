"""Interactive dialogs."""

import json
from typing import Any

from tests.contract.mmcontract.scenario import Run, scenario
from tests.contract.mmcontract.scenarios.buttons import button_post
from tests.contract.mmcontract.values import as_json, pick


async def press_for_trigger(t: Run, c: str) -> str:
    url = t.hook.json({})
    p = await button_post(t, c, url)
    await t.user.post(f"/posts/{p['id']}/actions/approve", {})
    return str(json.loads(t.hook.got(url)[0]["body"])["trigger_id"])


def dialog() -> dict[str, Any]:
    return {
        "callback_id": "cb",
        "title": "Edit",
        "introduction_text": "",
        "elements": [{"display_name": "Note", "name": "note", "type": "textarea", "max_length": 500}],
        "submit_label": "Send",
        "notify_on_cancel": True,
        "state": "st",
    }


@scenario
async def dialog_open(t: Run) -> None:
    """POST /actions/dialogs/open with the trigger_id of a press: 200, and an open_dialog event (a JSON string) to the
    presser; no token is needed; the same trigger works again; a bad one is 400."""
    c = await t.channel()
    w = await t.ws(t.user)
    trig = await press_for_trigger(t, c)
    url = t.hook.json({})
    t.rest(
        "open",
        await t.bot.post("/actions/dialogs/open", {"trigger_id": trig, "url": url, "dialog": dialog()}),
        "status",
    )
    m = await w.expect("open_dialog")
    d = as_json(m["data"]["dialog"])
    t.see(
        "event",
        {
            "keys": sorted(m["data"]),
            "dialog": pick(
                d,
                "trigger_id! dialog.callback_id dialog.title dialog.state dialog.submit_label dialog.notify_on_cancel"
                " dialog.elements.name dialog.elements.type",
            ),
            "to": m["broadcast"]["user_id"],
        },
    )
    t.rest(
        "same trigger again",
        await t.bot.post("/actions/dialogs/open", {"trigger_id": trig, "url": url, "dialog": dialog()}),
        "status",
    )
    t.rest(
        "without a token",
        await t.anon.post("/actions/dialogs/open", {"trigger_id": trig, "url": url, "dialog": dialog()}),
        "status",
    )
    t.rest(
        "bad trigger",
        await t.bot.post("/actions/dialogs/open", {"trigger_id": "nonsense", "url": url, "dialog": dialog()}),
    )
    t.rest("no url", await t.bot.post("/actions/dialogs/open", {"trigger_id": trig, "dialog": dialog()}))


@scenario
async def dialog_submit(t: Run) -> None:
    """POST /actions/dialogs/submit: what the integration receives, and how its answer comes back (empty, errors,
    error)."""
    c = await t.channel()
    url = t.hook.path((200, "text/plain", ""))
    body = {
        "url": url,
        "callback_id": "cb",
        "state": "st",
        "channel_id": c,
        "team_id": t.team,
        "submission": {"note": "hello"},
        "user_id": t.other.id,
    }
    t.rest("empty answer", await t.user.post("/actions/dialogs/submit", body), "error? errors?")
    call = t.hook.got(url)[0]
    t.see(
        "callback",
        {
            "method": call["method"],
            "content-type": call["headers"].get("content-type"),
            "body": pick(
                json.loads(call["body"]), "type callback_id state user_id channel_id team_id submission cancelled url"
            ),
        },
    )
    url = t.hook.json({"errors": {"note": "too short"}})
    t.rest("field errors", await t.user.post("/actions/dialogs/submit", {**body, "url": url}), "error? errors")
    url = t.hook.json({"error": "not now"})
    t.rest("general error", await t.user.post("/actions/dialogs/submit", {**body, "url": url}), "error errors?")
    url = t.hook.path((500, "text/plain", "boom"))
    t.rest("500", await t.user.post("/actions/dialogs/submit", {**body, "url": url}))
    url = t.hook.path((200, "text/plain", "hello"))
    t.rest("not json", await t.user.post("/actions/dialogs/submit", {**body, "url": url}))
    url = t.hook.json({})
    t.rest(
        "cancel",
        await t.user.post("/actions/dialogs/submit", {**body, "url": url, "cancelled": True, "submission": None}),
        "error? errors?",
    )
    t.see("cancel callback", pick(json.loads(t.hook.got(url)[0]["body"]), "type cancelled submission"))
    t.rest(
        "not in the channel",
        await t.other.post(
            "/actions/dialogs/submit", {**body, "channel_id": await t.channel("P", members=(), alias="<private>")}
        ),
    )
