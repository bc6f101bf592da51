"""System, login and tokens."""

import re

from tests.contract.mmcontract.client import Actor
from tests.contract.mmcontract.scenario import Run, scenario
from tests.contract.mmcontract.values import PASSWORD, UNKNOWN_ID, pick, suffix


@scenario
async def system_ping(t: Run) -> None:
    """GET /system/ping needs no token and says status OK."""
    t.rest("ping", await t.anon.get("/system/ping"), "status")


@scenario
async def config_client(t: Run) -> None:
    """GET /config/client?format=old: every value is a string; little without a token, more with one."""
    r = await t.anon.get("/config/client", params={"format": "old"})
    t.rest("without a token", r, "Version! SiteURL! MaxPostSize! EnablePostUsernameOverride!")
    r = await t.bot.get("/config/client", params={"format": "old"})
    t.rest(
        "as the bot",
        r,
        "Version! SiteURL! MaxPostSize MaxFileSize! EnablePostUsernameOverride! EnableBotAccountCreation!"
        " EnableCommands!",
    )
    t.see("values are all strings", all(isinstance(v, str) for v in r.json().values()))
    t.rest("no format", await t.bot.get("/config/client"))
    t.see("version looks like", bool(re.fullmatch(r"\d+\.\d+\.\d+", r.json()["Version"])))


@scenario
async def login_ok(t: Run) -> None:
    """POST /users/login: the session token is in the Token header, the user in the body."""
    r = await t.anon.post("/users/login", {"login_id": t.user.name, "password": PASSWORD})
    t.norm.alias(r.headers.get("Token", ""), "<token>")
    t.rest("login", r, "id username roles delete_at", headers="Token")
    r = await t.anon.get("/users/me", headers={"Authorization": "Bearer " + r.headers["Token"]})
    t.rest("the token works", r, "id username")


@scenario
async def login_wrong_password(t: Run) -> None:
    """A wrong password and an unknown user both give 401, with no Token header."""
    t.rest(
        "wrong password",
        await t.anon.post("/users/login", {"login_id": t.user.name, "password": "nope-nope"}),
        headers="Token",
    )
    t.rest(
        "unknown user",
        await t.anon.post("/users/login", {"login_id": "nobody-" + suffix(), "password": "nope-nope"}),
        headers="Token",
    )


@scenario
async def logout(t: Run) -> None:
    """POST /users/logout ends the session: the token then gives 401."""
    u = await t.new_user("leaver")
    t.rest("logout", await u.post("/users/logout"), "status")
    t.rest("afterwards", await u.get("/users/me"))


@scenario
async def error_shape(t: Run) -> None:
    """An error body is JSON: id, message, detailed_error, request_id, status_code (equal to the HTTP status)."""
    r = await t.bot.get(f"/posts/{UNKNOWN_ID}")
    t.see("status", r.status_code)
    t.see("body", pick(r.json(), "id message! detailed_error! request_id! status_code"))
    t.see("content type", r.headers["content-type"].split(";")[0])


@scenario
async def auth_bad_token(t: Run) -> None:
    """A token nobody has, a malformed one, and none at all: 401 with the same error id."""
    t.rest("unknown token", await t.anon.get("/users/me", headers={"Authorization": "Bearer " + UNKNOWN_ID}))
    t.rest("garbage token", await t.anon.get("/users/me", headers={"Authorization": "Bearer x"}))
    t.rest("no token", await t.anon.get("/users/me"))
    t.rest("post without a token", await t.anon.post("/posts", {"channel_id": UNKNOWN_ID, "message": "x"}))


@scenario
async def auth_token_forms(t: Run) -> None:
    """The token is taken from `Bearer` in any case and from `Token`; a bare one and ?access_token= are 401."""
    for label, value in (("Bearer", "Bearer "), ("BEARER", "BEARER "), ("bearer", "bearer "), ("Token", "Token ")):
        t.rest(label, await t.anon.get("/users/me", headers={"Authorization": value + t.bot.token}), "id")
    t.rest("bare token", await t.anon.get("/users/me", headers={"Authorization": t.bot.token}), "id")
    t.rest("query", await t.anon.get("/users/me", params={"access_token": t.bot.token}), "id")


@scenario
async def bot_create_and_token(t: Run) -> None:
    """Creating a bot and its access token; the token value is shown only once."""
    name = f"ct-made-{suffix(8)}"
    t.norm.alias(name, "<made.name>")
    r = await t.admin.post("/bots", {"username": name, "display_name": "Made", "description": "for a test"})
    uid = r.json()["user_id"]
    t.kit.bots.append(Actor(t.kit, "made", uid, name))
    t.norm.alias(uid, "<made>")
    t.rest("bot", r, "user_id username display_name description owner_id delete_at")
    r = await t.admin.post(f"/users/{uid}/tokens", {"description": "d"})
    tok = r.json()
    t.norm.alias(tok["token"], "<token>")
    t.rest("token", r, "id token user_id description is_active")
    t.rest("get token", await t.admin.get(f"/users/tokens/{tok['id']}"), "id token user_id description is_active")
    t.rest("list tokens", await t.admin.get(f"/users/{uid}/tokens"), "id token user_id description is_active")
    t.rest("same name again", await t.admin.post("/bots", {"username": name}))
    t.rest("a bot cannot make bots", await t.bot.post("/bots", {"username": name + "b"}))


@scenario
async def token_revoked(t: Run) -> None:
    """After revoking a bot's token it gives 401 at once."""
    b = await t.new_bot("revoked")
    t.rest("before", await b.get("/users/me"), "id")
    toks = await t.admin.ok("GET", f"/users/{b.id}/tokens")
    t.rest("revoke", await t.admin.post("/users/tokens/revoke", {"token_id": toks[0]["id"]}), "status")
    t.rest("after", await b.get("/users/me"))
    t.rest("posting", await b.post("/posts", {"channel_id": t.town, "message": "x"}))


@scenario
async def bot_disabled(t: Run) -> None:
    """A disabled bot's token gives 401; once enabled again the same token works; the user has delete_at meanwhile."""
    b = await t.new_bot("sleeper")
    t.rest("disable", await t.admin.post(f"/bots/{b.id}/disable"), "user_id delete_at")
    t.rest("disabled", await b.get("/users/me"))
    t.rest("seen by others", await t.user.get(f"/users/{b.id}"), "id username delete_at is_bot?")
    t.rest("enable", await t.admin.post(f"/bots/{b.id}/enable"), "user_id delete_at")
    t.rest("enabled again", await b.get("/users/me"), "id")


@scenario
async def unknown_route(t: Run) -> None:
    """An unknown API path gives 404 with a JSON error."""
    t.rest("unknown path", await t.bot.get("/nonesuch/at/all"))
    t.rest("wrong method", await t.bot.delete("/users/me/teams"))


@scenario
async def bad_request_bodies(t: Run) -> None:
    """Broken JSON gives 400; an id that is not 26 characters gives 400 or 404 by route."""
    r = await t.bot.req("POST", "/posts", content=b"{not json", headers={"Content-Type": "application/json"})
    t.rest("broken json", r)
    t.rest("empty body", await t.bot.req("POST", "/posts", content=b""))
    t.rest("short id in path", await t.bot.get("/posts/short"))
    t.rest("id with bad characters", await t.bot.get("/posts/has-a-hyphen"))
    t.rest("short user id", await t.bot.get("/users/short"))
    t.rest("short channel id", await t.bot.get("/channels/short"))
