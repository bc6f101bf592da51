"""Websocket: reliable resume."""

import asyncio
from typing import Any

from tests.contract.mmcontract.client import Actor, Socket
from tests.contract.mmcontract.scenario import Run, scenario
from tests.contract.mmcontract.scenarios.posts_read import many_by
from tests.contract.mmcontract.values import UNKNOWN_ID, as_json


class Away:
    """A socket of the bot that saw some posts and then lost its connection."""

    def __init__(self, t: Run, c: str, w: Socket, cid: str):
        self.t, self.c, self.w, self.cid = t, c, w, cid

    @property
    def next_seq(self) -> int:
        return 1 + max(int(m["seq"]) for m in self.w.log if "event" in m)

    async def resume(self, seq: Any = None, actor: Actor | None = None, cid: str | None = None, **kw: Any) -> Socket:
        cid = self.cid if cid is None else cid
        q = f"connection_id={cid}&sequence_number={self.next_seq if seq is None else seq}"
        w = await self.t.raw_ws(actor or self.t.bot, query=q, **kw)
        if kw.get(
            "header", True
        ):  # an event between the upgrade and the registration would be lost: wait for the latter
            await w.act("ping")
        return w


async def go_away(
    t: Run, received: tuple[str, ...] = ("one", "two"), missed: tuple[str, ...] = ("three", "four")
) -> Away:
    c = await t.channel()
    w = await t.raw_ws(t.bot)
    h = await w.expect("hello")
    t.ident(h["data"]["connection_id"], "<connection>")
    for text in received:
        await t.user.say(c, text)
        await w.posted(text)
    await t.fence(w)
    a = Away(t, c, w, h["data"]["connection_id"])
    await w.drop()
    for text in missed:
        await t.user.say(c, text)
    return a


def what_came(t: Run, a: Away, w: Socket) -> dict[str, Any]:
    """hello or not, which messages of the channel, and whether the numbering has gaps."""
    seqs = [m["seq"] for m in w.log if "event" in m]
    posts = [
        as_json(m["data"]["post"])["message"]
        for m in w.log
        if m.get("event") == "posted" and m["broadcast"]["channel_id"] == a.c and not as_json(m["data"]["post"])["type"]
    ]
    hello = [t.norm(m["data"]["connection_id"]) for m in w.log if m.get("event") == "hello"]
    return {
        "first is hello": w.first_event().get("event") == "hello",
        "hellos": ["same id" if h == "<connection>" else "new id" for h in hello],
        "posts": posts,
        "gapless": bool(seqs) and seqs == list(range(seqs[0], seqs[0] + len(seqs))),
    }


@scenario
async def resume_missed(t: Run) -> None:
    """?connection_id=&sequence_number=<next expected>: the missed events come, numbered on from there, without a
    hello."""
    a = await go_away(t)
    n = a.next_seq
    w = await a.resume()
    await t.user.say(a.c, "five")
    await w.posted("five")
    t.see("came", what_came(t, a, w))
    t.see("first seq is the one asked for", w.first_event()["seq"] == n)
    t.see("action works", (await w.act("ping"))["status"])


@scenario
async def resume_nothing_missed(t: Run) -> None:
    """Resuming when nothing was missed: the server says nothing at all until the next event."""
    a = await go_away(t, missed=())
    n = a.next_seq
    w = await a.resume()
    await asyncio.sleep(0.5)
    t.see("silence", [m["event"] for m in w.log if m.get("event") in ("hello", "posted")])
    await t.user.say(a.c, "five")
    await w.posted("five")
    t.see("came", what_came(t, a, w))
    t.see("numbering goes on", w.first_event()["seq"] == n)


@scenario
async def resume_replay(t: Run) -> None:
    """Asking for an earlier number replays from there (what was written to the lost connection), then what was
    missed."""
    a = await go_away(t, received=("one", "two", "three"), missed=("four",))
    two = next(
        m["seq"] for m in a.w.log if m.get("event") == "posted" and as_json(m["data"]["post"])["message"] == "two"
    )
    w = await a.resume(seq=two)
    await t.user.say(a.c, "five")
    await w.posted("five")
    t.see("came", what_came(t, a, w))
    t.see("first seq is the one asked for", w.first_event()["seq"] == two)


@scenario
async def resume_seq_zero(t: Run) -> None:
    """sequence_number=0 on a known connection: no hello and no replay; what was missed while away comes, numbered
    from 0."""
    a = await go_away(t)
    w = await a.resume(seq=0)
    await t.user.say(a.c, "five")
    await w.posted("five")
    t.see("came", what_came(t, a, w))
    t.see("first seq", w.first_event()["seq"])


@scenario
async def resume_seq_ahead(t: Run) -> None:
    """A number the server never sent: hello with a new connection_id, numbering from 0; what was queued while away
    still comes."""
    a = await go_away(t)
    w = await a.resume(seq=a.next_seq + 50)
    await t.user.say(a.c, "five")
    await w.posted("five")
    t.see("came", what_came(t, a, w))
    t.see("first seq", w.first_event()["seq"])


@scenario
async def resume_unknown_connection(t: Run) -> None:
    """A well formed connection_id the server does not know (a restart, too long ago): hello with a new id; nothing
    replayed."""
    a = await go_away(t)
    w = await a.resume(cid=UNKNOWN_ID)
    await t.user.say(a.c, "five")
    await w.posted("five")
    t.see("came", what_came(t, a, w))


@scenario
async def resume_bad_parameters(t: Run) -> None:
    """A malformed connection_id, a missing or non numeric sequence_number: dropped right after the upgrade (1006); an
    empty connection_id is as none."""
    cid = UNKNOWN_ID
    for label, q in (
        ("malformed id", "connection_id=nope&sequence_number=1"),
        ("no number", f"connection_id={cid}"),
        ("number is a word", f"connection_id={cid}&sequence_number=x"),
        ("negative number", f"connection_id={cid}&sequence_number=-1"),
        ("empty id", "connection_id=&sequence_number=5"),
        ("only a number", "sequence_number=5"),
    ):
        w = await t.raw_ws(t.bot, query=q)
        code = await w.closed(1.0)
        t.see(label, {"close code": code, "events": [m.get("event") for m in w.log if m.get("event") == "hello"]})


@scenario
async def resume_while_open(t: Run) -> None:
    """Resuming a connection that the server still holds open: hello with a new id, and the old one goes on as well."""
    c = await t.channel()
    w = await t.raw_ws(t.bot)
    h = await w.expect("hello")
    t.ident(h["data"]["connection_id"], "<connection>")
    a = Away(t, c, w, h["data"]["connection_id"])
    w2 = await a.resume()
    await t.user.say(c, "to both")
    await w2.posted("to both")
    t.see("new", what_came(t, a, w2))
    await w.posted("to both")
    t.see("old still works", True)


@scenario
async def resume_by_another(t: Run) -> None:
    """Somebody else's connection_id gives nothing of theirs: hello with a new id."""
    a = await go_away(t)
    w = await a.resume(actor=t.bot2)
    await w.expect("hello")
    await t.fence(w)
    t.see("came", what_came(t, a, w))


@scenario
async def resume_with_challenge(t: Run) -> None:
    """Resuming needs the token in the upgrade request: with authentication_challenge the parameters are ignored."""
    a = await go_away(t)
    w = await a.resume(header=False)
    await w.act("authentication_challenge", {"token": t.bot.token})
    await w.expect("hello")
    await t.user.say(a.c, "five")
    await w.posted("five")
    t.see("came", what_came(t, a, w))
    t.see("action works", (await w.act("ping"))["status"])


@scenario
async def resume_twice(t: Run) -> None:
    """A connection can be resumed again and again with the same connection_id."""
    a = await go_away(t, missed=("three",))
    w = await a.resume()
    await w.posted("three")
    await t.fence(w)
    await w.drop()
    await t.user.say(a.c, "four")
    b = Away(t, a.c, w, a.cid)
    w2 = await b.resume()
    await w2.posted("four")
    t.see("came", what_came(t, a, w2))


@scenario
async def resume_after_close(t: Run) -> None:
    """After an orderly close (1000) the connection can be resumed all the same."""
    c = await t.channel()
    w = await t.raw_ws(t.bot)
    h = await w.expect("hello")
    t.ident(h["data"]["connection_id"], "<connection>")
    await t.fence(w)
    await w.conn.close(1000)
    await w.closed()
    await asyncio.sleep(0.4)
    a = Away(t, c, w, h["data"]["connection_id"])
    await t.user.say(c, "missed")
    w2 = await a.resume()
    await w2.posted("missed")
    t.see("came", what_came(t, a, w2))


@scenario
async def resume_too_old(t: Run) -> None:
    """Only the last 128 events written to a lost connection can be replayed: asking for an older one gives hello, a
    new id."""
    c = await t.channel()
    w = await t.raw_ws(t.bot)
    h = await w.expect("hello")
    t.ident(h["data"]["connection_id"], "<connection>")
    await many_by(t.user, c, 140)
    await t.fence(w)
    a = Away(t, c, w, h["data"]["connection_id"])
    last = a.next_seq - 1
    await w.drop()
    w2 = await a.resume(seq=2)
    await w2.expect("hello")
    got = what_came(t, a, w2)
    t.see("asking for number 2", {k: got[k] for k in ("first is hello", "hellos")})
    t.see("events were more than 128", last > 128)


@scenario
async def resume_overflow(t: Run) -> None:
    """More than 256 events while away: the server gives the connection up; resuming gives hello with a new id, all
    is lost."""
    a = await go_away(t, missed=())
    await many_by(t.user, a.c, 280)
    w = await a.resume()
    await w.expect("hello")
    await t.user.say(a.c, "five")
    await w.posted("five")
    t.see("came", what_came(t, a, w))
