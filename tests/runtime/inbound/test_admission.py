"""Admission in a running gateway: refusals, pairing, edits, bots, commands."""

from datetime import UTC, datetime
from typing import Any

import pytest
import trio

from oc_trio.agent.scripted import Pause, Say
from oc_trio.core.pairing import CODE_LENGTH
from oc_trio.sandbox.records import UserRecord
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from oc_trio.sandbox.world import SandboxBot
from tests.runtime.harness import ACCOUNT, Harness

DAY = 24 * 3600.0
DEBOUNCE: dict[str, Any] = {"inbound": {"debounceMs": 2000}}
CLOSED: dict[str, Any] = {"dmPolicy": "pairing", "allowFrom": [], "groupPolicy": "allowlist"}


def as_user(harness: Harness, bot: SandboxBot) -> UserRecord:
    return harness.world.users.get(bot.id)


async def pending(harness: Harness) -> list[str]:
    return [row.code for row in await harness.store.pairing.pending(ACCOUNT, harness.now_ms())]


async def reason(harness: Harness, post: Any) -> str:
    decision = await harness.store.admission.decision(ACCOUNT, post.id)
    return f"{decision.decision} {decision.reason}" if decision else "unseen"


class TestPairing:
    async def test_from_the_first_message_to_the_answer(self, harness: Harness) -> None:
        """A stranger gets one reply with id, code and command; once approved, the next message is answered."""
        harness.script = [Say("hello")]
        await harness.start(CLOSED)
        direct = harness.direct()
        first = harness.say("hi", channel=direct)
        await harness.settled()
        [code] = await pending(harness)
        [reply] = harness.answers(direct)
        assert len(code) == CODE_LENGTH
        assert f"Your Mattermost user id: {harness.alice.id}" in reply
        assert f"oc-trio pairing approve mattermost {code}" in reply
        harness.say("anybody there?", channel=direct)
        await harness.settled()
        assert harness.answers(direct) == [reply]
        approved = await harness.store.pairing.approve(None, code, harness.now_ms())
        assert approved is not None
        assert approved.user_id == harness.alice.id
        harness.say("and now?", channel=direct)
        await harness.settled()
        assert harness.answers(direct) == [reply, "hello"]
        assert await reason(harness, first) == "deny dm_policy_pairing_required"

    async def test_it_grants_direct_messages_only(self, harness: Harness) -> None:
        """Approval does not open channels."""
        await harness.start(CLOSED)
        harness.say("hi", channel=harness.direct())
        await harness.settled()
        [code] = await pending(harness)
        await harness.store.pairing.approve(ACCOUNT, code, harness.now_ms())
        post = harness.say("@helper hi")
        await harness.settled()
        assert harness.answers() == []
        assert await reason(harness, post) == "deny group_policy_empty_allowlist"

    async def test_three_may_wait(self, harness: Harness) -> None:
        """The fourth stranger gets no code and no reply until a place is free."""
        await harness.start(CLOSED)
        people = [harness.world.create_user(f"stranger{number}", "Passw0rd!x") for number in range(4)]
        rooms = [harness.world.direct(person, harness.bot) for person in people]
        for person, room in zip(people, rooms, strict=True):
            harness.say("hi", by=person, channel=room)
            await harness.settled()
        assert [len(harness.answers(room)) for room in rooms] == [1, 1, 1, 0]
        codes = await pending(harness)
        await harness.store.pairing.reject(ACCOUNT, codes[0])
        harness.say("hi again", by=people[3], channel=rooms[3])
        await harness.settled()
        assert len(harness.answers(rooms[3])) == 1

    @pytest.mark.slow
    async def test_an_expired_request_is_made_anew(self, harness: Harness) -> None:
        """After an hour the code is void, and the next message brings another."""
        await harness.start(CLOSED)
        direct = harness.direct()
        harness.say("hi", channel=direct)
        await harness.settled()
        [old] = await pending(harness)
        await trio.sleep(3601)
        assert await harness.store.pairing.approve(ACCOUNT, old, harness.now_ms()) is None
        harness.say("hi", channel=direct)
        await harness.settled()
        [new] = await pending(harness)
        assert new != old
        assert len(harness.answers(direct)) == 2

    async def test_a_crash_before_the_reply_loses_nothing(self, harness: Harness) -> None:
        """The reply that could not be sent before the crash is sent, once, by the next start."""
        await harness.start(CLOSED)
        direct = harness.direct()

        refused: list[SandboxRequest] = []

        async def no_posts(request: SandboxRequest) -> SandboxResponse | None:
            if request.method != "POST" or not request.path.endswith("/posts"):
                return None
            refused.append(request)
            return SandboxResponse(503)

        harness.faults.before_rules.append(no_posts)
        harness.say("hi", channel=direct)
        await harness.until(lambda: refused)
        await harness.crash()
        harness.faults.before_rules.remove(no_posts)
        assert harness.answers(direct) == []
        await harness.start(CLOSED)
        await trio.sleep(10)
        [reply] = harness.answers(direct)
        [code] = await pending(harness)
        assert code in reply
        harness.say("hello?", channel=direct)
        await harness.settled()
        assert harness.answers(direct) == [reply]

    async def test_a_server_that_refuses_posts_holds_nobody_up(self, harness: Harness) -> None:
        """While a pairing reply can't be sent, other people's messages are taken in."""
        await harness.start({"allowFrom": [harness.bob.id], "dmPolicy": "pairing"})
        stranger = harness.world.create_user("stranger", "Passw0rd!x")
        room = harness.world.direct(stranger, harness.bot)

        async def no_replies(request: SandboxRequest) -> SandboxResponse | None:
            is_reply = request.method == "POST" and request.path.endswith("/posts") and room.id in str(request.body)
            return SandboxResponse(503) if is_reply else None

        harness.faults.before_rules.append(no_replies)
        harness.script = [Say("hi bob")]
        harness.say("hi", by=stranger, channel=room)
        direct = harness.world.direct(harness.bob, harness.bot)
        harness.say("hi", by=harness.bob, channel=direct)
        await harness.until(lambda: harness.answers(direct) == ["hi bob"], within=30)


class TestDenials:
    async def test_channels_are_silent(self, harness: Harness) -> None:
        """Somebody who isn't listed gets no word in a channel."""
        await harness.start({"groupPolicy": "allowlist", "groupAllowFrom": [harness.bob.id]})
        post = harness.say("@helper hi")
        await harness.settled()
        assert harness.answers() == []
        assert await reason(harness, post) == "context group_policy_not_allowlisted"

    async def test_direct_messages_are_told_once_a_day(self, harness: Harness) -> None:
        """A refused person reads why, and again a day later at the earliest."""
        rules = {"dmPolicy": "allowlist", "allowFrom": [harness.bob.id]}
        await harness.start(rules)
        direct = harness.direct()
        for _ in range(2):
            harness.say("hi", channel=direct)
            await harness.settled()
        post = harness.say("hi", channel=direct)
        await harness.settled()
        [notice] = harness.answers(direct)
        assert "not on this bot's allowlist" in notice
        assert await reason(harness, post) == "deny dm_policy_not_allowlisted"
        await harness.stop()  # the day is counted in the journal, and without a gateway it passes at once
        await trio.sleep(DAY - 60)
        await harness.start(rules)
        harness.say("hi", channel=direct)
        await harness.settled()
        assert harness.answers(direct) == [notice]
        await trio.sleep(60)
        harness.say("hi", channel=direct)
        await harness.settled()
        assert harness.answers(direct) == [notice, notice]

    async def test_it_is_told_once_across_restarts(self, harness: Harness) -> None:
        """The day is counted in the journal."""
        for _ in range(2):
            await harness.start({"dmPolicy": "disabled"})
            harness.say("hi", channel=harness.direct())
            await harness.settled()
            await harness.stop()
        assert harness.answers(harness.direct()) == ["This bot is not accepting direct messages."]

    async def test_they_are_counted(self, harness: Harness) -> None:
        """Each refusal is in the metrics with its reason."""
        gateway = await harness.start({"groupPolicy": "disabled"})
        harness.say("@helper hi")
        await harness.settled()
        line = 'oc_trio_admission_total{account="default",decision="ignore",reason="group_policy_disabled"} 1.0'
        assert line in gateway.metrics.render().decode()


class TestEdits:
    async def test_an_added_mention_wakes_once(self, harness: Harness) -> None:
        """A mention that an edit adds is answered; a further edit is not."""
        await harness.start()
        harness.script = [Say("here")]
        post = harness.say("hello all")
        await harness.settled()
        assert harness.answers() == []
        await trio.sleep(60)
        harness.edit(post, "hello all, @helper too")
        await harness.settled()
        assert harness.answers() == ["here"]
        harness.edit(post, "hello all, @helper as well")
        await harness.settled()
        assert harness.answers() == ["here"]

    async def test_a_late_one_does_not(self, harness: Harness) -> None:
        """After five minutes an edit wakes nobody."""
        await harness.start()
        post = harness.say("hello all")
        await harness.settled()
        await trio.sleep(301)
        harness.edit(post, "hello all, @helper too")
        await harness.settled()
        assert harness.answers() == []

    async def test_a_command_is_carried_out(self, harness: Harness) -> None:
        """A command that an edit addresses to us is a command, not a question."""
        await harness.start()
        post = harness.say("/statu")
        await harness.settled()
        harness.edit(post, "@helper /status")
        await harness.settled()
        [answer] = harness.answers()
        assert "as @helper" in answer
        assert harness.agent.requests == []

    async def test_a_refused_sender_stays_refused(self, harness: Harness) -> None:
        """An edit does not get a stranger in."""
        await harness.start({"groupPolicy": "allowlist", "groupAllowFrom": [harness.bob.id]})
        post = harness.say("hello")
        await harness.settled()
        harness.edit(post, "@helper hello")
        await harness.settled()
        assert harness.answers() == []

    async def test_an_edit_leaves_no_trace_of_a_message_that_never_came(self, harness: Harness) -> None:
        """The edit of a message that we have not seen must not hide it from catch-up."""
        post = harness.say("hi", channel=harness.direct())
        await harness.start({"catchup": {"enabled": False}})
        harness.edit(post, "hi there")
        await harness.settled()
        assert await reason(harness, post) == "unseen"


class TestBots:
    async def test_they_are_ignored_by_default(self, harness: Harness) -> None:
        """Another bot's mention is nothing to us."""
        await harness.start()
        robot = harness.world.create_bot("robot", team=harness.world.teams.get(harness.square.team_id))
        harness.world.membership.add(harness.square, as_user(harness, robot), harness.alice)
        post = harness.say("@helper hi", by=as_user(harness, robot))
        await harness.settled()
        assert harness.answers() == []
        assert await reason(harness, post) == "deny bot_author"

    @pytest.mark.slow
    async def test_a_pair_has_a_budget_and_then_a_pause(self, harness: Harness) -> None:
        """Five answers within five minutes, then none for a quarter of an hour, restarts or not."""
        harness.script = [Say("pong")]
        settings = {"allowBots": "mentions", "groupPolicy": "open", "groupAllowFrom": ["*"]}
        await harness.start(settings)
        robot = harness.world.create_bot("robot", team=harness.world.teams.get(harness.square.team_id))
        harness.world.membership.add(harness.square, as_user(harness, robot), harness.alice)

        async def ping() -> str:
            post = harness.say("@helper ping", by=as_user(harness, robot))
            await harness.settled()
            return await reason(harness, post)

        assert [await ping() for _ in range(6)] == ["admit mention"] * 5 + ["deny bot_loop"]
        await harness.stop()
        await harness.start(settings)
        assert await ping() == "deny bot_loop"
        await trio.sleep(901)
        assert await ping() == "admit mention"

    async def test_a_listed_one_is_heard(self, harness: Harness) -> None:
        """With `allowBots = "list"`, the bots in botAllowFrom are answered and no other."""
        team = harness.world.teams.get(harness.square.team_id)
        robots = [harness.world.create_bot(name, team=team) for name in ("robot", "other")]
        for robot in robots:
            harness.world.membership.add(harness.square, as_user(harness, robot), harness.alice)
        await harness.start({"allowBots": "list", "botAllowFrom": [robots[0].id], "groupPolicy": "open"})
        posts = [harness.say("@helper hi", by=as_user(harness, robot)) for robot in robots]
        await harness.settled()
        assert [await reason(harness, post) for post in posts] == ["admit mention", "deny bot_not_listed"]


class TestCommands:
    async def test_only_listed_people_may_use_them(self, harness: Harness) -> None:
        """commands.allowFrom and owners may; anybody else is told in a direct message and ignored in a channel."""
        commands = {"allowFrom": {"mattermost": [f"user:{harness.bob.id}"]}, "ownerAllowFrom": []}
        await harness.start(commands=commands)
        direct, bobs = harness.direct(), harness.world.direct(harness.bob, harness.bot)
        post = harness.say("/status", channel=direct)
        harness.say("/status", channel=bobs, by=harness.bob)
        harness.say("@helper /status")
        await harness.settled()
        assert harness.answers(direct) == ["You may not use this bot's commands."]
        assert "as @helper" in harness.answers(bobs)[0]
        assert harness.answers() == []
        assert await reason(harness, post) == "deny command_not_allowed"

    async def test_owners_always_may(self, harness: Harness) -> None:
        """An owner needs no place in the list."""
        await harness.start(commands={"allowFrom": {"*": []}, "ownerAllowFrom": [f"mattermost:{harness.alice.id}"]})
        harness.say("/status", channel=harness.direct())
        await harness.settled()
        assert "as @helper" in harness.answers(harness.direct())[0]

    @pytest.mark.slow
    async def test_text_commands_can_be_off(self, harness: Harness) -> None:
        """With `commands.text = false` a command is a text like any other."""
        harness.script = [Say("what?")]
        await harness.start(commands={"text": False})
        harness.say("/status", channel=harness.direct())
        await harness.settled()
        assert harness.answers(harness.direct()) == ["what?"]

    async def test_behind_a_prefix(self, harness: Harness) -> None:
        """A command behind a trigger prefix is one, and so is one whose mark is a prefix."""
        await harness.start({"chatmode": "onchar", "oncharPrefixes": [">", "!"]})
        harness.say("> /status")
        harness.say("!status")
        await harness.settled()
        assert [("as @helper" in answer) for answer in harness.answers()] == [True, True]


class TestDebounce:
    async def test_what_one_person_writes_in_a_row_is_one_question(self, harness: Harness) -> None:
        """Posts within the window are answered together, once."""
        harness.script = [Say("ok")]
        await harness.start(messages=DEBOUNCE)
        direct = harness.direct()
        posts = []
        for word in ("one", "two", "three"):
            posts.append(harness.say(word, channel=direct))
            await trio.sleep(1)
        await harness.settled()
        assert harness.answers(direct) == ["ok"]
        [request] = harness.agent.requests
        assert all(f": {word}" in request.messages[-1].text for word in ("one", "two", "three"))
        assert [await harness.state(post) for post in posts] == ["delivered"] * 3

    async def test_a_pause_ends_it(self, harness: Harness) -> None:
        """What comes after the window is a question of its own."""
        harness.script = [Say("ok")]
        await harness.start(messages=DEBOUNCE)
        direct = harness.direct()
        for word in ("one", "two"):
            harness.say(word, channel=direct)
            await trio.sleep(4)
        await harness.settled()
        assert harness.answers(direct) == ["ok", "ok"]

    async def test_it_waits_five_windows_at_most(self, harness: Harness) -> None:
        """Somebody who never stops is answered nevertheless."""
        harness.script = [Say("ok", delay=0)]
        await harness.start(messages={**DEBOUNCE, "queue": {"mode": "followup"}})
        direct = harness.direct()
        number = 0
        for number in range(10):
            harness.say(f"word {number}", channel=direct)
            await trio.sleep(1.5)
            if harness.answers(direct):
                break
        assert 6 <= number <= 8

    async def test_two_people_are_not_one(self, harness: Harness) -> None:
        """Different senders in one conversation get their own answers."""
        harness.script = [Say("ok")]
        await harness.start({"replyToMode": "off"}, messages={**DEBOUNCE, "queue": {"mode": "followup"}})
        harness.say("@helper one")
        harness.say("@helper two", by=harness.bob)
        await harness.settled()
        assert harness.answers() == ["ok", "ok"]

    async def test_a_deleted_one_is_left_out(self, harness: Harness) -> None:
        """A message that is taken back in time is not read."""
        harness.script = [Say("ok")]
        await harness.start(messages=DEBOUNCE)
        direct = harness.direct()
        harness.say("one", channel=direct)
        gone = harness.say("two", channel=direct)
        await trio.sleep(0.5)
        harness.delete(gone)
        await harness.settled()
        assert ": two" not in harness.agent.requests[0].messages[-1].text
        assert await harness.state(gone) == "cancelled: the message was deleted"


class TestSessions:
    async def test_a_quiet_conversation_begins_afresh(self, harness: Harness) -> None:
        """After session.resetAfterMinutes the model sees nothing of before."""
        harness.script = [Say("ok")]
        await harness.start(session={"resetAfterMinutes": 10})
        direct = harness.direct()
        for pause in (0, 300, 601):
            await trio.sleep(pause)
            harness.say("remember me", channel=direct)
            await harness.settled()
        assert [len(request.messages) for request in harness.agent.requests] == [1, 3, 1]

    @pytest.mark.slow
    async def test_each_day_begins_afresh(self, harness: Harness) -> None:
        """With session.resetAtHour: once for each day, at the first message after that hour."""
        harness.script = [Say("ok")]
        hour = datetime.fromtimestamp(harness.now_ms() / 1000, UTC).hour
        agents = {"defaults": {"timezone": "UTC"}}
        await harness.start(session={"resetAtHour": (hour + 2) % 24}, agents=agents)
        direct = harness.direct()
        for pause in (0, 600, 2 * 3600, 600):
            await trio.sleep(pause)
            harness.say("remember me", channel=direct)
            await harness.settled()
        assert [len(request.messages) for request in harness.agent.requests] == [1, 3, 1, 3]

    @pytest.mark.slow
    async def test_a_long_turn_is_not_quiet(self, harness: Harness) -> None:
        """What arrives while an answer takes its time belongs to the same conversation."""
        harness.script = [Pause(700), Say("ok")]
        await harness.start(session={"resetAfterMinutes": 10}, messages={"queue": {"mode": "followup"}})
        direct = harness.direct()
        harness.say("first", channel=direct)
        await trio.sleep(650)
        harness.say("second", channel=direct)
        await harness.settled(within=3000)
        assert [len(request.messages) for request in harness.agent.requests] == [1, 3]


class TestConnectionEndsMeanwhile:
    """Just as a message or an edit is written: the server sends it again, and the journal has it by then."""

    @staticmethod
    def end_at(harness: Harness, statement: str) -> None:
        def note(sql: str) -> None:
            if sql.startswith(statement):
                harness.journal.set_trace_callback(None)
                # The task that handles the event; its innermost nursery is the connection's.
                trio.lowlevel.current_task().child_nurseries[-1].cancel_scope.cancel()

        harness.journal.set_trace_callback(note)

    async def test_a_message_is_answered(self, harness: Harness) -> None:
        harness.script = [Say("yes")]
        await harness.start()
        self.end_at(harness, "INSERT INTO obligations")
        post = harness.say("@helper one?")
        await trio.sleep(20)
        assert len(harness.streams) == 2
        assert await harness.state(post) == "delivered"
        assert harness.answers() == ["yes"]

    async def test_an_edit_is_answered(self, harness: Harness) -> None:
        harness.script = lambda request: [Pause(5), Say(f"to {request.messages[-1].text.count('two')}")]
        await harness.start()
        post = harness.say("@helper one?")
        await trio.sleep(1)
        self.end_at(harness, "UPDATE obligations SET payload")
        harness.edit(post, "@helper two?")
        await trio.sleep(20)
        assert len(harness.streams) == 2
        assert await harness.state(post) == "delivered"
        assert harness.answers() == ["to 1"]
