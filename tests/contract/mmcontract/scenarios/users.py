"""Users and their status."""

import asyncio

from tests.contract.mmcontract.scenario import Run, scenario
from tests.contract.mmcontract.values import UNKNOWN_ID, suffix

USER = "id username first_name last_name nickname delete_at is_bot?"


@scenario
async def users_me(t: Run) -> None:
    """GET /users/me for a bot (is_bot; its display name is the first_name) and for a user (no is_bot key)."""
    r = await t.bot.get("/users/me")
    t.rest("bot", r, USER + " roles is_bot bot_description locale!")
    t.rest("user", await t.user.get("/users/me"), USER + " roles is_bot email!")


@scenario
async def users_by_id(t: Run) -> None:
    """GET /users/{id}: others, bots, unknown (404), malformed (400)."""
    t.rest("other user", await t.bot.get(f"/users/{t.user.id}"), USER)
    t.rest("other bot", await t.bot.get(f"/users/{t.bot2.id}"), USER + " is_bot")
    t.rest("unknown", await t.bot.get(f"/users/{UNKNOWN_ID}"))
    t.rest("malformed", await t.bot.get("/users/nope"))


@scenario
async def users_by_username(t: Run) -> None:
    """GET /users/username/{name}: an upper case name gives 400, an unknown one 404; a leading @ is not stripped."""
    t.rest("known", await t.bot.get(f"/users/username/{t.user.name}"), USER)
    t.rest("upper case", await t.bot.get(f"/users/username/{t.user.name.upper()}"), "id username")
    t.rest("unknown", await t.bot.get(f"/users/username/nobody-{suffix()}"))
    t.rest("with @", await t.bot.get(f"/users/username/@{t.user.name}"), "id")


@scenario
async def users_many(t: Run) -> None:
    """POST /users/ids and /users/usernames: unknown ones are left out."""
    r = await t.bot.post("/users/ids", [t.user.id, UNKNOWN_ID])
    t.rest("by ids", r, USER)
    r = await t.bot.post("/users/usernames", [t.user.name, "nobody-" + suffix()])
    t.rest("by usernames", r, USER)
    t.rest("no ids", await t.bot.post("/users/ids", []))


@scenario
async def users_search(t: Run) -> None:
    """POST /users/search and GET /users/autocomplete find by the start of a name, within a team."""
    term = t.user.name
    t.rest("search", await t.bot.post("/users/search", {"term": term, "team_id": t.team}), "id username")
    t.rest("search nothing", await t.bot.post("/users/search", {"term": "zz" + suffix(12), "team_id": t.team}), "")
    t.rest("search empty term", await t.bot.post("/users/search", {"term": "", "team_id": t.team}))
    r = await t.bot.get("/users/autocomplete", params={"in_team": t.team, "name": term})
    t.rest("autocomplete", r, "users.id")
    c = await t.channel(members=(t.bot, t.user))
    r = await t.bot.get("/users/autocomplete", params={"in_team": t.team, "in_channel": c, "name": "ct-"})
    body = r.json()
    t.see(
        "autocomplete in channel",
        {
            "status": r.status_code,
            "users": sorted(t.norm([u["id"] for u in body["users"]])),
            "has out_of_channel": bool(body.get("out_of_channel")),
        },
    )


@scenario
async def user_deactivated(t: Run) -> None:
    """A deactivated user is still found by id and name, with delete_at set; a DM to them can still be made."""
    u = await t.new_user("gone")
    t.rest("deactivate", await t.admin.delete(f"/users/{u.id}"), "status")
    t.rest("by id", await t.bot.get(f"/users/{u.id}"), "id username delete_at")
    t.rest("by name", await t.bot.get(f"/users/username/{u.name}"), "id delete_at")
    t.rest("their token", await u.get("/users/me"))
    t.rest("direct channel", await t.bot.post("/channels/direct", [t.bot.id, u.id]), "type delete_at")


@scenario
async def user_status(t: Run) -> None:
    """GET /users/{id}/status and POST /users/status/ids; a bot that never connected has a status too."""
    u = await t.new_user("idle")
    await asyncio.sleep(0.3)
    t.rest("of a user", await t.bot.get(f"/users/{u.id}/status"), "user_id status! manual")
    r = await t.bot.post("/users/status/ids", [u.id])
    t.rest("of many", r, "user_id status! manual")
    t.rest("of an unknown user", await t.bot.get(f"/users/{UNKNOWN_ID}/status"), "status")
    t.rest(
        "set own",
        await t.bot.put(f"/users/{t.bot.id}/status", {"user_id": t.bot.id, "status": "online"}),
        "user_id status",
    )
    t.rest("set another's", await t.bot.put(f"/users/{t.user.id}/status", {"user_id": t.user.id, "status": "dnd"}))
