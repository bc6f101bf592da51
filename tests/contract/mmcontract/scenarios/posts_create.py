"""Creating posts, and what a pending_post_id is good for."""

import asyncio
import time

from tests.contract.mmcontract.scenario import POST, Run, scenario, slow
from tests.contract.mmcontract.values import UNKNOWN_ID, pick, suffix


@scenario
async def post_create(t: Run) -> None:
    """POST /posts gives 201 and the stored post; a bot's post carries props.from_bot = "true", a user's does not."""
    c = await t.channel()
    r = await t.bot.post("/posts", {"channel_id": c, "message": "hello **world**"})
    t.rest(
        "by the bot", r, POST + " props.from_bot is_pinned hashtags pending_post_id reply_count metadata! original_id"
    )
    t.see("update_at equals create_at", r.json()["update_at"] == r.json()["create_at"])
    t.rest("by a user", await t.user.post("/posts", {"channel_id": c, "message": "hi"}), POST + " props.from_bot")


@scenario
async def post_create_ignored_fields(t: Run) -> None:
    """user_id, create_at and delete_at in the body are not believed; a given id is refused; system_ types are
    refused."""
    c = await t.channel()
    r = await t.bot.post(
        "/posts", {"channel_id": c, "message": "x", "user_id": t.user.id, "create_at": 1234, "delete_at": 99}
    )
    t.rest("forged", r, "user_id create_at delete_at")
    t.rest("own id", await t.bot.post("/posts", {"id": UNKNOWN_ID, "channel_id": c, "message": "x"}), "id!")
    t.rest("system type", await t.bot.post("/posts", {"channel_id": c, "message": "x", "type": "system_join_channel"}))
    t.rest("custom type", await t.bot.post("/posts", {"channel_id": c, "message": "x", "type": "custom_thing"}), "type")
    t.rest("unknown type", await t.bot.post("/posts", {"channel_id": c, "message": "x", "type": "whatever"}), "type")


@scenario
async def post_spoofed_bot_props(t: Run) -> None:
    """A plain user can set props.from_bot and from_webhook on its own posts: these props prove nothing."""
    c = await t.channel()
    r = await t.user.post(
        "/posts",
        {
            "channel_id": c,
            "message": "I am no bot",
            "props": {"from_bot": "true", "from_webhook": "true", "override_username": "boss"},
        },
    )
    t.rest("create", r, "user_id props.from_bot props.from_webhook props.override_username")


@scenario
async def post_reply(t: Run) -> None:
    """A reply has root_id; a thread can be had from any of its posts (the one asked for comes first in `order`, the
    rest in no promised order); reply_count counts the thread's replies on every post of it."""
    c = await t.channel()
    root = await t.user.say(c, "root")
    t.ident(root["id"], "<root>")
    r = await t.bot.post("/posts", {"channel_id": c, "message": "one", "root_id": root["id"]})
    t.rest("reply", r, POST + " reply_count")
    await asyncio.sleep(0.01)
    second = await t.user.say(c, "two", root_id=root["id"])
    t.see("second reply", pick(second, "root_id reply_count"))
    r = await t.bot.get(f"/posts/{root['id']}/thread")
    body = r.json()
    t.see(
        "thread",
        {
            "status": r.status_code,
            "first": body["posts"][body["order"][0]]["message"],
            "messages": sorted(body["posts"][i]["message"] for i in body["order"]),
            "reply counts": sorted(p["reply_count"] for p in body["posts"].values()),
        },
    )
    r = await t.bot.get(f"/posts/{second['id']}/thread")
    body = r.json()
    t.see(
        "thread of a reply",
        {
            "status": r.status_code,
            "first": body["posts"][body["order"][0]]["message"],
            "messages": sorted(body["posts"][i]["message"] for i in body["order"]),
        },
    )
    r = await t.bot.get(f"/posts/{root['id']}/thread", params={"direction": "down", "perPage": 2})
    body = r.json()
    t.see(
        "thread downwards by two",
        {
            "status": r.status_code,
            "messages": [body["posts"][i]["message"] for i in body["order"]],
            "has_next": body.get("has_next"),
        },
    )
    t.rest("thread of an unknown post", await t.bot.get(f"/posts/{UNKNOWN_ID}/thread"))
    t.rest("get root", await t.bot.get(f"/posts/{root['id']}"), "id root_id reply_count")


@scenario
async def post_bad_root(t: Run) -> None:
    """root_id that is a reply, deleted, unknown, malformed, or in another channel: all 400."""
    c = await t.channel()
    c2 = await t.channel(alias="<second>")
    root = await t.user.say(c, "root")
    reply = await t.user.say(c, "reply", root_id=root["id"])
    dead = await t.user.say(c, "dead")
    await t.user.ok("DELETE", f"/posts/{dead['id']}")
    foreign = await t.user.say(c2, "foreign")
    for label, rid in (
        ("a reply", reply["id"]),
        ("deleted", dead["id"]),
        ("unknown", UNKNOWN_ID),
        ("malformed", "nope"),
        ("another channel", foreign["id"]),
    ):
        t.rest(label, await t.bot.post("/posts", {"channel_id": c, "message": "x", "root_id": rid}))


@scenario
async def post_empty(t: Run) -> None:
    """An empty message, a blank one, and none at all are all accepted (201)."""
    c = await t.channel()
    t.rest("empty", await t.bot.post("/posts", {"channel_id": c, "message": ""}), "message")
    t.rest("blank", await t.bot.post("/posts", {"channel_id": c, "message": "  \n "}), "message")
    t.rest("none", await t.bot.post("/posts", {"channel_id": c}), "message")


@scenario
async def post_message_limit(t: Run) -> None:
    """16383 characters (code points, not bytes) fit, one more is 400; the same for an edit."""
    c = await t.channel()
    r = await t.bot.post("/posts", {"channel_id": c, "message": "a" * 16383})
    t.see("16383 letters", {"status": r.status_code, "kept": len(r.json().get("message", ""))})
    t.rest("16384 letters", await t.bot.post("/posts", {"channel_id": c, "message": "a" * 16384}))
    r = await t.bot.post("/posts", {"channel_id": c, "message": "\U0001f600" * 16383})
    t.see("16383 emoji", {"status": r.status_code, "kept": len(r.json().get("message", ""))})
    t.rest("16384 emoji", await t.bot.post("/posts", {"channel_id": c, "message": "\U0001f600" * 16384}))
    p = await t.bot.say(c, "short")
    t.rest("edit too long", await t.bot.put(f"/posts/{p['id']}/patch", {"message": "a" * 16384}))
    t.rest("payload over the request limit", await t.bot.post("/posts", {"channel_id": c, "message": "a" * 400_000}))


@scenario
async def post_text_is_kept(t: Run) -> None:
    """A message is kept to the letter: blanks, newlines, zero width and control characters; only NUL gives 500."""
    c = await t.channel()
    for label, text in (
        ("blanks around", "  x  "),
        ("newlines", "a\r\nb\n\nc\n"),
        ("zero width", "a\u200bb"),
        ("emoji sequence", "\U0001f468\u200d\U0001f469\u200d\U0001f467"),
        ("control", "a\u0001b"),
        ("nul", "a\u0000b"),
        ("html", "<b>&amp;</b>"),
        ("bidi", "a\u202eb"),
    ):
        r = await t.bot.post("/posts", {"channel_id": c, "message": text})
        got = r.json().get("message", "") if r.status_code == 201 else ""
        t.see(
            label,
            {
                "status": r.status_code,
                "error_id": r.json().get("id") if r.status_code >= 400 else None,
                "same": got == text,
                "got": got,
            },
        )


@scenario
async def post_where_it_may_not(t: Run) -> None:
    """Posting to a channel the bot is not in (open or private), an unknown one, none: 403 or 400."""
    o = await t.channel("O", members=(t.user,))
    p = await t.channel("P", members=(t.user,), alias="<private>")
    d = await t.dm(t.user, t.other)
    t.rest("open, not a member", await t.bot.post("/posts", {"channel_id": o, "message": "x"}))
    t.rest("private, not a member", await t.bot.post("/posts", {"channel_id": p, "message": "x"}))
    t.rest("another's direct channel", await t.bot.post("/posts", {"channel_id": d, "message": "x"}))
    t.rest("unknown channel", await t.bot.post("/posts", {"channel_id": UNKNOWN_ID, "message": "x"}))
    t.rest("no channel", await t.bot.post("/posts", {"message": "x"}))
    t.rest("malformed channel", await t.bot.post("/posts", {"channel_id": "nope", "message": "x"}))


@scenario
async def post_to_direct_and_group(t: Run) -> None:
    """A bot posts to its direct and group channels; the user sees the post there."""
    d = await t.dm(t.bot, t.user)
    g = await t.group(t.bot, t.user, t.other)
    for label, c in (("direct", d), ("group", g)):
        r = await t.bot.post("/posts", {"channel_id": c, "message": f"in {label}"})
        t.rest(label, r, POST)
        t.rest(label + " seen by the user", await t.user.get(f"/posts/{r.json()['id']}"), "user_id channel_id message")


@scenario
async def post_props(t: Run) -> None:
    """Props keep their JSON; a quarter of a megabyte of props is fine (the 300000 byte request limit comes first)."""
    c = await t.channel()
    r = await t.bot.post(
        "/posts", {"channel_id": c, "message": "x", "props": {"k": {"deep": [1, "two", None, True]}, "n": 12345678901}}
    )
    t.rest("small props are kept", r, "props.k props.n!")
    r = await t.bot.post("/posts", {"channel_id": c, "message": "x", "props": {"k": "v" * 250_000}})
    t.see(
        "250000 characters", {"status": r.status_code, "error_id": r.json().get("id") if r.status_code >= 400 else None}
    )


@scenario
async def post_channel_mentions(t: Run) -> None:
    """~town-square in a message fills props.channel_mentions; #tags fill hashtags."""
    c = await t.channel()
    r = await t.bot.post("/posts", {"channel_id": c, "message": "see ~town-square and ~nonesuch #one #two_3 #1"})
    t.rest("mentions", r, "props.channel_mentions hashtags")


@scenario
async def pending_same_twice(t: Run) -> None:
    """The same pending_post_id again gives 201 with the first post, even with another message; nothing new is
    stored."""
    c = await t.channel()
    pid = f"{t.bot.id}:{int(time.time() * 1000)}"
    r1 = await t.bot.post("/posts", {"channel_id": c, "message": "first", "pending_post_id": pid})
    t.ident(r1.json()["id"], "<post>")
    t.norm.alias(pid, "<pending>")
    t.rest("first", r1, "id message pending_post_id")
    r2 = await t.bot.post("/posts", {"channel_id": c, "message": "first", "pending_post_id": pid})
    t.rest("again", r2, "id message pending_post_id")
    r3 = await t.bot.post("/posts", {"channel_id": c, "message": "something else", "pending_post_id": pid})
    t.rest("again with another message", r3, "id message")
    t.see("stored", [p["message"] for p in await t.real_posts(t.bot, c)])
    t.rest("read back", await t.bot.get(f"/posts/{r1.json()['id']}"), "id pending_post_id")


@scenario
async def pending_concurrent(t: Run) -> None:
    """Ten creates at once with one pending_post_id: one post is stored; the losers get that post (201) or a 500
    with api.post.deduplicate_create_post.pending, and asking again afterwards gives the post."""
    c = await t.channel()
    pid = f"pend-{suffix(12)}"
    rs = await asyncio.gather(
        *(t.bot.post("/posts", {"channel_id": c, "message": "racer", "pending_post_id": pid}) for _ in range(10))
    )
    ok = {r.json()["id"] for r in rs if r.status_code == 201}
    bad = {(r.status_code, r.json().get("id")) for r in rs if r.status_code != 201}
    t.see("ids handed out", len(ok))
    t.see(
        "failures other than 'pending'",
        sorted(b for b in bad if b != (500, "api.post.deduplicate_create_post.pending")),
    )
    t.see("stored", len([p for p in await t.real_posts(t.bot, c) if p["message"] == "racer"]))
    r = await t.bot.post("/posts", {"channel_id": c, "message": "racer", "pending_post_id": pid})
    t.see("afterwards", {"status": r.status_code, "same post": r.json().get("id") in ok})


@scenario
async def pending_other_user(t: Run) -> None:
    """pending_post_id is not per user: another author who can read the channel gets the first author's post back."""
    c = await t.channel()
    pid = f"pend-{suffix(12)}"
    r1 = await t.bot.post("/posts", {"channel_id": c, "message": "mine", "pending_post_id": pid})
    t.ident(r1.json()["id"], "<post>")
    t.rest("bot", r1, "id user_id message")
    t.rest(
        "user, same pending id",
        await t.user.post("/posts", {"channel_id": c, "message": "yours", "pending_post_id": pid}),
        "id user_id message",
    )


@scenario
async def pending_other_channel(t: Run) -> None:
    """pending_post_id is not per channel either: the post of the first channel comes back."""
    c = await t.channel()
    c2 = await t.channel(alias="<second>")
    pid = f"pend-{suffix(12)}"
    t.rest(
        "first channel",
        await t.bot.post("/posts", {"channel_id": c, "message": "a", "pending_post_id": pid}),
        "channel_id message",
    )
    t.rest(
        "second channel",
        await t.bot.post("/posts", {"channel_id": c2, "message": "b", "pending_post_id": pid}),
        "channel_id message",
    )


@scenario
async def pending_after_failure(t: Run) -> None:
    """A create that failed does not use up its pending_post_id."""
    c = await t.channel()
    pid = f"pend-{suffix(12)}"
    t.rest("too long", await t.bot.post("/posts", {"channel_id": c, "message": "a" * 16384, "pending_post_id": pid}))
    t.rest(
        "shorter", await t.bot.post("/posts", {"channel_id": c, "message": "fits", "pending_post_id": pid}), "message"
    )


@scenario
async def pending_after_delete(t: Run) -> None:
    """The same pending_post_id after the post was deleted: 500 failed_to_get, nothing is posted."""
    c = await t.channel()
    pid = f"pend-{suffix(12)}"
    p = await t.bot.say(c, "short lived", pending_post_id=pid)
    await t.bot.ok("DELETE", f"/posts/{p['id']}")
    t.rest(
        "again",
        await t.bot.post("/posts", {"channel_id": c, "message": "short lived", "pending_post_id": pid}),
        "message",
    )


@scenario
async def post_metadata(t: Run) -> None:
    """metadata is always an object; reactions are in it when there are any, an attachment shows as an embed."""
    c = await t.channel()
    p = await t.bot.say(c, "plain")
    t.see("plain", pick(p, "metadata! metadata.files? metadata.reactions? metadata.embeds?"))
    await t.user.ok("POST", "/reactions", {"user_id": t.user.id, "post_id": p["id"], "emoji_name": "eyes"})
    r = await t.bot.get(f"/posts/{p['id']}")
    t.rest("with a reaction", r, "metadata.reactions.user_id metadata.reactions.emoji_name has_reactions")
    p = await t.bot.say(c, "", props={"attachments": [{"text": "box"}]})
    t.see("with an attachment", pick(p, "message metadata.embeds.type"))


@scenario
async def post_set_online(t: Run) -> None:
    """POST /posts?set_online=false: data.set_online of the event is false."""
    c = await t.channel()
    w = await t.ws(t.bot)
    r = await t.user.post("/posts", {"channel_id": c, "message": "quietly"}, params={"set_online": "false"})
    t.see("status", r.status_code)
    t.event("posted", await w.posted("quietly"), "set_online")


@scenario
@slow
async def pending_expires(t: Run) -> None:
    """A pending_post_id is remembered for 30 seconds: after that the same one makes a second post."""
    c = await t.channel()
    pid = f"pend-{suffix(12)}"
    one = await t.bot.say(c, "twice", pending_post_id=pid)
    await asyncio.sleep(20)
    two = await t.bot.say(c, "twice", pending_post_id=pid)
    t.see("after 20 s", "the same post" if two["id"] == one["id"] else "a new post")
    await asyncio.sleep(14)
    three = await t.bot.say(c, "twice", pending_post_id=pid)
    t.see("after 34 s", "the same post" if three["id"] == one["id"] else "a new post")
