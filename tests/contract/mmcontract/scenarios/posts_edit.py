"""Editing and deleting posts."""

import asyncio
from typing import Any

from tests.contract.mmcontract.scenario import Run, scenario
from tests.contract.mmcontract.values import UNKNOWN_ID, pick, suffix

EDITED = "id user_id root_id message edit_at delete_at file_ids? props.from_bot props.mine props.attachments.text?"


async def rich_post(t: Run, c: str) -> dict[str, Any]:
    root = await t.user.say(c, "root")
    t.ident(root["id"], "<root>")
    up = await t.bot.req("POST", "/files", params={"channel_id": c, "filename": "a.txt"}, content=b"hello")
    fid = up.json()["file_infos"][0]["id"]
    t.ident(fid, "<file>")
    p = await t.bot.say(
        c, "rich", root_id=root["id"], file_ids=[fid], props={"mine": "kept?", "attachments": [{"text": "box"}]}
    )
    t.ident(p["id"], "<post>")
    return p


@scenario
async def edit_put_minimal(t: Run) -> None:
    """PUT /posts/{id} with only id and message: props are dropped (from_bot too), root_id and file_ids stay."""
    c = await t.channel()
    p = await rich_post(t, c)
    t.see("before", pick(p, EDITED))
    t.rest("put", await t.bot.put(f"/posts/{p['id']}", {"id": p["id"], "message": "changed"}), EDITED)
    t.rest("read back", await t.bot.get(f"/posts/{p['id']}"), EDITED)
    t.rest(
        "put with empty file_ids",
        await t.bot.put(f"/posts/{p['id']}", {"id": p["id"], "message": "changed", "file_ids": []}),
        EDITED,
    )


@scenario
async def edit_patch_minimal(t: Run) -> None:
    """PUT /posts/{id}/patch with only a message keeps props, root_id and file_ids."""
    c = await t.channel()
    p = await rich_post(t, c)
    t.rest("patch", await t.bot.put(f"/posts/{p['id']}/patch", {"message": "changed"}), EDITED)
    t.rest("patch props", await t.bot.put(f"/posts/{p['id']}/patch", {"props": {"mine": "new"}}), EDITED)
    t.rest("read back", await t.bot.get(f"/posts/{p['id']}"), EDITED)


@scenario
async def edit_marks(t: Run) -> None:
    """An edit sets edit_at and update_at; the same message again does not set edit_at; create_at stays."""
    c = await t.channel()
    p = await t.bot.say(c, "original")
    await asyncio.sleep(0.02)
    r = await t.bot.put(f"/posts/{p['id']}/patch", {"message": "original"})
    t.rest("same message", r, "message edit_at")
    r = await t.bot.put(f"/posts/{p['id']}/patch", {"message": "new"})
    b = r.json()
    t.rest("new message", r, "message edit_at")
    t.see(
        "times",
        {
            "create_at kept": b["create_at"] == p["create_at"],
            "update_at grew": b["update_at"] > p["update_at"],
            "edit_at is about update_at": abs(b["edit_at"] - b["update_at"]) < 1000,
        },
    )
    t.rest("empty message", await t.bot.put(f"/posts/{p['id']}/patch", {"message": ""}), "message")
    t.rest("id mismatch", await t.bot.put(f"/posts/{p['id']}", {"id": UNKNOWN_ID, "message": "x"}))
    t.rest("no id in the body", await t.bot.put(f"/posts/{p['id']}", {"message": "x"}))


@scenario
async def edit_deleted(t: Run) -> None:
    """Editing one's own post after somebody deleted it: PUT and PATCH both give 403 (not 404)."""
    c = await t.channel()
    p = await t.bot.say(c, "doomed")
    await t.admin.ok("DELETE", f"/posts/{p['id']}")
    t.rest("put", await t.bot.put(f"/posts/{p['id']}", {"id": p["id"], "message": "x"}))
    t.rest("patch", await t.bot.put(f"/posts/{p['id']}/patch", {"message": "x"}))
    t.rest("unknown put", await t.bot.put(f"/posts/{UNKNOWN_ID}", {"id": UNKNOWN_ID, "message": "x"}))
    t.rest("unknown patch", await t.bot.put(f"/posts/{UNKNOWN_ID}/patch", {"message": "x"}))
    t.rest("get", await t.bot.get(f"/posts/{p['id']}"))


@scenario
async def edit_of_others(t: Run) -> None:
    """Editing another's post gives 403, and changes nothing."""
    c = await t.channel()
    p = await t.user.say(c, "not yours")
    t.rest("put", await t.bot.put(f"/posts/{p['id']}", {"id": p["id"], "message": "x"}))
    t.rest("patch", await t.bot.put(f"/posts/{p['id']}/patch", {"message": "x"}))
    t.rest("unchanged", await t.bot.get(f"/posts/{p['id']}"), "message edit_at")


@scenario
async def edit_after_leaving(t: Run) -> None:
    """A bot that was removed from the channel can no longer edit or delete its post there (403)."""
    c = await t.channel()
    p = await t.bot.say(c, "mine")
    await t.admin.ok("DELETE", f"/channels/{c}/members/{t.bot.id}")
    t.rest("patch", await t.bot.put(f"/posts/{p['id']}/patch", {"message": "x"}))
    t.rest("delete", await t.bot.delete(f"/posts/{p['id']}"))


@scenario
async def post_delete(t: Run) -> None:
    """DELETE /posts/{id}: own 200, again 404, another's 403; deleting a root deletes its replies."""
    c = await t.channel()
    p = await t.bot.say(c, "mine")
    t.rest("own", await t.bot.delete(f"/posts/{p['id']}"), "status")
    t.rest("again", await t.bot.delete(f"/posts/{p['id']}"))
    t.rest("unknown", await t.bot.delete(f"/posts/{UNKNOWN_ID}"))
    u = await t.user.say(c, "theirs")
    t.rest("another's", await t.bot.delete(f"/posts/{u['id']}"))
    root = await t.bot.say(c, "root")
    reply = await t.user.say(c, "reply", root_id=root["id"])
    t.rest("root", await t.bot.delete(f"/posts/{root['id']}"), "status")
    t.rest("its reply", await t.bot.get(f"/posts/{reply['id']}"))
    t.rest("reply to it", await t.bot.post("/posts", {"channel_id": c, "message": "late", "root_id": root["id"]}))


@scenario
async def post_pin(t: Run) -> None:
    """Pin and unpin; the channel's pinned list."""
    c = await t.channel()
    p = await t.bot.say(c, "pin me")
    t.ident(p["id"], "<post>")
    t.rest("pin", await t.bot.post(f"/posts/{p['id']}/pin"), "status")
    t.rest("pinned", await t.bot.get(f"/channels/{c}/pinned"), "order")
    t.rest("unpin", await t.bot.post(f"/posts/{p['id']}/unpin"), "status")
    t.rest("pinned now", await t.bot.get(f"/channels/{c}/pinned"), "order")


@scenario
async def post_search(t: Run) -> None:
    """POST /teams/{id}/posts/search finds by word in the bot's channels."""
    c = await t.channel()
    word = "zq" + suffix(12)
    t.norm.alias(word, "<word>")
    p = await t.bot.say(c, f"a {word} b")
    t.ident(p["id"], "<post>")
    r = await t.bot.post(f"/teams/{t.team}/posts/search", {"terms": word, "is_or_search": False})
    t.rest("found", r, "order")
    r = await t.bot2.post(f"/teams/{t.team}/posts/search", {"terms": word, "is_or_search": False})
    t.rest("not in its channels", r, "order")


@scenario
async def permalink(t: Run) -> None:
    """A permalink is <site>/<team name>/pl/<post id>; a post that holds one gets props.previewed_post and an embed of
    type permalink, for authors who can read the target."""
    c = await t.channel()
    p = await t.user.say(c, "target")
    t.ident(p["id"], "<target>")
    site = (await t.bot.get("/config/client", params={"format": "old"})).json().get("SiteURL") or t.kit.base
    t.norm.alias(site, "<base>")
    r = await t.bot.post("/posts", {"channel_id": c, "message": f"see {site}/{t.kit.team_name}/pl/{p['id']}"})
    t.rest("post with a permalink", r, "message props.previewed_post metadata.embeds.type metadata.embeds.data.post_id")
