"""Provisions a server, runs the scenarios against it and compares what they saw with the goldens."""

import argparse
import asyncio
import contextlib
import fnmatch
import json
import re
import time
import traceback
from pathlib import Path
from typing import Any

import httpx

from tests.contract.mmcontract.client import Actor, Hook, SetupError
from tests.contract.mmcontract.goldens import Step, compare, read_golden, write_golden, write_wire
from tests.contract.mmcontract.scenario import SCENARIOS, SLOW, Run
from tests.contract.mmcontract.values import PASSWORD, suffix


class Kit:
    """One server under test: the actors made on it, the callback listener, and the run of the scenarios."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.base = args.base_url.rstrip("/")
        self.ws_url = re.sub("^http", "ws", self.base) + "/api/v4/websocket"
        self.http = httpx.AsyncClient(timeout=60, trust_env=False, follow_redirects=False)
        self.hook = Hook(args.hook_host)
        self.aliases: dict[str, str] = {}
        self.sfx = suffix()
        self.anon = Actor(self, "nobody")
        self.users: list[Actor] = []
        self.bots: list[Actor] = []
        self.teams: list[str] = []
        self.version = ""
        self.wire: list[dict[str, Any]] | None = None
        self.hook.on_call = self.on_hook

    def on_hook(self, call: dict[str, Any]) -> None:
        if self.wire is not None:
            self.wire.append({"the integration receives": call})

    def on_wire(self, who: Actor, method: str, path: str, params: Any, body: Any, r: httpx.Response) -> None:
        if self.wire is None:
            return
        try:
            answer = r.json()
        except ValueError:
            answer = r.text[:500]
        e = {"who": who.label, "call": f"{method} {path}", "status": r.status_code, "answer": answer}
        if params:
            e["query"] = params
        if body is not None:
            e["body"] = body
        self.wire.append(e)

    def on_ws(self, who: Actor, msg: dict[str, Any]) -> None:
        if self.wire is not None:
            self.wire.append({"websocket of": who.label, "message": msg})

    async def make_user(self, label: str, team: bool = True) -> Actor:
        name = f"ct-{label}-{suffix(8)}"
        u = await self.admin.ok(
            "POST", "/users", {"email": name + "@example.com", "username": name, "password": PASSWORD}
        )
        a = Actor(self, label, u["id"], name)
        self.users.append(a)
        r = await self.anon.post("/users/login", {"login_id": name, "password": PASSWORD})
        a.token = r.headers["Token"]
        if team:
            await self.admin.ok("POST", f"/teams/{self.team}/members", {"team_id": self.team, "user_id": a.id})
        return a

    async def make_bot(self, label: str, team: bool = True) -> Actor:
        name = f"ct-{label}-{suffix(8)}"
        b = await self.admin.ok("POST", "/bots", {"username": name, "display_name": f"Bot {label}"})
        a = Actor(self, label, b["user_id"], name)
        self.bots.append(a)
        tok = await self.admin.ok("POST", f"/users/{a.id}/tokens", {"description": "contract kit"})
        a.token = tok["token"]
        if team:
            await self.admin.ok("POST", f"/teams/{self.team}/members", {"team_id": self.team, "user_id": a.id})
        return a

    async def make_team(self) -> dict[str, Any]:
        name = f"ct-{suffix(10)}"
        team = await self.admin.ok("POST", "/teams", {"name": name, "display_name": name.upper(), "type": "O"})
        self.teams.append(team["id"])
        return dict(team)

    async def login_admin(self) -> Actor:
        user, pw = self.args.admin_user, self.args.admin_password
        r = await self.anon.post("/users/login", {"login_id": user, "password": pw})
        if r.status_code >= 400:  # a fresh server: its first user becomes the system admin
            await self.anon.ok("POST", "/users", {"email": user + "@example.com", "username": user, "password": pw})
            r = await self.anon.post("/users/login", {"login_id": user, "password": pw})
        if r.status_code >= 400:
            raise SetupError(f"cannot log in as {user}: {r.status_code} {r.text[:200]}")
        return Actor(self, "admin", r.json()["id"], user, r.headers["Token"])

    async def provision(self) -> None:
        await self.hook.start()
        self.admin = await self.login_admin()
        team = await self.make_team()
        self.team, self.team_name = team["id"], team["name"]
        self.user = await self.make_user("user")
        self.other = await self.make_user("other")
        self.bot = await self.make_bot("bot")
        self.bot2 = await self.make_bot("bot2")
        # a bot that may manage slash commands: it administers the team
        self.cmdbot = await self.make_bot("cmdbot")
        await self.admin.ok(
            "PUT", f"/teams/{self.team}/members/{self.cmdbot.id}/roles", {"roles": "team_user team_admin"}
        )
        ch = await self.admin.ok(
            "POST",
            "/channels",
            {"team_id": self.team, "name": f"ct-fence-{suffix(6)}", "display_name": "fence", "type": "O"},
        )
        self.fence_channel = ch["id"]
        for a in (self.user, self.other, self.bot, self.bot2, self.cmdbot):
            await self.admin.ok("POST", f"/channels/{ch['id']}/members", {"user_id": a.id})
        town = await self.admin.ok("GET", f"/teams/{self.team}/channels/name/town-square")
        self.town = town["id"]
        r = await self.anon.get("/config/client", params={"format": "old"})
        with contextlib.suppress(Exception):
            self.version = r.json().get("Version", "")
        al = self.aliases
        for a in (self.admin, self.user, self.other, self.bot, self.bot2, self.cmdbot):
            al[a.id] = f"<{a.label}>"
            al[a.name] = f"<{a.label}.name>"
            al[a.token] = "<token>"
        al.update(
            {
                self.team: "<team>",
                self.team_name: "<team.name>",
                self.team_name.upper(): "<team.display>",
                self.town: "<town>",
                self.base: "<base>",
                self.hook.url: "<hook>",
            }
        )

    async def clean_up(self) -> None:
        """Leaves little behind: bots disabled, users deactivated, teams archived."""
        for b in self.bots:
            with contextlib.suppress(Exception):
                await self.admin.post(f"/bots/{b.id}/disable")
        for u in self.users:
            with contextlib.suppress(Exception):
                await self.admin.delete(f"/users/{u.id}")
        for team in self.teams:
            with contextlib.suppress(Exception):
                await self.admin.delete(f"/teams/{team}")
        await self.hook.stop()
        await self.http.aclose()

    async def run_one(self, name: str) -> tuple[list[Step], str | None, list[dict[str, Any]]]:
        t = Run(self, name)
        self.wire = [] if self.args.wire else None
        error = None
        try:
            await asyncio.wait_for(SCENARIOS[name](t), 120)
        except Exception as e:  # noqa: BLE001 - a scenario that breaks is one line of the result
            error = f"{type(e).__name__}: {e}"
            if self.args.verbose:
                traceback.print_exc()
        wire = t.norm(self.wire or [])
        self.wire = None
        await t.finish()
        return t.steps, error, wire

    def judge(self, name: str, steps: list[Step], error: str | None) -> str | None:
        """What is wrong with this run of the scenario; None when nothing. With --record the steps become the golden."""
        if self.args.check:
            return compare(name, read_golden(Path(self.args.check), name), steps, error, self.version)
        if error is None and self.args.record:
            write_golden(Path(self.args.record), name, SCENARIOS[name].__doc__ or "", self.version, steps)
        return error

    async def run(self) -> int:
        a = self.args
        if a.only:
            names = [
                n
                for n in SCENARIOS
                if n in a.only or (any(fnmatch.fnmatch(n, o) for o in a.only) and (a.slow or n not in SLOW))
            ]
        else:
            names = [n for n in SCENARIOS if a.slow or n not in SLOW]
        for n in [n for n in names if any(fnmatch.fnmatch(n, o) for o in a.skip)]:
            print(f"skip {n}")
            names.remove(n)
        if not names:
            print("no such scenario")
            return 1
        passed = failed = 0
        try:
            await self.provision()
            for name in names:
                began = time.monotonic()
                steps, error, wire = await self.run_one(name)
                wrong = self.judge(name, steps, error)
                took = time.monotonic() - began
                if a.wire:
                    write_wire(Path(a.wire), name, wire)
                if wrong:
                    failed += 1
                    print(f"FAIL {name}: {wrong}", flush=True)
                else:
                    passed += 1
                    print(f"ok {name}" + (f"  ({took:.1f} s)" if a.verbose else ""), flush=True)
                if a.verbose:
                    for s in steps:
                        print("    ", s["label"], json.dumps(s["value"], ensure_ascii=False))
        finally:
            await self.clean_up()
        print(f"{passed} passed, {failed} failed")
        return 1 if failed else 0
