"""Reading posts one by one, in pages, and by `since`."""

import asyncio

from tests.contract.mmcontract.client import Actor
from tests.contract.mmcontract.scenario import POST, Run, scenario
from tests.contract.mmcontract.values import UNKNOWN_ID, pick


@scenario
async def post_get(t: Run) -> None:
    """GET /posts/{id}: own, another's, deleted (404), not a member of a private channel (403), unknown (404)."""
    c = await t.channel()
    mine = await t.bot.say(c, "mine")
    theirs = await t.user.say(c, "theirs")
    t.rest("own", await t.bot.get(f"/posts/{mine['id']}"), POST + " pending_post_id props.from_bot")
    t.rest("another's", await t.bot.get(f"/posts/{theirs['id']}"), "user_id message")
    await t.user.ok("DELETE", f"/posts/{theirs['id']}")
    t.rest("deleted", await t.bot.get(f"/posts/{theirs['id']}"))
    p = await t.channel("P", members=(t.user,), alias="<private>")
    secret = await t.user.say(p, "secret")
    t.rest("private channel", await t.bot.get(f"/posts/{secret['id']}"))
    r = await t.bot.post("/posts/ids", [mine["id"], theirs["id"], UNKNOWN_ID])
    t.see(
        "several by id",
        {"status": r.status_code, "messages": sorted((x["message"], bool(x["delete_at"])) for x in r.json())},
    )


@scenario
async def posts_pages(t: Run) -> None:
    """GET /channels/{id}/posts: newest first in `order`, page and per_page, `posts` by id, prev_post_id /
    next_post_id."""
    d = await t.dm(t.bot, await t.new_user("reader"))
    ids = []
    for i in range(5):
        ids.append((await t.bot.say(d, f"m{i}"))["id"])
        t.ident(ids[-1], f"<m{i}>")
        await asyncio.sleep(0.01)
    for page in (0, 1, 2, 3):
        r = await t.bot.get(f"/channels/{d}/posts", params={"page": page, "per_page": 2})
        t.rest(f"page {page}", r, "order next_post_id? prev_post_id?")
        t.see(f"page {page} posts", sorted(t.norm(list(r.json()["posts"] or {}))))
    r = await t.bot.get(f"/channels/{d}/posts", params={"before": ids[3], "per_page": 2})
    t.rest("before m3", r, "order next_post_id? prev_post_id?")
    r = await t.bot.get(f"/channels/{d}/posts", params={"after": ids[1], "per_page": 2})
    t.rest("after m1", r, "order next_post_id? prev_post_id?")
    r = await t.bot.get(f"/channels/{d}/posts", params={"after": ids[4]})
    t.rest("after the last", r, "order")
    t.rest("after an unknown post", await t.bot.get(f"/channels/{d}/posts", params={"after": UNKNOWN_ID}), "order")
    r = await t.bot.get(f"/channels/{d}/posts", params={"per_page": 1000})
    t.see("huge per_page", {"status": r.status_code, "count": len(r.json().get("order", []))})
    t.rest("malformed after", await t.bot.get(f"/channels/{d}/posts", params={"after": "nope"}))
    t.rest("malformed since", await t.bot.get(f"/channels/{d}/posts", params={"since": "nope"}))


@scenario
async def posts_page_with_replies(t: Run) -> None:
    """Replies are listed among the posts; roots of listed replies come along in `posts` without being in `order`."""
    d = await t.dm(t.bot, await t.new_user("reader"))
    root = await t.bot.say(d, "root")
    t.ident(root["id"], "<root>")
    await asyncio.sleep(0.01)
    await t.bot.say(d, "between")
    await asyncio.sleep(0.01)
    await t.bot.say(d, "reply", root_id=root["id"])
    r = await t.bot.get(f"/channels/{d}/posts", params={"per_page": 1})
    b = r.json()
    t.see(
        "page of one",
        {
            "order": [b["posts"][i]["message"] for i in b["order"]],
            "posts": sorted(p["message"] for p in b["posts"].values()),
        },
    )
    r = await t.bot.get(f"/channels/{d}/posts", params={"per_page": 1, "skipFetchThreads": "true"})
    b = r.json()
    t.see(
        "skipFetchThreads",
        {
            "order": [b["posts"][i]["message"] for i in b["order"]],
            "posts": sorted(p["message"] for p in b["posts"].values()),
        },
    )
    r = await t.bot.get(f"/channels/{d}/posts", params={"collapsedThreads": "true"})
    b = r.json()
    t.see("collapsedThreads", {"order": [b["posts"][i]["message"] for i in b["order"]]})


@scenario
async def posts_since(t: Run) -> None:
    """since= looks at update_at, strictly later: new, edited and deleted posts come; a reaction counts as an update
    and so does a new reply for its root; newest first by create_at; page and per_page do nothing. An edit also
    brings a second post: the old version, with a new id, delete_at set, an empty message, and original_id naming
    the edited post."""
    d = await t.dm(t.bot, await t.new_user("reader"))
    p = {}
    for n in ("untouched", "edited", "deleted", "reacted", "root"):
        p[n] = await t.bot.say(d, n)
        t.ident(p[n]["id"], f"<{n}>")
        await asyncio.sleep(0.01)
    since = max(x["update_at"] for x in p.values())
    await asyncio.sleep(0.01)
    r = await t.bot.get(f"/channels/{d}/posts", params={"since": since})
    t.see("nothing since the last post", {"status": r.status_code, "order": r.json()["order"]})
    r = await t.bot.get(f"/channels/{d}/posts", params={"since": since - 1})
    t.see("one ms earlier", [r.json()["posts"][i]["message"] for i in r.json()["order"]])
    await t.bot.ok("PUT", f"/posts/{p['edited']['id']}/patch", {"message": "edited now"})
    await t.bot.ok("DELETE", f"/posts/{p['deleted']['id']}")
    await t.bot.ok("POST", "/reactions", {"user_id": t.bot.id, "post_id": p["reacted"]["id"], "emoji_name": "eyes"})
    await asyncio.sleep(0.01)
    reply = await t.bot.say(d, "reply", root_id=p["root"]["id"])
    t.ident(reply["id"], "<reply>")
    r = await t.bot.get(f"/channels/{d}/posts", params={"since": since})
    b = r.json()
    listed = [b["posts"][i] for i in b["order"]]
    versions = [x for x in listed if x["original_id"]]  # same create_at as the edited post: either may come first
    t.see("order", [x["id"] for x in listed if not x["original_id"]])
    t.see(
        "posts",
        [pick(x, "id message edit_at delete_at original_id has_reactions?") for x in listed if not x["original_id"]],
    )
    t.see("old versions", [pick(x, "message edit_at delete_at original_id") for x in versions])
    t.see("nothing else in posts", len(b["posts"]) - len(b["order"]))
    r = await t.bot.get(f"/channels/{d}/posts", params={"since": since, "per_page": 1})
    t.see("with per_page 1", len(r.json()["order"]))


@scenario
async def posts_per_page_limit(t: Run) -> None:
    """per_page defaults to 60 and is cut to 200 without an error; since= ignores both and gives up to 1000."""
    d = await t.dm(t.bot, await t.new_user("reader"))
    first = await t.bot.say(d, "first")
    await many_by(t.bot, d, 210)
    for label, params in (
        ("default", {}),
        ("201", {"per_page": 201}),
        ("0", {"per_page": 0}),
        ("-1", {"per_page": -1}),
        ("word", {"per_page": "x"}),
    ):
        r = await t.bot.get(f"/channels/{d}/posts", params=params)
        t.see(label, {"status": r.status_code, "count": len(r.json().get("order", []))})
    r = await t.bot.get(f"/channels/{d}/posts", params={"since": first["update_at"] - 1})
    t.see("since", len(r.json()["order"]))


async def many_by(who: Actor, c: str, n: int) -> None:
    for i in range(0, n, 10):
        await asyncio.gather(*(who.say(c, f"bulk {i + j}") for j in range(10)))


@scenario
async def posts_deleted_in_pages(t: Run) -> None:
    """Deleted posts are left out of pages; a deleted post still works as the anchor of before= and after=."""
    d = await t.dm(t.bot, await t.new_user("reader"))
    ids = []
    for i in range(5):
        ids.append(t.ident((await t.bot.say(d, f"m{i}"))["id"], f"<m{i}>"))
        await asyncio.sleep(0.01)
    await t.bot.ok("DELETE", f"/posts/{ids[2]}")
    t.rest("page", await t.bot.get(f"/channels/{d}/posts"), "order")
    t.rest("after the deleted one", await t.bot.get(f"/channels/{d}/posts", params={"after": ids[2]}), "order")
    t.rest("before the deleted one", await t.bot.get(f"/channels/{d}/posts", params={"before": ids[2]}), "order")
    t.rest("include_deleted", await t.bot.get(f"/channels/{d}/posts", params={"include_deleted": "true"}))
    t.rest("get with include_deleted", await t.bot.get(f"/posts/{ids[2]}", params={"include_deleted": "true"}))
