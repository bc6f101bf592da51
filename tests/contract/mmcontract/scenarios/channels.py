"""Teams, channels and their members."""

from tests.contract.mmcontract.scenario import Run, scenario
from tests.contract.mmcontract.values import UNKNOWN_ID, pick, suffix


@scenario
async def teams_of_bot(t: Run) -> None:
    """GET /users/me/teams lists only the teams the bot is a member of."""
    await t.kit.make_team()  # the bot is not in this one
    t.rest("me", await t.bot.get("/users/me/teams"), "id name display_name type delete_at")
    t.rest("by own id", await t.bot.get(f"/users/{t.bot.id}/teams"), "id")
    t.rest("another's", await t.bot.get(f"/users/{t.user.id}/teams"))
    lonely = await t.new_bot("lonely", team=False)
    t.rest("a bot in no team", await lonely.get("/users/me/teams"), "")


@scenario
async def team_lookup(t: Run) -> None:
    """GET /teams/{id} and /teams/name/{name}; unknown ones; an open team the bot is not in."""
    t.rest("by id", await t.bot.get(f"/teams/{t.team}"), "id name display_name type")
    t.rest("by name", await t.bot.get(f"/teams/name/{t.kit.team_name}"), "id name")
    t.rest("unknown id", await t.bot.get(f"/teams/{UNKNOWN_ID}"))
    t.rest("unknown name", await t.bot.get(f"/teams/name/none-{suffix(8)}"))
    foreign = await t.kit.make_team()
    t.norm.alias(foreign["id"], "<foreign>")
    t.rest("open team, not a member", await t.bot.get(f"/teams/{foreign['id']}"), "id type")
    t.rest("members of it", await t.bot.get(f"/teams/{foreign['id']}/members"))
    t.rest("own membership", await t.bot.get(f"/teams/{t.team}/members/{t.bot.id}"), "team_id user_id roles delete_at")


CHANNEL = "id team_id name display_name type delete_at"


@scenario
async def channel_types(t: Run) -> None:
    """GET /channels/{id}: types O, P, D, G; D and G have an empty team_id; D is named `id__id`, G 40 hex digits."""
    o = await t.channel("O", alias="<open>")
    p = await t.channel("P", alias="<private>")
    d = await t.dm(t.bot, t.user)
    g = await t.group(t.bot, t.user, t.other)
    for label, c in (("open", o), ("private", p), ("direct", d), ("group", g)):
        t.rest(label, await t.bot.get(f"/channels/{c}"), CHANNEL)
    r = await t.bot.get(f"/channels/{d}")
    t.see("direct name is the sorted ids", r.json()["name"] == "__".join(sorted([t.bot.id, t.user.id])))


@scenario
async def channel_by_name(t: Run) -> None:
    """A channel by team and name, by team name and name; unknown ones give 404."""
    c = await t.channel()
    name = (await t.bot.get(f"/channels/{c}")).json()["name"]
    t.rest("team id + name", await t.bot.get(f"/teams/{t.team}/channels/name/{name}"), CHANNEL)
    t.rest("team name + name", await t.bot.get(f"/teams/name/{t.kit.team_name}/channels/name/{name}"), "id")
    t.rest("upper case", await t.bot.get(f"/teams/{t.team}/channels/name/{name.upper()}"), "id")
    t.rest("unknown name", await t.bot.get(f"/teams/{t.team}/channels/name/none-{suffix(8)}"))
    t.rest("unknown team", await t.bot.get(f"/teams/{UNKNOWN_ID}/channels/name/{name}"))
    t.rest("town-square", await t.bot.get(f"/teams/{t.team}/channels/name/town-square"), "id name type")


@scenario
async def channel_not_a_member(t: Run) -> None:
    """Channels the bot is not in: an open one of its team can be read, a private one not (403)."""
    o = await t.channel("O", members=(t.user,), alias="<open>")
    p = await t.channel("P", members=(t.user,), alias="<private>")
    await t.user.say(o, "in the open")
    name = (await t.admin.get(f"/channels/{p}")).json()["name"]
    t.rest("open: get", await t.bot.get(f"/channels/{o}"), "id type")
    r = await t.bot.get(f"/channels/{o}/posts")
    t.see("open: posts", {"status": r.status_code, "some": bool(r.json().get("order"))})
    t.rest("open: members", await t.bot.get(f"/channels/{o}/members"))
    t.rest("private: get", await t.bot.get(f"/channels/{p}"))
    t.rest("private: by name", await t.bot.get(f"/teams/{t.team}/channels/name/{name}"))
    t.rest("private: posts", await t.bot.get(f"/channels/{p}/posts"))
    t.rest("private: members", await t.bot.get(f"/channels/{p}/members"))
    t.rest("unknown channel", await t.bot.get(f"/channels/{UNKNOWN_ID}"))


@scenario
async def channel_members(t: Run) -> None:
    """Members of a channel; one member; a non member gives 404."""
    c = await t.channel()
    r = await t.bot.get(f"/channels/{c}/members")
    t.see(
        "list",
        {
            "status": r.status_code,
            "users": sorted(t.norm([m["user_id"] for m in r.json()])),
            "keys": pick(r.json()[0], "channel_id roles! notify_props!"),
        },
    )
    t.rest(
        "own", await t.bot.get(f"/channels/{c}/members/{t.bot.id}"), "channel_id user_id roles scheme_user scheme_admin"
    )
    t.rest("me", await t.bot.get(f"/channels/{c}/members/me"), "channel_id user_id")
    t.rest("not a member", await t.bot.get(f"/channels/{c}/members/{t.other.id}"))
    r = await t.bot.post(f"/channels/{c}/members/ids", [t.user.id, t.other.id])
    t.rest("by ids", r, "user_id")
    t.rest("stats", await t.bot.get(f"/channels/{c}/stats"), "channel_id member_count")
    d = await t.dm(t.bot, t.user)
    r = await t.bot.get(f"/channels/{d}/members")
    t.see("direct", sorted(t.norm([m["user_id"] for m in r.json()])))


@scenario
async def channels_of_bot(t: Run) -> None:
    """The bot's channels: of one team (with its D and G channels among them), and of all."""
    b = await t.new_bot("lister")
    c = await t.channel(members=(b,))
    d = await t.dm(b, t.user)
    r = await b.get(f"/users/me/teams/{t.team}/channels")
    mine = {x["id"]: x["type"] for x in r.json()}
    t.see(
        "of the team",
        {
            "status": r.status_code,
            "has channel": mine.get(c),
            "has direct": mine.get(d),
            "names": sorted(t.norm([x["name"] for x in r.json() if x["type"] == "O"])),
        },
    )
    r = await b.get("/users/me/channels")
    mine = {x["id"]: x["type"] for x in r.json()}
    t.see("of all teams", {"status": r.status_code, "has channel": mine.get(c), "has direct": mine.get(d)})
    t.rest("of a team it is not in", await b.get(f"/users/me/teams/{UNKNOWN_ID}/channels"), "")


@scenario
async def channel_join_and_leave(t: Run) -> None:
    """A bot joins an open channel by itself, adds others, leaves; not so a private one (403)."""
    o = await t.channel("O", members=(), alias="<open>")
    p = await t.channel("P", members=(), alias="<private>")
    t.rest("join open", await t.bot.post(f"/channels/{o}/members", {"user_id": t.bot.id}), "channel_id user_id roles")
    t.rest("join again", await t.bot.post(f"/channels/{o}/members", {"user_id": t.bot.id}), "channel_id user_id")
    t.rest("add another", await t.bot.post(f"/channels/{o}/members", {"user_id": t.user.id}), "channel_id user_id")
    t.rest("leave", await t.bot.delete(f"/channels/{o}/members/{t.bot.id}"), "status")
    t.rest("leave again", await t.bot.delete(f"/channels/{o}/members/{t.bot.id}"))
    t.rest("join private", await t.bot.post(f"/channels/{p}/members", {"user_id": t.bot.id}))
    stranger = await t.new_user("stranger", team=False)
    t.rest("add somebody outside the team", await t.admin.post(f"/channels/{o}/members", {"user_id": stranger.id}))


@scenario
async def channel_archived(t: Run) -> None:
    """An archived channel has delete_at; it can be read by id (not found by name: 404), not written."""
    c = await t.channel()
    p = await t.bot.say(c, "before")
    t.rest("archive", await t.admin.delete(f"/channels/{c}"), "status")
    t.rest("get", await t.bot.get(f"/channels/{c}"), CHANNEL)
    t.rest("post", await t.bot.post("/posts", {"channel_id": c, "message": "after"}))
    t.rest("reply", await t.bot.post("/posts", {"channel_id": c, "message": "after", "root_id": p["id"]}))
    t.rest("edit", await t.bot.put(f"/posts/{p['id']}/patch", {"message": "changed"}))
    t.rest("react", await t.bot.post("/reactions", {"user_id": t.bot.id, "post_id": p["id"], "emoji_name": "eyes"}))
    t.rest("get post", await t.bot.get(f"/posts/{p['id']}"), "id message delete_at")
    r = await t.bot.get(f"/channels/{c}/posts")
    t.see("list posts", r.status_code)
    t.rest(
        "by name",
        await t.bot.get(f"/teams/{t.team}/channels/name/{(await t.admin.get(f'/channels/{c}')).json()['name']}"),
    )


@scenario
async def direct_create(t: Run) -> None:
    """POST /channels/direct: 201 both times, the same channel, the order of the ids does not matter."""
    u = await t.new_user("peer")
    r = await t.bot.post("/channels/direct", [t.bot.id, u.id])
    t.norm.alias(r.json()["id"], "<dm>")
    t.rest("first", r, CHANNEL + " creator_id")
    t.rest("again", await t.bot.post("/channels/direct", [t.bot.id, u.id]), "id")
    t.rest("other order", await t.bot.post("/channels/direct", [u.id, t.bot.id]), "id")
    t.rest("by the other", await u.post("/channels/direct", [t.bot.id, u.id]), "id")


@scenario
async def direct_create_errors(t: Run) -> None:
    """A direct channel with an unknown user, with itself, between two others, with a wrong number of ids."""
    t.rest("unknown user", await t.bot.post("/channels/direct", [t.bot.id, UNKNOWN_ID]))
    t.rest("malformed id", await t.bot.post("/channels/direct", [t.bot.id, "nope"]))
    r = await t.bot.post("/channels/direct", [t.bot.id, t.bot.id])
    t.rest("with itself", r, "type team_id name")
    t.rest("between others", await t.bot.post("/channels/direct", [t.user.id, t.other.id]))
    t.rest("one id", await t.bot.post("/channels/direct", [t.user.id]))
    t.rest("three ids", await t.bot.post("/channels/direct", [t.bot.id, t.user.id, t.other.id]))


@scenario
async def direct_across_teams(t: Run) -> None:
    """A bot can make a direct channel with a user it shares no team with, and post there."""
    u = await t.new_user("elsewhere", team=False)
    r = await t.bot.post("/channels/direct", [t.bot.id, u.id])
    t.norm.alias(r.json().get("id", ""), "<dm>")
    t.rest("create", r, "id type team_id")
    t.rest(
        "post", await t.bot.post("/posts", {"channel_id": r.json().get("id"), "message": "hello"}), "channel_id message"
    )


@scenario
async def group_create(t: Run) -> None:
    """POST /channels/group: 3 to 8 members, idempotent; fewer are refused."""
    r = await t.bot.post("/channels/group", [t.bot.id, t.user.id, t.other.id])
    t.norm.alias(r.json()["id"], "<group>")
    t.rest("three", r, "id team_id name type delete_at")
    t.rest("again", await t.bot.post("/channels/group", [t.other.id, t.user.id, t.bot.id]), "id")
    t.rest("self is added", await t.bot.post("/channels/group", [t.user.id, t.other.id]), "id")
    t.rest("two", await t.bot.post("/channels/group", [t.bot.id, t.user.id]))
    t.rest("unknown user", await t.bot.post("/channels/group", [t.bot.id, t.user.id, UNKNOWN_ID]))
    t.rest("not a member", await t.bot2.get(f"/channels/{r.json()['id']}"))


@scenario
async def kicked_from_channel(t: Run) -> None:
    """A bot removed from an open channel: posting, reacting and typing there are 403; reading still works."""
    c = await t.channel()
    p = await t.user.say(c, "here")
    w = await t.ws(t.bot)
    await t.admin.ok("DELETE", f"/channels/{c}/members/{t.bot.id}")
    await w.expect("user_removed", lambda m: m["data"].get("channel_id") == c)
    t.rest("post", await t.bot.post("/posts", {"channel_id": c, "message": "x"}))
    t.rest("reply", await t.bot.post("/posts", {"channel_id": c, "message": "x", "root_id": p["id"]}))
    t.rest("react", await t.bot.post("/reactions", {"user_id": t.bot.id, "post_id": p["id"], "emoji_name": "eyes"}))
    t.rest("typing", await t.bot.post("/users/me/typing", {"channel_id": c}))
    t.rest("read the post", await t.bot.get(f"/posts/{p['id']}"), "message")


@scenario
async def removed_from_team(t: Run) -> None:
    """A bot removed from the team: its channels there are 403, direct channels go on."""
    b = await t.new_bot("expelled")
    c = await t.channel(members=(b, t.user))
    d = await t.dm(b, t.user)
    await t.admin.ok("DELETE", f"/teams/{t.team}/members/{b.id}")
    t.rest("teams", await b.get("/users/me/teams"), "id")
    t.rest("get the channel", await b.get(f"/channels/{c}"))
    t.rest("post", await b.post("/posts", {"channel_id": c, "message": "x"}))
    t.rest("post to the direct channel", await b.post("/posts", {"channel_id": d, "message": "still here"}), "message")


@scenario
async def direct_bot_to_bot(t: Run) -> None:
    """Two bots can share a direct channel and read each other there: bots must guard against answering bots."""
    d = await t.dm(t.bot, t.bot2)
    w = await t.ws(t.bot2)
    p = await t.bot.say(d, "hello bot")
    t.event("posted", await w.posted(p["id"]), "channel_type sender_name mentions#", "user_id message props.from_bot")
