"""The way in: refusals, pairing, edits, bots, commands, in the town."""

from typing import Any

import pytest
import trio

from oc_trio.agent.scripted import Pause, Say
from oc_trio.core.pairing import CODE_LENGTH
from oc_trio.sandbox.records import User
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from oc_trio.sandbox.world import Bot
from tests.runtime.harness import ACCOUNT, Town

DAY = 24 * 3600.0
DEBOUNCE: dict[str, Any] = {"inbound": {"debounceMs": 2000}}
CLOSED: dict[str, Any] = {"dmPolicy": "pairing", "allowFrom": [], "groupPolicy": "allowlist"}


def as_user(town: Town, bot: Bot) -> User:
    return town.world.users.get(bot.id)


async def pending(town: Town) -> list[str]:
    return [row.code for row in await town.store.pairing.pending(ACCOUNT, town.now_ms())]


async def reason(town: Town, post: Any) -> str:
    seen = await town.store.admission.decision(ACCOUNT, post.id)
    return f"{seen.decision} {seen.reason}" if seen else "unseen"


class TestPairing:
    async def test_from_the_first_message_to_the_answer(self, town: Town) -> None:
        """A stranger gets one reply with id, code and command; once approved, the next message is answered."""
        town.script = [Say("hello")]
        await town.start(CLOSED)
        direct = town.direct()
        first = town.say("hi", channel=direct)
        await town.settled()
        [code] = await pending(town)
        [reply] = town.answers(direct)
        assert len(code) == CODE_LENGTH
        assert f"Your Mattermost user id: {town.alice.id}" in reply
        assert f"oc-trio pairing approve mattermost {code}" in reply
        town.say("anybody there?", channel=direct)
        await town.settled()
        assert town.answers(direct) == [reply]
        approved = await town.store.pairing.approve(None, code, town.now_ms())
        assert approved is not None
        assert approved.user_id == town.alice.id
        town.say("and now?", channel=direct)
        await town.settled()
        assert town.answers(direct) == [reply, "hello"]
        assert await reason(town, first) == "deny dm_policy_pairing_required"

    async def test_it_grants_direct_messages_only(self, town: Town) -> None:
        """Approval does not open channels."""
        await town.start(CLOSED)
        town.say("hi", channel=town.direct())
        await town.settled()
        [code] = await pending(town)
        await town.store.pairing.approve(ACCOUNT, code, town.now_ms())
        post = town.say("@helper hi")
        await town.settled()
        assert town.answers() == []
        assert await reason(town, post) == "deny group_policy_empty_allowlist"

    async def test_three_may_wait(self, town: Town) -> None:
        """The fourth stranger gets no code and no reply until a place is free."""
        await town.start(CLOSED)
        people = [town.world.create_user(f"stranger{number}", "Passw0rd!x") for number in range(4)]
        rooms = [town.world.direct(person, town.bot) for person in people]
        for person, room in zip(people, rooms, strict=True):
            town.say("hi", by=person, channel=room)
            await town.settled()
        assert [len(town.answers(room)) for room in rooms] == [1, 1, 1, 0]
        codes = await pending(town)
        await town.store.pairing.reject(ACCOUNT, codes[0])
        town.say("hi again", by=people[3], channel=rooms[3])
        await town.settled()
        assert len(town.answers(rooms[3])) == 1

    @pytest.mark.slow
    async def test_an_expired_request_is_made_anew(self, town: Town) -> None:
        """After an hour the code is void, and the next message brings another."""
        await town.start(CLOSED)
        direct = town.direct()
        town.say("hi", channel=direct)
        await town.settled()
        [old] = await pending(town)
        await trio.sleep(3601)
        assert await town.store.pairing.approve(ACCOUNT, old, town.now_ms()) is None
        town.say("hi", channel=direct)
        await town.settled()
        [new] = await pending(town)
        assert new != old
        assert len(town.answers(direct)) == 2

    async def test_a_crash_before_the_reply_loses_nothing(self, town: Town) -> None:
        """The reply that could not be sent before the crash is sent, once, by the next start."""
        await town.start(CLOSED)
        direct = town.direct()

        refused: list[SandboxRequest] = []

        async def no_posts(request: SandboxRequest) -> SandboxResponse | None:
            if request.method != "POST" or not request.path.endswith("/posts"):
                return None
            refused.append(request)
            return SandboxResponse(503)

        town.weather.before_rules.append(no_posts)
        town.say("hi", channel=direct)
        await town.until(lambda: refused)
        await town.crash()
        town.weather.before_rules.remove(no_posts)
        assert town.answers(direct) == []
        await town.start(CLOSED)
        await trio.sleep(10)
        [reply] = town.answers(direct)
        [code] = await pending(town)
        assert code in reply
        town.say("hello?", channel=direct)
        await town.settled()
        assert town.answers(direct) == [reply]

    async def test_a_server_that_refuses_posts_holds_nobody_up(self, town: Town) -> None:
        """While a pairing reply can't be sent, other people's messages are taken in."""
        await town.start({"allowFrom": [town.bob.id], "dmPolicy": "pairing"})
        stranger = town.world.create_user("stranger", "Passw0rd!x")
        room = town.world.direct(stranger, town.bot)

        async def no_replies(request: SandboxRequest) -> SandboxResponse | None:
            is_reply = request.method == "POST" and request.path.endswith("/posts") and room.id in str(request.body)
            return SandboxResponse(503) if is_reply else None

        town.weather.before_rules.append(no_replies)
        town.script = [Say("hi bob")]
        town.say("hi", by=stranger, channel=room)
        direct = town.world.direct(town.bob, town.bot)
        town.say("hi", by=town.bob, channel=direct)
        await town.until(lambda: town.answers(direct) == ["hi bob"], within=30)


class TestDenials:
    async def test_channels_are_silent(self, town: Town) -> None:
        """Somebody who isn't listed gets no word in a channel."""
        await town.start({"groupPolicy": "allowlist", "groupAllowFrom": [town.bob.id]})
        post = town.say("@helper hi")
        await town.settled()
        assert town.answers() == []
        assert await reason(town, post) == "context group_policy_not_allowlisted"

    @pytest.mark.slow
    async def test_direct_messages_are_told_once_a_day(self, town: Town) -> None:
        """A refused person reads why, and again a day later at the earliest."""
        await town.start({"dmPolicy": "allowlist", "allowFrom": [town.bob.id]})
        direct = town.direct()
        for _ in range(2):
            town.say("hi", channel=direct)
            await town.settled()
        post = town.say("hi", channel=direct)
        await town.settled()
        [told] = town.answers(direct)
        assert "not on this bot's allowlist" in told
        assert await reason(town, post) == "deny dm_policy_not_allowlisted"
        await trio.sleep(DAY + 1)
        town.say("hi", channel=direct)
        await town.settled()
        assert town.answers(direct) == [told, told]

    async def test_it_is_told_once_across_restarts(self, town: Town) -> None:
        """The day is counted in the journal."""
        for _ in range(2):
            await town.start({"dmPolicy": "disabled"})
            town.say("hi", channel=town.direct())
            await town.settled()
            await town.stop()
        assert town.answers(town.direct()) == ["This bot is not accepting direct messages."]

    async def test_they_are_counted(self, town: Town) -> None:
        """Each refusal is in the metrics with its reason."""
        gateway = await town.start({"groupPolicy": "disabled"})
        town.say("@helper hi")
        await town.settled()
        line = 'oc_trio_admission_total{account="default",decision="ignore",reason="group_policy_disabled"} 1.0'
        assert line in gateway.metrics.render().decode()


class TestEdits:
    async def test_an_added_mention_wakes_once(self, town: Town) -> None:
        """A mention that an edit adds is answered; a further edit is not."""
        await town.start()
        town.script = [Say("here")]
        post = town.say("hello all")
        await town.settled()
        assert town.answers() == []
        await trio.sleep(60)
        town.edit(post, "hello all, @helper too")
        await town.settled()
        assert town.answers() == ["here"]
        town.edit(post, "hello all, @helper as well")
        await town.settled()
        assert town.answers() == ["here"]

    async def test_a_late_one_does_not(self, town: Town) -> None:
        """After five minutes an edit wakes nobody."""
        await town.start()
        post = town.say("hello all")
        await town.settled()
        await trio.sleep(301)
        town.edit(post, "hello all, @helper too")
        await town.settled()
        assert town.answers() == []

    async def test_a_command_is_carried_out(self, town: Town) -> None:
        """A command that an edit addresses to us is a command, not a question."""
        await town.start()
        post = town.say("/statu")
        await town.settled()
        town.edit(post, "@helper /status")
        await town.settled()
        [answer] = town.answers()
        assert "as @helper" in answer
        assert town.stage.requests == []

    async def test_a_refused_sender_stays_refused(self, town: Town) -> None:
        """An edit does not get a stranger in."""
        await town.start({"groupPolicy": "allowlist", "groupAllowFrom": [town.bob.id]})
        post = town.say("hello")
        await town.settled()
        town.edit(post, "@helper hello")
        await town.settled()
        assert town.answers() == []

    async def test_an_edit_leaves_no_trace_of_a_message_that_never_came(self, town: Town) -> None:
        """The edit of a message that we have not seen must not hide it from catch-up."""
        post = town.say("hi", channel=town.direct())
        await town.start({"catchup": {"enabled": False}})
        town.edit(post, "hi there")
        await town.settled()
        assert await reason(town, post) == "unseen"


class TestBots:
    async def test_they_are_ignored_by_default(self, town: Town) -> None:
        """Another bot's mention is nothing to us."""
        await town.start()
        robot = town.world.create_bot("robot", team=town.world.teams.get(town.square.team_id))
        town.world.membership.add(town.square, as_user(town, robot), town.alice)
        post = town.say("@helper hi", by=as_user(town, robot))
        await town.settled()
        assert town.answers() == []
        assert await reason(town, post) == "deny bot_author"

    @pytest.mark.slow
    async def test_a_pair_has_a_budget_and_then_a_pause(self, town: Town) -> None:
        """Five answers within five minutes, then none for a quarter of an hour, restarts or not."""
        town.script = [Say("pong")]
        settings = {"allowBots": "mentions", "groupPolicy": "open", "groupAllowFrom": ["*"]}
        await town.start(settings)
        robot = town.world.create_bot("robot", team=town.world.teams.get(town.square.team_id))
        town.world.membership.add(town.square, as_user(town, robot), town.alice)

        async def ping() -> str:
            post = town.say("@helper ping", by=as_user(town, robot))
            await town.settled()
            return await reason(town, post)

        assert [await ping() for _ in range(6)] == ["admit mention"] * 5 + ["deny bot_loop"]
        await town.stop()
        await town.start(settings)
        assert await ping() == "deny bot_loop"
        await trio.sleep(901)
        assert await ping() == "admit mention"

    async def test_a_listed_one_is_heard(self, town: Town) -> None:
        """With `allowBots = "list"`, the bots in botAllowFrom are answered and no other."""
        team = town.world.teams.get(town.square.team_id)
        robots = [town.world.create_bot(name, team=team) for name in ("robot", "other")]
        for robot in robots:
            town.world.membership.add(town.square, as_user(town, robot), town.alice)
        await town.start({"allowBots": "list", "botAllowFrom": [robots[0].id], "groupPolicy": "open"})
        posts = [town.say("@helper hi", by=as_user(town, robot)) for robot in robots]
        await town.settled()
        assert [await reason(town, post) for post in posts] == ["admit mention", "deny bot_not_listed"]


class TestCommands:
    async def test_only_listed_people_may_use_them(self, town: Town) -> None:
        """commands.allowFrom and owners may; anybody else is told in a direct message and ignored in a channel."""
        commands = {"allowFrom": {"mattermost": [f"user:{town.bob.id}"]}, "ownerAllowFrom": []}
        await town.start(commands=commands)
        direct, bobs = town.direct(), town.world.direct(town.bob, town.bot)
        post = town.say("/status", channel=direct)
        town.say("/status", channel=bobs, by=town.bob)
        town.say("@helper /status")
        await town.settled()
        assert town.answers(direct) == ["You may not use this bot's commands."]
        assert "as @helper" in town.answers(bobs)[0]
        assert town.answers() == []
        assert await reason(town, post) == "deny command_not_allowed"

    async def test_owners_always_may(self, town: Town) -> None:
        """An owner needs no place in the list."""
        await town.start(commands={"allowFrom": {"*": []}, "ownerAllowFrom": [f"mattermost:{town.alice.id}"]})
        town.say("/status", channel=town.direct())
        await town.settled()
        assert "as @helper" in town.answers(town.direct())[0]

    @pytest.mark.slow
    async def test_text_commands_can_be_off(self, town: Town) -> None:
        """With `commands.text = false` a command is a text like any other."""
        town.script = [Say("what?")]
        await town.start(commands={"text": False})
        town.say("/status", channel=town.direct())
        await town.settled()
        assert town.answers(town.direct()) == ["what?"]

    async def test_behind_a_prefix(self, town: Town) -> None:
        """A command behind a trigger prefix is one, and so is one whose mark is a prefix."""
        await town.start({"chatmode": "onchar", "oncharPrefixes": [">", "!"]})
        town.say("> /status")
        town.say("!status")
        await town.settled()
        assert [("as @helper" in answer) for answer in town.answers()] == [True, True]


class TestDebounce:
    async def test_what_one_person_writes_in_a_row_is_one_question(self, town: Town) -> None:
        """Posts within the window are answered together, once."""
        town.script = [Say("ok")]
        await town.start(messages=DEBOUNCE)
        direct = town.direct()
        posts = []
        for word in ("one", "two", "three"):
            posts.append(town.say(word, channel=direct))
            await trio.sleep(1)
        await town.settled()
        assert town.answers(direct) == ["ok"]
        [request] = town.stage.requests
        assert all(f": {word}" in request.messages[-1].text for word in ("one", "two", "three"))
        assert [await town.state(post) for post in posts] == ["delivered"] * 3

    async def test_a_pause_ends_it(self, town: Town) -> None:
        """What comes after the window is a question of its own."""
        town.script = [Say("ok")]
        await town.start(messages=DEBOUNCE)
        direct = town.direct()
        for word in ("one", "two"):
            town.say(word, channel=direct)
            await trio.sleep(4)
        await town.settled()
        assert town.answers(direct) == ["ok", "ok"]

    async def test_it_waits_five_windows_at_most(self, town: Town) -> None:
        """Somebody who never stops is answered nevertheless."""
        town.script = [Say("ok", delay=0)]
        await town.start(messages={**DEBOUNCE, "queue": {"mode": "followup"}})
        direct = town.direct()
        number = 0
        for number in range(10):
            town.say(f"word {number}", channel=direct)
            await trio.sleep(1.5)
            if town.answers(direct):
                break
        assert 6 <= number <= 8

    async def test_two_people_are_not_one(self, town: Town) -> None:
        """Different senders in one conversation get their own answers."""
        town.script = [Say("ok")]
        await town.start({"replyToMode": "off"}, messages={**DEBOUNCE, "queue": {"mode": "followup"}})
        town.say("@helper one")
        town.say("@helper two", by=town.bob)
        await town.settled()
        assert town.answers() == ["ok", "ok"]

    async def test_a_deleted_one_is_left_out(self, town: Town) -> None:
        """A message that is taken back in time is not read."""
        town.script = [Say("ok")]
        await town.start(messages=DEBOUNCE)
        direct = town.direct()
        town.say("one", channel=direct)
        gone = town.say("two", channel=direct)
        await trio.sleep(0.5)
        town.delete(gone)
        await town.settled()
        assert ": two" not in town.stage.requests[0].messages[-1].text
        assert await town.state(gone) == "cancelled: the message was deleted"


class TestSessions:
    async def test_a_quiet_conversation_begins_afresh(self, town: Town) -> None:
        """After session.resetAfterMinutes the model sees nothing of before."""
        town.script = [Say("ok")]
        await town.start(session={"resetAfterMinutes": 10})
        direct = town.direct()
        for pause in (0, 300, 601):
            await trio.sleep(pause)
            town.say("remember me", channel=direct)
            await town.settled()
        assert [len(request.messages) for request in town.stage.requests] == [1, 3, 1]

    @pytest.mark.slow
    async def test_a_long_turn_is_not_quiet(self, town: Town) -> None:
        """What arrives while an answer takes its time belongs to the same conversation."""
        town.script = [Pause(700), Say("ok")]
        await town.start(session={"resetAfterMinutes": 10}, messages={"queue": {"mode": "followup"}})
        direct = town.direct()
        town.say("first", channel=direct)
        await trio.sleep(650)
        town.say("second", channel=direct)
        await town.settled(within=3000)
        assert [len(request.messages) for request in town.stage.requests] == [1, 3]
