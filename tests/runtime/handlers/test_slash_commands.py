"""Native slash commands end to end against the sandbox: registration, confirmation, policy, admission."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from oc_trio.core.chat_commands import ShowStatus, StopTurn
from oc_trio.core.events import TeamJoined
from oc_trio.core.ledger import Source
from oc_trio.core.pairing import FULL
from oc_trio.core.slash import BUILT_IN, INVALID_TOKEN, PROCESSING
from oc_trio.ids import UserId
from oc_trio.sandbox.errors import ApiError
from oc_trio.sandbox.outgoing import IntegrationRequest, IntegrationResponse
from tests.logbook import Logbook
from tests.runtime.callback_harness import MAIN, CallbackHarness, callback_harness


def tamper(callbacks: CallbackHarness, old: str, new: str) -> None:
    """From now on callbacks arrive with `new` in the place of `old`."""

    async def send(call: IntegrationRequest) -> IntegrationResponse:
        body = call.body.replace(old.encode(), new.encode()) if old else call.body
        return await callbacks.post_out(IntegrationRequest(call.method, call.url, call.headers, body))

    callbacks.send = send


def triggers(callbacks: CallbackHarness, team_id: str = "") -> list[str]:
    return sorted(command.trigger for command in callbacks.world.commands.of_team(team_id or callbacks.team.id))


async def test_all_commands_are_registered_on_the_team(autojump_clock: MockClock) -> None:
    """Every built-in command is there, points to us, and its token is in the journal."""
    async with callback_harness().running() as callbacks:
        await callbacks.registered()
        assert triggers(callbacks) == sorted(spec.trigger for spec in BUILT_IN)
        commands = await callbacks.store.commands.all(MAIN)
        assert {(command.trigger, command.token) for command in commands} == {
            (command.trigger, command.token) for command in callbacks.world.commands.of_team(callbacks.team.id)
        }
        assert {command.url for command in commands} == {"http://localhost:18789/api/channels/mattermost/command"}


async def test_a_command_is_taken_in_and_its_caller_sees_processing(autojump_clock: MockClock) -> None:
    """The caller gets the ephemeral line at once; the command is an obligation and goes to the chat command handler."""
    async with callback_harness().running() as callbacks:
        await callbacks.registered()
        shown = await callbacks.execute("/oc_status")
        assert (shown["response_type"], shown["text"]) == ("ephemeral", PROCESSING)
        ((message, command),) = callbacks.admitted
        assert (message.text, message.source, command) == ("/status", Source.COMMAND, ShowStatus())
        assert message.user_name == "alice"
        assert len(await callbacks.store.obligations.open_for(MAIN)) == 1


async def test_a_command_in_a_thread_belongs_to_the_thread(autojump_clock: MockClock) -> None:
    """The session and the answer's place are the thread's."""
    async with callback_harness().running() as callbacks:
        await callbacks.registered()
        root = callbacks.world.post_as(callbacks.alice, callbacks.square, "hello")
        await callbacks.execute("/oc_stop", root_id=root.id)
        ((message, command),) = callbacks.admitted
        assert command == StopTurn()
        assert (message.root_id, message.reply_root) == (root.id, root.id)
        assert message.session.endswith(f":thread:{root.id}")


async def test_the_same_call_twice_is_taken_in_once(autojump_clock: MockClock) -> None:
    """A callback that arrives again, with the same trigger id, makes no second obligation."""
    async with callback_harness().running() as callbacks:
        await callbacks.registered()
        sent: list[IntegrationRequest] = []

        async def twice(call: IntegrationRequest) -> IntegrationResponse:
            sent.append(call)
            await callbacks.post_out(call)
            return await callbacks.post_out(call)

        callbacks.send = twice
        await callbacks.execute("/oc_status")
        assert (len(sent), len(callbacks.answers), len(callbacks.admitted)) == (1, 2, 1)


LISTING = "Ask the bot owner to add your Mattermost user id, {user}, to `groupAllowFrom`."


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        pytest.param(
            {"groupAllowFrom": [], "allowFrom": []},
            f"Slash commands are not configured for this channel (no allowlist). {LISTING}",
            id="no allowlist",
        ),
        pytest.param({"groupPolicy": "disabled"}, "Slash commands are disabled in channels.", id="disabled"),
        pytest.param(
            {"groupAllowFrom": ["somebodyelse"]},
            f"Unauthorized. {LISTING}",
            id="not listed",
        ),
    ],
)
async def test_who_may_not_is_told_why(settings: dict[str, Any], text: str, autojump_clock: MockClock) -> None:
    """The documented texts go to the caller; nothing is admitted."""
    async with callback_harness(**settings).running() as callbacks:
        await callbacks.registered()
        assert (await callbacks.execute("/oc_status"))["text"] == text.format(user=callbacks.alice.id)
        assert callbacks.admitted == []


async def test_a_stranger_gets_the_pairing_reply_each_time(autojump_clock: MockClock) -> None:
    """In a direct chat under pairing the caller reads the same code again and again."""
    async with callback_harness(dmPolicy="pairing", allowFrom=[]).running() as callbacks:
        await callbacks.registered()
        direct = callbacks.world.direct(callbacks.mallory, callbacks.bot)
        first = (await callbacks.execute("/oc_status", by=callbacks.mallory, where=direct))["text"]
        second = (await callbacks.execute("/oc_help", by=callbacks.mallory, where=direct))["text"]
        assert "Pairing code:" in first
        assert first == second
        assert callbacks.admitted == []


async def test_a_stranger_who_comes_when_three_wait_gets_no_empty_code(autojump_clock: MockClock) -> None:
    """A sentence in place of the code, and a code once there is room."""
    async with callback_harness(dmPolicy="pairing", allowFrom=[]).running() as callbacks:
        await callbacks.registered()
        for number in range(3):
            await callbacks.store.pairing.request(
                MAIN,
                UserId(f"user{number}"),
                "",
                f"AAAA222{number}",
                callbacks.requests.services.clock.now_ms(),
                3_600_000,
                3,
            )
        direct = callbacks.world.direct(callbacks.mallory, callbacks.bot)
        assert (await callbacks.execute("/oc_status", by=callbacks.mallory, where=direct))["text"] == FULL
        await trio.sleep(3601)
        assert "Pairing code:" in (await callbacks.execute("/oc_status", by=callbacks.mallory, where=direct))["text"]


async def test_who_gets_no_code_is_logged_once(autojump_clock: MockClock, logbook: Logbook) -> None:
    """A refused person is logged once, and again when the time of a code has passed."""
    async with callback_harness(dmPolicy="pairing", allowFrom=[]).running() as callbacks:
        await callbacks.registered()
        direct = callbacks.world.direct(callbacks.mallory, callbacks.bot)
        for lines in (1, 2):
            for number in range(3):
                await callbacks.store.pairing.request(
                    MAIN,
                    UserId(f"user{number}"),
                    "",
                    f"AAAA222{number}",
                    callbacks.requests.services.clock.now_ms(),
                    3_600_000,
                    3,
                )
            for _ in range(3):
                assert (await callbacks.execute("/oc_status", by=callbacks.mallory, where=direct))["text"] == FULL
            assert len(logbook.find("no pairing code")) == lines
            await trio.sleep(3601)


async def test_a_token_of_another_command_is_refused(autojump_clock: MockClock) -> None:
    """One command's token does not open another."""
    async with callback_harness().running() as callbacks:
        await callbacks.registered()
        commands = {command.trigger: command for command in callbacks.world.commands.of_team(callbacks.team.id)}
        tamper(callbacks, commands["oc_status"].token, commands["oc_help"].token)
        with pytest.raises(ApiError):
            await callbacks.execute("/oc_status")
        assert INVALID_TOKEN.encode() in callbacks.answers[-1].body
        assert callbacks.admitted == []


@pytest.mark.slow
async def test_a_guessed_token_does_not_lock_the_real_one_out(autojump_clock: MockClock) -> None:
    """A hundred wrong tokens cost twenty look-ups, and the next right one still works."""
    async with callback_harness().running() as callbacks:
        await callbacks.registered()
        command = callbacks.world.commands.triggered(callbacks.team.id, "oc_status")
        assert command is not None
        before = callbacks.world.requests.calls["helper"]
        for number in range(100):
            tamper(callbacks, command.token, f"guess{number}")
            with pytest.raises(ApiError):
                await callbacks.execute("/oc_status")
        assert callbacks.world.requests.calls["helper"] - before <= 25
        tamper(callbacks, "", "")
        assert (await callbacks.execute("/oc_status"))["text"] == PROCESSING


async def test_a_regenerated_token_works_without_a_restart(autojump_clock: MockClock) -> None:
    """The server's record counts, and the new token is kept."""
    async with callback_harness().running() as callbacks:
        await callbacks.registered()
        command = callbacks.world.commands.triggered(callbacks.team.id, "oc_status")
        assert command is not None
        fresh = callbacks.world.commands.regenerate(callbacks.world.users.get(callbacks.bot.id), command.id)
        assert (await callbacks.execute("/oc_status"))["text"] == PROCESSING
        stored = await callbacks.store.commands.find(MAIN, callbacks.team.id, "oc_status")  # type: ignore[arg-type]
        assert stored is not None
        assert stored.token == fresh


async def test_the_old_token_is_refused_after_a_regeneration(autojump_clock: MockClock) -> None:
    """A token that we hold but the server no longer does is worth nothing."""
    async with callback_harness().running() as callbacks:
        await callbacks.registered()
        user = callbacks.world.users.get(callbacks.bot.id)
        command = callbacks.world.commands.triggered(callbacks.team.id, "oc_status")
        assert command is not None
        old = command.token
        callbacks.world.commands.regenerate(user, command.id)
        tamper(callbacks, command.token, old)
        with pytest.raises(ApiError):
            await callbacks.execute("/oc_status")
        assert INVALID_TOKEN.encode() in callbacks.answers[-1].body
        assert callbacks.admitted == []


async def test_calls_are_refused_while_the_server_cannot_confirm(autojump_clock: MockClock) -> None:
    """Fail closed: a token we know is not enough when nobody vouches for it."""
    async with callback_harness().running() as callbacks:
        await callbacks.registered()
        command = callbacks.world.commands.triggered(callbacks.team.id, "oc_status")
        assert command is not None
        callbacks.team.roles[callbacks.bot.id] = "team_user"  # the bot may no longer read commands
        with pytest.raises(ApiError):
            await callbacks.execute("/oc_status")
        assert callbacks.admitted == []


async def test_without_permission_nothing_is_served(autojump_clock: MockClock, logbook: Logbook) -> None:
    """A bot that may not register answers 503 and goes on trying."""
    async with callback_harness(admin=False).running() as callbacks:
        await trio.sleep(1)
        assert triggers(callbacks) == []
        assert callbacks.registration.commands.current() is None
        callbacks.team.roles[callbacks.bot.id] = "team_user team_admin"
        await trio.sleep(20)
        assert len(triggers(callbacks)) == len(BUILT_IN)
        assert logbook.find("mattermost: failed to register slash commands")
        assert logbook.find("mattermost: native slash commands enabled but no commands could be registered")


async def test_a_restart_reuses_what_is_there(autojump_clock: MockClock) -> None:
    """The second run makes no new commands and answers with the tokens of the first."""
    callbacks = callback_harness()
    async with callbacks.running():
        await callbacks.registered()
        before = {command.id for command in callbacks.world.commands.of_team(callbacks.team.id)}
    async with callbacks.running():
        await callbacks.registered()
        assert {command.id for command in callbacks.world.commands.of_team(callbacks.team.id)} == before
        assert (await callbacks.execute("/oc_status"))["text"] == PROCESSING


async def test_what_a_renamed_set_left_behind_goes(autojump_clock: MockClock) -> None:
    """A command of ours that is not wanted any more is deleted; a foreign one stays and keeps its trigger."""
    callbacks = callback_harness()
    bot, alice = callbacks.world.users.get(callbacks.bot.id), callbacks.alice
    url = "http://localhost:18789/api/channels/mattermost/command"
    base = {"team_id": callbacks.team.id, "method": "P", "url": url, "display_name": "oc_trio"}
    callbacks.world.commands.create(bot, {**base, "trigger": "oc_old_skill"})
    foreign = callbacks.world.commands.create(alice, {**base, "trigger": "oc_help", "url": "http://other.test/"})
    async with callbacks.running():
        await callbacks.registered()
        assert "oc_old_skill" not in triggers(callbacks)
        helps = [
            command for command in callbacks.world.commands.of_team(callbacks.team.id) if command.trigger == "oc_help"
        ]
        assert [command.id for command in helps] == [foreign.id]


async def test_a_team_that_is_joined_later_gets_the_commands(autojump_clock: MockClock) -> None:
    """The event of joining starts another round."""
    async with callback_harness().running() as callbacks:
        await callbacks.registered()
        other = callbacks.world.create_team("village", callbacks.alice)
        callbacks.world.membership.join_team(other, callbacks.world.users.get(callbacks.bot.id))
        other.roles[callbacks.bot.id] = "team_user team_admin"
        callbacks.registration.note(TeamJoined(callbacks.requests.services.user.id, other.id))  # type: ignore[arg-type]
        await trio.sleep(1)
        assert len(triggers(callbacks, other.id)) == len(BUILT_IN)


async def test_switching_native_commands_off_takes_them_back(autojump_clock: MockClock) -> None:
    """What an earlier run registered is removed when the account no longer wants it."""
    callbacks = callback_harness()
    async with callbacks.running():
        await callbacks.registered()
    off = callback_harness(commands={"native": False})
    off.world, off.database, off.bot, off.team = callbacks.world, callbacks.database, callbacks.bot, callbacks.team
    async with off.running():
        await trio.sleep(1)
        assert triggers(callbacks) == []
        assert await off.store.commands.all(MAIN) == ()


async def test_a_bare_model_command_opens_the_picker(autojump_clock: MockClock) -> None:
    """`/oc_models` is answered by buttons, and its obligation ends with that post."""
    async with callback_harness().running() as callbacks:
        await callbacks.registered()
        assert (await callbacks.execute("/oc_models"))["text"] == PROCESSING
        await trio.sleep(1)
        (post,) = callbacks.posts()
        assert [action["name"] for action in callbacks.actions(post.id)] == ["big (10)", "small (1)"]
        assert await callbacks.store.obligations.open_for(MAIN) == ()
        assert callbacks.admitted == []


@pytest.mark.parametrize("path", ["/cmd", "/api/channels/mattermost/command"])
async def test_a_proxy_may_change_the_path(path: str, autojump_clock: MockClock) -> None:
    """The account answers at the path of its URL and at the configured one."""
    async with callback_harness(commands={"native": True, "callbackUrl": "http://gw.test/cmd"}).running() as callbacks:
        await callbacks.registered()

        async def proxied(call: IntegrationRequest) -> IntegrationResponse:
            return await callbacks.post_out(
                IntegrationRequest(call.method, f"http://127.0.0.1{path}", call.headers, call.body)
            )

        callbacks.send = proxied
        assert (await callbacks.execute("/oc_status"))["text"] == PROCESSING


async def test_a_prefix_of_ones_own(autojump_clock: MockClock) -> None:
    """The commands are named by it and mean the same; what tells of one tells its name. Those of before are removed."""
    before = callback_harness()
    async with before.running():
        await before.registered()
    callbacks = callback_harness(commands={"native": True, "prefix": "west_"})
    callbacks.world, callbacks.database, callbacks.bot, callbacks.team = (
        before.world,
        before.database,
        before.bot,
        before.team,
    )
    callbacks.alice, callbacks.square, before.send = before.alice, before.square, callbacks.post_out
    async with callbacks.running():
        await callbacks.registered()
        assert triggers(callbacks) == sorted(f"west_{spec.original}" for spec in BUILT_IN)
        assert (await callbacks.execute("/west_status"))["text"] == PROCESSING
        ((message, command),) = callbacks.admitted
        assert (message.text, command) == ("/status", ShowStatus())
        await callbacks.execute("/west_model")
        await trio.sleep(1)
        (post,) = callbacks.posts()
        assert "`/west_model <provider/model>`" in callbacks.shown(post.id)[0] + post.message
