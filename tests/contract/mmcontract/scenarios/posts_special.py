"""System posts, posts of webhooks, ephemeral posts."""

from typing import Any

from tests.contract.mmcontract.scenario import Run, scenario
from tests.contract.mmcontract.values import as_json, pick


@scenario
async def system_posts(t: Run) -> None:
    """Joining, leaving, adding, removing and header changes make posts whose type starts with system_; who did it is in
    user_id, the names in props."""
    c = await t.channel(members=(t.bot,))
    w = await t.ws(t.bot)

    async def saw(kind: str, props: str) -> None:
        def hit(m: dict[str, Any]) -> bool:  # not the kit's own adding of the bot
            p = as_json(m["data"]["post"])
            return bool(p.get("type") == kind and p["channel_id"] == c and p["props"].get("addedUserId") != t.bot.id)

        m = await w.expect("posted", hit)
        p = as_json(m["data"]["post"])
        t.see(kind, pick(p, "user_id channel_id message! type props.from_bot? " + props))

    await t.user.ok("POST", f"/channels/{c}/members", {"user_id": t.user.id})
    await saw("system_join_channel", "props.username")
    await t.user.ok("DELETE", f"/channels/{c}/members/{t.user.id}")
    await saw("system_leave_channel", "props.username")
    await t.admin.ok("POST", f"/channels/{c}/members", {"user_id": t.user.id})
    await saw("system_add_to_channel", "props.userId props.username props.addedUserId props.addedUsername")
    await t.admin.ok("DELETE", f"/channels/{c}/members/{t.user.id}")
    await saw("system_remove_from_channel", "props.removedUserId props.removedUsername")
    await t.admin.ok("PUT", f"/channels/{c}/patch", {"header": "new header"})
    await saw("system_header_change", "props.username props.old_header props.new_header")
    await t.admin.ok("PUT", f"/channels/{c}/patch", {"display_name": "New Name"})
    await saw("system_displayname_change", "props.username props.new_displayname")


@scenario
async def webhook_post_markers(t: Run) -> None:
    """A post through an incoming webhook has the webhook owner's user_id, props.from_webhook = "true", and may have
    override_username: it must not be taken for the owner's own words."""
    c = await t.channel()
    h = await t.admin.ok("POST", "/hooks/incoming", {"channel_id": c, "display_name": "h"})
    w = await t.ws(t.bot)
    r = await t.anon.post(f"{t.kit.base}/hooks/{h['id']}", {"text": "from a hook", "username": "fancy"})
    t.see("hook answer", {"status": r.status_code, "text": r.text})
    m = await w.posted("from a hook")
    t.event(
        "posted",
        m,
        "channel_type",
        "user_id message type props.from_webhook props.from_bot props.webhook_display_name props.override_username?",
    )


@scenario
async def ephemeral_post(t: Run) -> None:
    """POST /posts/ephemeral is 403 for a plain bot (needs create_post_ephemeral); an admin's reaches only that user
    and is not stored."""
    c = await t.channel()
    t.rest(
        "by a plain bot",
        await t.bot.post("/posts/ephemeral", {"user_id": t.user.id, "post": {"channel_id": c, "message": "psst"}}),
        "type message user_id channel_id",
    )
    w, wb = await t.ws(t.user), await t.ws(t.bot)
    r = await t.admin.post(
        "/posts/ephemeral", {"user_id": t.user.id, "post": {"channel_id": c, "message": "psst from admin"}}
    )
    t.rest("by the admin", r, "type message user_id channel_id update_at create_at")
    m = await w.expect("ephemeral_message", lambda m: "psst from admin" in m["data"]["post"])
    t.event("event", m, "", "type message user_id channel_id")
    t.rest("cannot be read", await t.user.get(f"/posts/{r.json()['id']}"))
    await t.fence(wb)
    t.see("others got it", len(wb.events("ephemeral_message")))
    t.rest("no user", await t.admin.post("/posts/ephemeral", {"post": {"channel_id": c, "message": "x"}}))


@scenario
async def mention_of_a_non_member(t: Run) -> None:
    """Mentioning a bot that is not in the channel: the bot gets nothing and the author no note; for a user who is
    not in it the author gets an ephemeral note."""
    c = await t.channel(members=(t.user,))
    w, wu = await t.ws(t.bot), await t.ws(t.user)
    await t.user.say(c, f"@{t.bot.name} come here")
    await t.fence(w, wu)
    t.see(
        "bot",
        {
            "posted events": len([m for m in w.events("posted") if m["broadcast"]["channel_id"] == c]),
            "notes to the author": len(wu.events("ephemeral_message")),
        },
    )
    await t.user.say(c, f"@{t.other.name} come here")
    m = await wu.expect("ephemeral_message")
    t.event("user: the author's note", m, "", "type message! root_id user_id")
