"""Websocket: events."""

import json

from tests.contract.mmcontract.scenario import EVENT_BROADCAST, Run, scenario
from tests.contract.mmcontract.values import ABSENT, as_json, pick, suffix

POSTED = "channel_type channel_name sender_name team_id set_online"


POSTED_POST = "id channel_id user_id root_id message type create_at edit_at delete_at"


@scenario
async def ws_posted_open(t: Run) -> None:
    """`posted` in an open channel: data.post is a JSON string; sender_name starts with @; no mentions key without a
    mention."""
    c = await t.channel("O")
    w = await t.ws(t.bot)
    p = await t.user.say(c, "hello there")
    m = await w.posted(p["id"])
    t.event("posted", m, POSTED + " channel_display_name mentions followers otherFile", POSTED_POST)
    t.see(
        "the post is the one created",
        {k: as_json(m["data"]["post"])[k] == p[k] for k in ("create_at", "update_at", "id")},
    )


@scenario
async def ws_posted_private(t: Run) -> None:
    """`posted` in a private channel."""
    c = await t.channel("P")
    w = await t.ws(t.bot)
    p = await t.user.say(c, "hush")
    t.event("posted", await w.posted(p["id"]), POSTED + " channel_display_name mentions", POSTED_POST)


@scenario
async def ws_posted_direct(t: Run) -> None:
    """`posted` in a direct channel: team_id is "", channel_name is `id__id`, and the other side counts as mentioned."""
    d = await t.dm(t.bot, t.user)
    w, wu = await t.ws(t.bot), await t.ws(t.user)
    p = await t.user.say(d, "hello bot")
    t.event("posted", await w.posted(p["id"]), POSTED + " channel_display_name mentions#", POSTED_POST)
    t.event("seen by the author", await wu.posted(p["id"]), "mentions#")


@scenario
async def ws_posted_group(t: Run) -> None:
    """`posted` in a group channel: type G, team_id "", and every other member counts as mentioned."""
    g = await t.group(t.bot, t.user, t.other)
    w = await t.ws(t.bot)
    p = await t.user.say(g, "hello both")
    t.event("posted", await w.posted(p["id"]), POSTED + " mentions#", POSTED_POST)


@scenario
async def ws_posted_new_direct(t: Run) -> None:
    """The first message in a direct channel that did not exist: the bot gets direct_added, then posted."""
    u = await t.new_user("opener")
    w = await t.ws(t.bot)
    d = await t.dm(u, t.bot)
    p = await u.say(d, "first words")
    m = await w.expect("direct_added", lambda m: m["broadcast"]["channel_id"] == d)
    t.event("direct_added", m, "creator_id teammate_id")
    t.event("posted", await w.posted(p["id"]), "channel_type mentions#", "channel_id message")


@scenario
async def ws_own_echo(t: Run) -> None:
    """The bot gets `posted` for its own posts, with the pending_post_id it sent in data.post; likewise its own
    edits."""
    c = await t.channel()
    w = await t.ws(t.bot)
    pid = f"{t.bot.id}:{suffix(8)}"
    t.norm.alias(pid, "<pending>")
    p = await t.bot.say(c, "my own words", pending_post_id=pid)
    t.ident(p["id"], "<post>")
    t.event(
        "posted",
        await w.posted(p["id"]),
        "sender_name mentions set_online",
        "id user_id message pending_post_id props.from_bot",
    )
    await t.bot.ok("PUT", f"/posts/{p['id']}/patch", {"message": "other words"})
    t.event("edited", await w.expect("post_edited"), "", "id user_id message")


@scenario
async def ws_mentions(t: Run) -> None:
    """Each connection is told in data.mentions (a JSON string, a list) only of its own user's mention; no key
    otherwise."""
    c = await t.channel(members=(t.bot, t.user, t.other))
    w, wo = await t.ws(t.bot), await t.ws(t.other)
    b = t.bot.name
    cases = {
        "none": "just talk",
        "@bot": f"@{b} hello",
        "@BOT": f"@{b.upper()} hello",
        "@bot, in a sentence": f"hi (@{b}), are you there?",
        "@bot. with a dot": f"hello @{b}.",
        "@bot: with a colon": f"@{b}: go",
        "the bare name": f"{b} hello",
        "in an e-mail address": f"me@{b} hello",
        "in code": f"try `@{b}` there",
        "in a code block": f"```\n@{b}\n```",
        "in a quote": f"> @{b} said",
        "longer name": f"@{b}x hello",
        "@channel": "@channel wake up",
        "@all": "@all wake up",
        "@other": f"@{t.other.name} hello",
        "both": f"@{t.other.name} and @{b}",
    }
    for label, text in cases.items():
        p = await t.user.say(c, text)
        m, mo = await w.posted(p["id"]), await wo.posted(p["id"])
        t.see(
            label,
            {"bot": as_json(m["data"].get("mentions", ABSENT)), "other": as_json(mo["data"].get("mentions", ABSENT))},
        )
    p = await t.bot.say(c, f"@{b} to myself")
    m = await w.posted(p["id"])
    t.see("its own mention", as_json(m["data"].get("mentions", ABSENT)))


@scenario
async def ws_thread_follow(t: Run) -> None:
    """Replies in a thread the bot started or joined carry neither `mentions` nor `followers` for the bot (its default
    notify settings): a gateway has to remember its own threads."""
    c = await t.channel()
    w = await t.ws(t.bot)
    root = await t.bot.say(c, "bot's root")
    p = await t.user.say(c, "reply without a mention", root_id=root["id"])
    m = await w.posted(p["id"])
    t.see("in the bot's thread", {k: as_json(m["data"].get(k, ABSENT)) for k in ("mentions", "followers")})
    root2 = await t.user.say(c, "user's root")
    p = await t.user.say(c, "reply in the user's own thread", root_id=root2["id"])
    m = await w.posted(p["id"])
    t.see("in another's thread", {k: as_json(m["data"].get(k, ABSENT)) for k in ("mentions", "followers")})
    await t.bot.say(c, "bot joins in", root_id=root2["id"])
    p = await t.user.say(c, "reply after the bot joined", root_id=root2["id"])
    m = await w.posted(p["id"])
    t.see("after the bot replied there", {k: as_json(m["data"].get(k, ABSENT)) for k in ("mentions", "followers")})


@scenario
async def ws_post_edited(t: Run) -> None:
    """post_edited: data.post with the new message and edit_at; also for pinning; not for a reaction."""
    c = await t.channel()
    p = await t.user.say(c, "typo")
    t.ident(p["id"], "<post>")
    w = await t.ws(t.bot)
    await t.user.ok("PUT", f"/posts/{p['id']}/patch", {"message": f"fixed @{t.bot.name}"})
    m = await w.expect("post_edited")
    t.event(
        "edited", m, "mentions channel_type sender_name", "id user_id channel_id message edit_at delete_at is_pinned"
    )
    await t.user.ok("POST", f"/posts/{p['id']}/pin")
    t.event("pinned", await w.expect("post_edited"), "", "id message is_pinned")
    await t.user.ok("POST", "/reactions", {"user_id": t.user.id, "post_id": p["id"], "emoji_name": "eyes"})
    await t.fence(w)
    t.see("edits after a reaction", len(w.events("post_edited")) - 2)


@scenario
async def ws_post_deleted(t: Run) -> None:
    """post_deleted: data.post holds the post as it was, with its message and delete_at still 0; delete_by only for
    admins; a deleted root is one event, its replies get none."""
    c = await t.channel()
    root = await t.user.say(c, "root")
    t.ident(root["id"], "<root>")
    await t.user.say(c, "reply", root_id=root["id"])
    w, wa = await t.ws(t.bot), await t.ws(t.admin)
    await t.user.ok("DELETE", f"/posts/{root['id']}")
    t.event("for the bot", await w.expect("post_deleted"), "delete_by", "id user_id message root_id delete_at")
    t.event(
        "for the admin", await wa.expect("post_deleted", lambda m: root["id"] in m["data"]["post"]), "delete_by", "id"
    )
    await t.fence(w)
    t.see("further deletions", len(w.events("post_deleted")) - 1)


@scenario
async def ws_reactions(t: Run) -> None:
    """reaction_added and reaction_removed: data.reaction is a JSON string; the bot's own come too; a repeat is told
    again."""
    c = await t.channel()
    p = await t.user.say(c, "react")
    t.ident(p["id"], "<post>")
    w = await t.ws(t.bot)
    body = {"user_id": t.user.id, "post_id": p["id"], "emoji_name": "eyes"}
    await t.user.ok("POST", "/reactions", body)
    m = await w.expect("reaction_added")
    t.see(
        "added",
        {
            "keys": sorted(m["data"]),
            "reaction": pick(as_json(m["data"]["reaction"]), "user_id post_id emoji_name create_at channel_id"),
            "broadcast": pick(m["broadcast"], EVENT_BROADCAST),
        },
    )
    await t.user.ok("POST", "/reactions", body)
    await t.user.ok("DELETE", f"/users/{t.user.id}/posts/{p['id']}/reactions/eyes")
    m = await w.expect("reaction_removed")
    t.see("removed", pick(as_json(m["data"]["reaction"]), "user_id post_id emoji_name"))
    await t.bot.ok("POST", "/reactions", {**body, "user_id": t.bot.id})
    await t.fence(w)
    t.see(
        "all",
        [
            (m["event"], t.norm(as_json(m["data"]["reaction"])["user_id"]))
            for m in w.events("reaction_added", "reaction_removed")
        ],
    )


@scenario
async def ws_scope(t: Run) -> None:
    """Events of a channel reach its members only: nothing before being added, everything while in, nothing after."""
    c = await t.channel(members=(t.user,))
    w = await t.ws(t.bot)
    await t.user.say(c, "before")
    await t.fence(w)
    await t.admin.ok("POST", f"/channels/{c}/members", {"user_id": t.bot.id})
    await w.expect("user_added", lambda m: m["broadcast"]["channel_id"] == c)
    await t.user.say(c, "during")
    await w.posted("during")
    await t.admin.ok("DELETE", f"/channels/{c}/members/{t.bot.id}")
    await w.expect("user_removed", lambda m: m["data"].get("channel_id") == c)
    await t.user.say(c, "after")
    await t.fence(w)
    got = [as_json(m["data"]["post"])["message"] for m in w.events("posted") if m["broadcast"]["channel_id"] == c]
    t.see("messages seen", [x for x in got if x in ("before", "during", "after")])


@scenario
async def ws_member_events(t: Run) -> None:
    """user_added and user_removed: one form for the channel, one for the user concerned (user_removed then names the
    channel in data and not in the broadcast)."""
    c = await t.channel(members=(t.bot,))
    w, wu = await t.ws(t.bot), await t.ws(t.user)
    await t.admin.ok("POST", f"/channels/{c}/members", {"user_id": t.user.id})
    t.event(
        "added, for the channel",
        await w.expect("user_added", lambda m: m["data"].get("user_id") == t.user.id),
        "user_id team_id",
    )
    t.event(
        "added, for the user",
        await wu.expect("user_added", lambda m: m["data"].get("user_id") == t.user.id),
        "user_id team_id",
    )
    await t.admin.ok("DELETE", f"/channels/{c}/members/{t.user.id}")
    t.event(
        "removed, for the channel",
        await w.expect("user_removed", lambda m: m["broadcast"]["channel_id"] == c),
        "user_id remover_id channel_id",
    )
    t.event(
        "removed, for the user",
        await wu.expect("user_removed", lambda m: m["data"].get("channel_id") == c),
        "user_id remover_id channel_id",
    )


@scenario
async def ws_channel_events(t: Run) -> None:
    """channel_created (for the creator only), channel_updated, channel_deleted, channel_restored; group_added."""
    w, wu = await t.ws(t.bot), await t.ws(t.user)
    name = f"ct-{suffix(10)}"
    ch = await t.user.ok("POST", "/channels", {"team_id": t.team, "name": name, "display_name": name, "type": "O"})
    c = t.ident(ch["id"], "<channel>")
    t.event(
        "created", await wu.expect("channel_created", lambda m: m["data"].get("channel_id") == c), "channel_id team_id"
    )
    await t.admin.ok("POST", f"/channels/{c}/members", {"user_id": t.bot.id})
    await w.expect("user_added", lambda m: m["broadcast"]["channel_id"] == c)
    await t.user.ok("PUT", f"/channels/{c}/patch", {"display_name": "Renamed"})
    m = await w.expect("channel_updated", lambda m: m["broadcast"]["channel_id"] == c)
    t.see(
        "updated",
        {
            "channel": pick(as_json(m["data"]["channel"]), "id display_name type delete_at"),
            "broadcast": pick(m["broadcast"], EVENT_BROADCAST),
        },
    )
    await t.admin.ok("DELETE", f"/channels/{c}")
    m = await w.expect("channel_deleted", lambda m: m["data"].get("channel_id") == c)
    t.event("deleted", m, "channel_id delete_at")
    await t.admin.ok("POST", f"/channels/{c}/restore")
    t.event("restored", await w.expect("channel_restored", lambda m: m["data"].get("channel_id") == c), "channel_id")
    await t.fence(w)
    t.see("created, seen by the bot", len([m for m in w.events("channel_created") if m["data"].get("channel_id") == c]))
    u = await t.new_user("third")
    g = await t.group(t.user, t.bot, u)
    m = await w.expect("group_added", lambda m: m["broadcast"]["channel_id"] == g)
    t.see(
        "group_added",
        {
            "teammate_ids": sorted(t.norm(as_json(m["data"]["teammate_ids"]))),
            "broadcast": pick(m["broadcast"], EVENT_BROADCAST),
        },
    )


@scenario
async def ws_team_events(t: Run) -> None:
    """added_to_team and leave_team for the bot concerned."""
    team = await t.kit.make_team()
    t.norm.alias(team["id"], "<other team>")
    w = await t.ws(t.bot)
    await t.admin.ok("POST", f"/teams/{team['id']}/members", {"team_id": team["id"], "user_id": t.bot.id})
    t.event("added", await w.expect("added_to_team"), "team_id user_id")
    await t.admin.ok("DELETE", f"/teams/{team['id']}/members/{t.bot.id}")
    t.event("left", await w.expect("leave_team"), "team_id user_id")


@scenario
async def ws_user_updated(t: Run) -> None:
    """user_updated reaches the bot when a user changes their names: data.user is an object, not a string."""
    u = await t.new_user("renamed")
    w = await t.ws(t.bot)
    await u.ok("PUT", "/users/me/patch", {"nickname": "Nick", "first_name": "Given"})
    m = await w.expect("user_updated", lambda m: m["data"]["user"]["id"] == u.id)
    t.see(
        "event",
        {
            "user": pick(m["data"]["user"], "id username nickname first_name"),
            "broadcast": pick(m["broadcast"], EVENT_BROADCAST),
        },
    )


@scenario
async def ws_status_change(t: Run) -> None:
    """status_change comes only to the user whose status it is."""
    c = await t.channel()
    w, wu = await t.ws(t.bot), await t.ws(t.user)
    await t.user.ok("PUT", f"/users/{t.user.id}/status", {"user_id": t.user.id, "status": "dnd"})
    m = await wu.expect("status_change", lambda m: m["data"]["status"] == "dnd")
    t.event("event", m, "status user_id")
    await t.fence(w)
    t.see("seen by the bot", len([m for m in w.events("status_change") if m["data"]["user_id"] == t.user.id]))
    await t.user.ok("PUT", f"/users/{t.user.id}/status", {"user_id": t.user.id, "status": "online"})
    await t.user.say(c, "back")


@scenario
async def ws_event_order(t: Run) -> None:
    """create, edit, react, delete of one post arrive in that order."""
    c = await t.channel()
    w = await t.ws(t.bot)
    p = await t.user.say(c, "life of a post")
    await t.user.ok("PUT", f"/posts/{p['id']}/patch", {"message": "life of a post, edited"})
    await t.user.ok("POST", "/reactions", {"user_id": t.user.id, "post_id": p["id"], "emoji_name": "eyes"})
    await t.user.ok("DELETE", f"/posts/{p['id']}")
    await w.expect("post_deleted")
    t.see(
        "order",
        [
            m["event"]
            for m in w.log
            if p["id"] in json.dumps(m)
            and m.get("event") in ("posted", "post_edited", "reaction_added", "post_deleted")
        ],
    )


@scenario
async def ws_channel_converted(t: Run) -> None:
    """Making an open channel private: channel_converted to the team, then `posted` events say channel_type P."""
    c = await t.channel("O")
    w = await t.ws(t.bot)
    await t.admin.ok("PUT", f"/channels/{c}/privacy", {"privacy": "P"})
    m = await w.expect("channel_converted", lambda m: m["data"].get("channel_id") == c)
    t.event("event", m, "channel_id")
    await t.user.say(c, "now private")
    t.event("posted", await w.posted("now private"), "channel_type")


@scenario
async def ws_renamed_user(t: Run) -> None:
    """After a user is renamed, sender_name in `posted` is the new name at once."""
    u = await t.new_user("oldname")
    c = await t.channel(members=(t.bot, u))
    w = await t.ws(t.bot)
    await u.say(c, "as old")
    t.event("before", await w.posted("as old"), "sender_name")
    new = f"ct-fresh-{suffix(8)}"
    t.norm.alias(new, "<fresh.name>")
    await u.ok("PUT", "/users/me/patch", {"username": new})
    await u.say(c, "as new")
    t.event("after", await w.posted("as new"), "sender_name")


@scenario
async def ws_mention_by_edit(t: Run) -> None:
    """Editing a mention into an old post makes no new `posted` event and no mention: a gateway sees only
    post_edited."""
    c = await t.channel()
    p = await t.user.say(c, "no name yet")
    w = await t.ws(t.bot)
    await t.user.ok("PUT", f"/posts/{p['id']}/patch", {"message": f"@{t.bot.name} now"})
    m = await w.expect("post_edited")
    await t.fence(w)
    t.see(
        "events",
        {
            "post_edited has mentions": "mentions" in m["data"],
            "posted": len(
                [
                    m
                    for m in w.events("posted")
                    if m["broadcast"]["channel_id"] == c and not as_json(m["data"]["post"])["type"]
                ]
            ),
        },
    )


@scenario
async def ws_mentions_by_bot(t: Run) -> None:
    """What a bot posts notifies like anybody's: @channel, @user, and mentions inside attachment text."""
    c = await t.channel(members=(t.bot, t.user))
    w = await t.ws(t.user)
    await t.bot.say(c, "@channel from a bot")
    m = await w.posted("@channel from a bot")
    t.event("@channel by a bot", m, "mentions#")
    await t.bot.say(c, f"@{t.user.name} from a bot")
    m = await w.posted(f"@{t.user.name} from a bot")
    t.event("@user by a bot", m, "mentions#")
    await t.bot.say(
        c, "quiet", props={"attachments": [{"text": f"@{t.user.name} in an attachment", "pretext": "@channel"}]}
    )
    m = await w.posted("quiet")
    t.see("in an attachment", as_json(m["data"].get("mentions", ABSENT)))
