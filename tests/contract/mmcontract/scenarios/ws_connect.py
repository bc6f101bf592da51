"""Websocket: connecting, and losing the right to be connected."""

import asyncio
import json
import re
import time

import websockets
from websockets.asyncio.client import connect as ws_connect
from websockets.typing import Origin

from tests.contract.mmcontract.client import SetupError, Socket
from tests.contract.mmcontract.scenario import Run, scenario
from tests.contract.mmcontract.values import UNKNOWN_ID, pick


@scenario
async def ws_hello(t: Run) -> None:
    """With the token in the Authorization header of the upgrade the server says hello at once, as seq 0."""
    w = await t.raw_ws(t.bot)
    m = await w.expect("hello")
    t.see("first message", w.log[0]["event"])
    t.event("hello", m, "connection_id server_version!")
    t.see("seq", m["seq"])
    t.see("server_version starts with the version", bool(re.match(r"\d+\.\d+\.\d+\.", m["data"]["server_version"])))


@scenario
async def ws_challenge(t: Run) -> None:
    """Without the header: authentication_challenge with the token; then hello (seq 0) and a reply {status OK,
    seq_reply}; a second challenge is not answered."""
    w = await t.raw_ws(t.bot, header=False)
    r = await w.act("authentication_challenge", {"token": t.bot.token})
    m = await w.expect("hello")
    t.see("reply", r)
    t.see("order", [m.get("event") or "reply" for m in w.log if m.get("event") in (None, "hello")])
    t.see("hello", pick(m, "seq data.connection_id"))
    await w.conn.send(json.dumps({"seq": 2, "action": "authentication_challenge", "data": {"token": t.bot.token}}))
    r = await w.act("ping", seq=3)
    t.see("ping afterwards", r["status"])
    t.see("answers to the second challenge", len([m for m in w.log if m.get("seq_reply") == 2]))


@scenario
async def ws_challenge_bad_token(t: Run) -> None:
    """A challenge with a bad token, or without one: the server drops the connection without a close frame (1006)."""
    for label, data in (("bad token", {"token": UNKNOWN_ID}), ("no token", {})):
        w = await t.raw_ws(t.anon, header=False)
        await w.conn.send(json.dumps({"seq": 1, "action": "authentication_challenge", "data": data}))
        t.see(label, {"close code": await w.closed(), "messages": w.log})


@scenario
async def ws_bad_header_token(t: Run) -> None:
    """A bad token in the header: the upgrade succeeds, no hello comes; a challenge can still follow; else it ends
    after 5 s."""
    w = await t.raw_ws(t.anon, token=UNKNOWN_ID)
    await asyncio.sleep(0.5)
    t.see("messages", w.log)
    r = await w.act("authentication_challenge", {"token": t.bot.token})
    t.see("challenge", r["status"])
    await w.expect("hello")


@scenario
async def ws_unauthenticated(t: Run) -> None:
    """Without authentication: actions get no answer, and after about 5 s the server drops the connection (1006)."""
    w = await t.raw_ws(t.anon, header=False)
    t0 = time.monotonic()
    await w.conn.send(json.dumps({"seq": 1, "action": "ping"}))
    code = await w.closed(20)
    took = time.monotonic() - t0
    t.see("close code", code)
    t.see("messages", w.log)
    t.see("after 4 to 12 s", 4 <= took <= 12)


@scenario
async def ws_origin(t: Run) -> None:
    """A foreign Origin header is refused at the upgrade; no Origin is fine."""
    try:
        conn = await ws_connect(
            t.kit.ws_url,
            additional_headers={"Authorization": "Bearer " + t.bot.token},
            origin=Origin("http://elsewhere.example"),
            proxy=None,
        )
        await conn.close()
        t.see("foreign origin", "accepted")
    except websockets.InvalidStatus as e:
        t.see("foreign origin", {"refused": e.response.status_code})


@scenario
async def ws_actions(t: Run) -> None:
    """Action replies: ping, an unknown action, no action, seq 0, a missing seq, get_statuses_by_ids."""
    w = await t.ws(t.bot)
    r = await w.act("ping", {})
    t.see("ping", pick(r, "status seq_reply data.text data.version! data.server_time!"))
    t.see("a reply has no event and no seq", [k for k in ("event", "seq") if k in r])
    r = await w.act("no_such_action", {})
    t.see("unknown action", pick(r, "status seq_reply error.id error.message! error.status_code"))
    r = await w.act("", {})
    t.see("no action", pick(r, "status seq_reply error.id error.status_code"))
    r = await w.act("ping", {}, seq=0)
    t.see("seq 0", pick(r, "status seq_reply error.id error.status_code"))
    r = await w.act("ping", {}, seq=7)
    t.see("any seq will do", pick(r, "status seq_reply"))
    r = await w.act("ping", {}, seq=7)
    t.see("the same seq again", pick(r, "status seq_reply"))
    r = await w.act("get_statuses_by_ids", {"user_ids": [t.bot.id]}, seq=8)
    t.see("statuses", {"status": r["status"], "data": t.norm(r["data"])})


@scenario
async def ws_bad_frames(t: Run) -> None:
    """What is not a JSON object ends the connection: broken JSON, a string seq (1006); over 8192 bytes (1009)."""
    for label, frame in (
        ("not json", "hello?"),
        ("seq is a string", '{"seq": "1", "action": "ping"}'),
        ("a list", "[]"),
        ("8200 bytes", json.dumps({"seq": 1, "action": "ping", "data": {"x": "y" * 8200}})),
    ):
        w = await t.ws(t.bot)
        await w.conn.send(frame)
        t.see(label, {"close code": await w.closed()})
    w = await t.ws(t.bot)
    await w.conn.send(json.dumps({"seq": 1, "action": "ping", "data": {"x": "y" * 7900}}))
    t.see("7900 bytes", (await w.reply(1))["status"])


@scenario
async def ws_ping_frame_and_close(t: Run) -> None:
    """A ping frame is answered with a pong; a close 1000 from the client is answered with 1000."""
    w = await t.ws(t.bot)
    waiter = await w.conn.ping(b"kit")
    await asyncio.wait_for(waiter, 5)
    t.see("pong", True)
    await w.conn.close(1000)
    t.see("close code", await w.closed())


@scenario
async def ws_seq(t: Run) -> None:
    """Event seq counts 0, 1, 2 ... per connection without gaps, hello first; replies do not count."""
    c = await t.channel()
    w = await t.ws(t.bot)
    for i in range(3):
        await t.user.say(c, f"n{i}")
        await w.act("ping")
        await w.posted(f"n{i}")
    seqs = [m["seq"] for m in w.log if "event" in m]
    t.see("without gaps from 0", seqs == list(range(len(seqs))))
    t.see("hello is the first", w.log[0]["event"])


@scenario
async def ws_two_sockets(t: Run) -> None:
    """Two connections of one bot both get every event, each with its own connection_id and seq."""
    c = await t.channel()
    a = await t.raw_ws(t.bot)
    ha = await a.expect("hello")
    b = await t.raw_ws(t.bot)
    hb = await b.expect("hello")
    t.see("different ids", ha["data"]["connection_id"] != hb["data"]["connection_id"])
    await t.user.say(c, "to both")
    await a.posted("to both")
    m = await b.posted("to both")
    t.see("both", True)
    t.see("seq of each starts at 0", [ha["seq"], hb["seq"], m["seq"] >= 1])


async def after_losing(t: Run, w: Socket, c: str) -> None:
    """What an open socket does once its session is gone."""
    await asyncio.sleep(0.5)  # the server forgets the session asynchronously: an event right after may still come
    mark = len(w.log)
    await t.user.say(c, "after")
    await asyncio.sleep(1.5)
    t.see("events after", [m["event"] for m in w.log[mark:] if m.get("event") == "posted"])
    t.see("closed by the server", await w.closed(0.5))
    try:
        r = await w.act("ping")
        t.see("ping action", pick(r, "status error.id error.status_code"))
    except (SetupError, websockets.ConnectionClosed):
        t.see("ping action", "no answer")
    t.see("then closed by the server", await w.closed(1.0))


@scenario
async def ws_token_revoked(t: Run) -> None:
    """Revoking the token does not close an open websocket: it stays open and silent; the ping action tells (401)."""
    b = await t.new_bot("revoked")
    c = await t.channel(members=(b, t.user))
    w = await t.ws(b)
    await t.user.say(c, "before")
    await w.posted("before")
    toks = await t.admin.ok("GET", f"/users/{b.id}/tokens")
    await t.admin.ok("POST", "/users/tokens/revoke", {"token_id": toks[0]["id"]})
    await after_losing(t, w, c)


@scenario
async def ws_bot_disabled(t: Run) -> None:
    """Disabling the bot likewise; enabling it again does not revive the old socket, a new one works."""
    b = await t.new_bot("disabled")
    c = await t.channel(members=(b, t.user))
    w = await t.ws(b)
    await t.admin.ok("POST", f"/bots/{b.id}/disable")
    await after_losing(t, w, c)
    await t.admin.ok("POST", f"/bots/{b.id}/enable")
    mark = len(w.log)
    await t.user.say(c, "enabled again")
    await asyncio.sleep(1)
    t.see("old socket after enabling", [m["event"] for m in w.log[mark:] if m.get("event") == "posted"])
    w2 = await t.ws(b)
    await t.user.say(c, "on a new socket")
    await w2.posted("on a new socket")
    t.see("new socket works", True)


@scenario
async def ws_logout(t: Run) -> None:
    """Logging out a session with an open socket."""
    u = await t.new_user("leaver")
    c = await t.channel(members=(u, t.user))
    w = await t.ws(u)
    await u.ok("POST", "/users/logout")
    await after_losing(t, w, c)


@scenario
async def ws_makes_online(t: Run) -> None:
    """Connecting makes the bot online by itself."""
    b = await t.new_bot("presence")
    await t.ws(b)
    await asyncio.sleep(0.5)
    t.rest("while connected", await t.user.get(f"/users/{b.id}/status"), "status manual")
