"""What a scenario works with (`Run`), and the list of all scenarios."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import httpx
from websockets.asyncio.client import connect as ws_connect

from tests.contract.mmcontract.client import Actor, Socket
from tests.contract.mmcontract.values import ABSENT, Normaliser, as_json, pick, suffix

if TYPE_CHECKING:
    from tests.contract.mmcontract.runner import Kit

POST = "id channel_id user_id root_id message type create_at edit_at delete_at"
EVENT_BROADCAST = "omit_users? user_id channel_id team_id"


class Run:
    """What a scenario works with: the actors, helpers, and `see` to write down a step."""

    def __init__(self, kit: Kit, name: str):
        self.kit, self.name = kit, name
        self.norm = Normaliser(kit.aliases)
        self.steps: list[dict[str, Any]] = []
        self.sockets: list[Socket] = []
        self.admin, self.bot, self.bot2, self.user, self.other, self.anon = (
            kit.admin,
            kit.bot,
            kit.bot2,
            kit.user,
            kit.other,
            kit.anon,
        )
        self.cmdbot = kit.cmdbot
        self.team, self.town = kit.team, kit.town
        self.hook = kit.hook
        self.made = 0

    # --- writing down ---

    def see(self, label: str, value: Any) -> None:
        self.steps.append({"label": label, "value": self.norm(value)})

    def rest(self, label: str, r: httpx.Response, spec: str | None = None, headers: str = "") -> None:
        """Status; on success the picked keys of the body, on error the error id."""
        out: dict[str, Any] = {"status": r.status_code}
        try:
            body = r.json()
        except ValueError:
            body = None
            out["text"] = r.text[:300]
        if r.status_code >= 400:
            if isinstance(body, dict):
                out["error_id"] = body.get("id", ABSENT)
        elif spec is not None:
            out["body"] = pick(body, spec) if spec else body
        for h in headers.split():
            out["header " + h] = r.headers.get(h, ABSENT)
        self.see(label, out)

    def event(self, label: str, m: dict[str, Any], data: str = "", post: str | None = None) -> None:
        """A websocket event: its name, the picked data keys, and who it was broadcast to."""
        out = {"event": m["event"], "data": pick(m["data"], data), "broadcast": pick(m["broadcast"], EVENT_BROADCAST)}
        if isinstance(m["broadcast"].get("omit_users"), dict):
            out["broadcast"]["omit_users"] = sorted(self.norm(list(m["broadcast"]["omit_users"])))
        if post is not None:
            p = as_json(m["data"].get("post", ABSENT))
            out["data"]["post"] = pick(p, post) if isinstance(p, dict) and "id" in p else p
        self.see(label, out)

    # --- doing ---

    def ident(self, raw: str, name: str) -> str:
        self.norm.alias(raw, name)
        return raw

    async def channel(
        self,
        kind: str = "O",
        members: tuple[Actor, ...] | None = None,
        alias: str = "<channel>",
        team: str | None = None,
    ) -> str:
        """A new channel made by the admin, with the bot and the user as members."""
        name = f"ct-{suffix(10)}"
        ch = await self.admin.ok(
            "POST",
            "/channels",
            {"team_id": team or self.team, "name": name, "display_name": name.upper(), "type": kind},
        )
        self.norm.alias(ch["id"], alias)
        self.norm.alias(name, alias[:-1] + ".name>")
        self.norm.alias(name.upper(), alias[:-1] + ".display>")
        for m in (self.bot, self.user) if members is None else members:
            await self.admin.ok("POST", f"/channels/{ch['id']}/members", {"user_id": m.id})
        return str(ch["id"])

    async def dm(self, a: Actor, b: Actor, alias: str = "<dm>") -> str:
        ch = await a.ok("POST", "/channels/direct", [a.id, b.id])
        return self.ident(ch["id"], alias)

    async def group(self, a: Actor, *others: Actor) -> str:
        ch = await a.ok("POST", "/channels/group", [a.id, *[o.id for o in others]])
        return self.ident(ch["id"], "<group>")

    async def new_user(self, label: str = "newuser", team: bool = True) -> Actor:
        a = await self.kit.make_user(label, team)
        self._alias_actor(a)
        return a

    async def new_bot(self, label: str = "newbot", team: bool = True) -> Actor:
        a = await self.kit.make_bot(label, team)
        self._alias_actor(a)
        return a

    def _alias_actor(self, a: Actor) -> None:
        self.norm.alias(a.id, f"<{a.label}>")
        self.norm.alias(a.name, f"<{a.label}.name>")
        self.norm.alias(a.token, "<token>")

    async def raw_ws(self, actor: Actor, *, header: bool = True, token: str | None = None, query: str = "") -> Socket:
        headers = {}
        if header:
            headers["Authorization"] = "Bearer " + (token if token is not None else actor.token)
        conn = await ws_connect(
            self.kit.ws_url + (("?" + query) if query else ""),
            additional_headers=headers,
            max_size=None,
            open_timeout=10,
            close_timeout=2,
            ping_interval=None,
            compression=None,
            proxy=None,
        )
        s = Socket(self, actor, conn)
        self.sockets.append(s)
        return s

    async def ws(self, actor: Actor) -> Socket:
        """An authenticated websocket that has said hello."""
        s = await self.raw_ws(actor)
        await s.expect("hello")
        return s

    async def fence(self, *sockets: Socket) -> None:
        """Everything the server published before this point has arrived at these sockets."""
        await asyncio.sleep(0.15)
        text = "fence " + suffix(12)
        await self.admin.say(self.kit.fence_channel, text)
        for s in sockets:
            await s.posted(text)

    async def real_posts(self, actor: Actor, channel: str) -> list[dict[str, Any]]:
        """The channel's posts without system posts, oldest first."""
        r = await actor.ok("GET", f"/channels/{channel}/posts", params={"per_page": 100})
        return sorted((p for p in r["posts"].values() if not p["type"]), key=lambda p: p["create_at"])

    async def finish(self) -> None:
        for s in self.sockets:
            await s.close()


Scenario = Callable[[Run], Awaitable[None]]
SCENARIOS: dict[str, Scenario] = {}
SLOW: set[str] = set()


def scenario(fn: Scenario) -> Scenario:
    """Adds a scenario to the list. Its docstring says what it pins."""
    SCENARIOS[fn.__name__] = fn
    return fn


def slow(fn: Scenario) -> Scenario:
    """Takes long (a server side timeout): only with --slow, or when named by --only."""
    SLOW.add(fn.__name__)
    return fn
