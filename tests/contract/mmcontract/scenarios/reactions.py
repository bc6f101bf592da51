"""Reactions and typing."""

from tests.contract.mmcontract.scenario import Run, scenario
from tests.contract.mmcontract.values import UNKNOWN_ID, pick


@scenario
async def reactions(t: Run) -> None:
    """Add (200), list, remove; adding twice keeps one; removing what is not there is 200; none are listed as null or
    []."""
    c = await t.channel()
    p = await t.user.say(c, "react to me")
    t.ident(p["id"], "<post>")
    body = {"user_id": t.bot.id, "post_id": p["id"], "emoji_name": "white_check_mark"}
    r = await t.bot.get(f"/posts/{p['id']}/reactions")
    t.see("none yet", {"status": r.status_code, "nothing": not r.json()})
    t.rest("add", await t.bot.post("/reactions", body), "user_id post_id emoji_name create_at")
    t.rest("add again", await t.bot.post("/reactions", body), "user_id post_id emoji_name create_at")
    t.rest("list", await t.bot.get(f"/posts/{p['id']}/reactions"), "user_id post_id emoji_name create_at")
    t.rest("post", await t.bot.get(f"/posts/{p['id']}"), "has_reactions metadata.reactions.emoji_name edit_at")
    t.rest("remove", await t.bot.delete(f"/users/{t.bot.id}/posts/{p['id']}/reactions/white_check_mark"), "status")
    t.rest(
        "remove again", await t.bot.delete(f"/users/{t.bot.id}/posts/{p['id']}/reactions/white_check_mark"), "status"
    )
    r = await t.bot.get(f"/posts/{p['id']}/reactions")
    t.see("none left", {"status": r.status_code, "nothing": not r.json()})


@scenario
async def reaction_errors(t: Run) -> None:
    """A bad emoji name, another's name, a deleted post, a channel it is not in, removing another's."""
    c = await t.channel()
    p = await t.user.say(c, "react to me")
    me = {"user_id": t.bot.id, "post_id": p["id"]}
    t.rest("unknown emoji", await t.bot.post("/reactions", {**me, "emoji_name": "no_such_emoji_at_all"}))
    t.rest("with colons", await t.bot.post("/reactions", {**me, "emoji_name": ":eyes:"}))
    t.rest("the character itself", await t.bot.post("/reactions", {**me, "emoji_name": "\U0001f440"}))
    t.rest("empty", await t.bot.post("/reactions", {**me, "emoji_name": ""}))
    t.rest(
        "as another user",
        await t.bot.post("/reactions", {"user_id": t.user.id, "post_id": p["id"], "emoji_name": "eyes"}),
    )
    t.rest(
        "unknown post",
        await t.bot.post("/reactions", {"user_id": t.bot.id, "post_id": UNKNOWN_ID, "emoji_name": "eyes"}),
    )
    t.rest(
        "not in the channel",
        await t.bot2.post("/reactions", {"user_id": t.bot2.id, "post_id": p["id"], "emoji_name": "eyes"}),
    )
    await t.user.ok("POST", "/reactions", {"user_id": t.user.id, "post_id": p["id"], "emoji_name": "eyes"})
    t.rest("remove another's", await t.bot.delete(f"/users/{t.user.id}/posts/{p['id']}/reactions/eyes"))
    await t.user.ok("DELETE", f"/posts/{p['id']}")
    t.rest("deleted post", await t.bot.post("/reactions", {**me, "emoji_name": "eyes"}))
    t.rest("remove from a deleted post", await t.bot.delete(f"/users/{t.bot.id}/posts/{p['id']}/reactions/eyes"))


@scenario
async def typing_rest(t: Run) -> None:
    """POST /users/{id}/typing (me or own id) tells the channel's other members; the typist does not get it."""
    c = await t.channel()
    wu, wb = await t.ws(t.user), await t.ws(t.bot)
    root = await t.user.say(c, "root")
    t.ident(root["id"], "<root>")
    t.rest("me", await t.bot.post("/users/me/typing", {"channel_id": c}), "status")
    t.event("event", await wu.expect("typing"), "user_id parent_id")
    t.rest(
        "in a thread",
        await t.bot.post(f"/users/{t.bot.id}/typing", {"channel_id": c, "parent_id": root["id"]}),
        "status",
    )
    t.event("event in a thread", await wu.expect("typing"), "user_id parent_id")
    t.rest("as another", await t.bot.post(f"/users/{t.user.id}/typing", {"channel_id": c}))
    t.rest("not in the channel", await t.bot2.post("/users/me/typing", {"channel_id": c}))
    await t.fence(wb)
    t.see("typist's own events", len(wb.events("typing")))


@scenario
async def typing_ws(t: Run) -> None:
    """The user_typing websocket action: a reply OK, and a typing event for the others."""
    c = await t.channel()
    wu, wb = await t.ws(t.user), await t.ws(t.bot)
    t.see("reply", await wb.act("user_typing", {"channel_id": c, "parent_id": ""}))
    t.event("event", await wu.expect("typing"), "user_id parent_id")
    r = await wb.act("user_typing", {"channel_id": UNKNOWN_ID})
    t.see("bad channel", pick(r, "status seq_reply error.id error.status_code"))
    r = await wb.act("user_typing", {})
    t.see("no channel", pick(r, "status seq_reply error.id error.status_code"))


@scenario
async def reaction_names(t: Run) -> None:
    """Emoji aliases are kept apart (+1 is not thumbsup); +1 works in the path; skin tones are names of their own."""
    c = await t.channel()
    p = await t.user.say(c, "vote")
    for name in ("+1", "thumbsup", "-1", "thumbsup_light_skin_tone", "+1_light_skin_tone", "White_Check_Mark"):
        r = await t.bot.post("/reactions", {"user_id": t.bot.id, "post_id": p["id"], "emoji_name": name})
        t.rest(name, r, "emoji_name")
    r = await t.bot.get(f"/posts/{p['id']}/reactions")
    t.see("listed", sorted(x["emoji_name"] for x in r.json()))
    t.rest("remove +1", await t.bot.delete(f"/users/{t.bot.id}/posts/{p['id']}/reactions/+1"), "status")
    r = await t.bot.get(f"/posts/{p['id']}/reactions")
    t.see("left", sorted(x["emoji_name"] for x in r.json()))
