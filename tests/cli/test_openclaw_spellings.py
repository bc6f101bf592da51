"""Command lines of OpenClaw's as people have them in scripts, against the embedded server and a running gateway."""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from functools import partial
from itertools import count
from pathlib import Path

import click
import pytest
import trio
from click.testing import CliRunner, Result

from oc_trio.cli.main import main
from oc_trio.cli.spellings import NEAREST
from oc_trio.ids import AccountId, UserId
from oc_trio.sandbox.records import ChannelRecord, PostRecord, UserRecord
from oc_trio.store.store import open_store
from tests.cli.sandbox_server import Server, a_server

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "commands.md").read_text()
ROWS = re.findall(r"^\| `(openclaw .+?)` \| `(oc-trio .+?)` \|$", PAGE.partition("## Not here")[0], re.MULTILINE)
LINES = list(dict.fromkeys(line for row in ROWS for line in row))
FOLLOWING = [line for line in LINES if line.endswith(("follow", "-f"))]
CONFIG = """
[gateway]
port = 0
[agents.defaults]
model = "play/it"
[models.providers.play]
api = "scripted"
models = ["it"]
[cron.jobs.morning]
expression = "0 9 * * mon-fri"
target = "#town-square"
message = "Good morning"
"""
_CODES = count(1)


class Typist:
    """Types command lines on a machine with a configuration and a running gateway."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.state = server.config.parent / "state"
        self.env = {"STATE_DIRECTORY": str(self.state), "OC_TRIO_CONFIG": str(server.config)}

    def types(self, line: str) -> Result:
        """A line with the program's name first; what stands in capitals is filled in."""
        return CliRunner().invoke(main, self.words(line), env=self.env)

    def words(self, line: str) -> list[str]:
        demo = self.server.demo
        values = {"CHANNEL": demo.town_square.id, "USER": demo.alice.id, "JOB": "morning", "FILE": __file__}
        if re.search(r"\bPOST\b", line):
            values["POST"] = self.posts(self.bot, "a release").id
        if re.search(r"\bCODE\b", line):
            values["CODE"] = self.asks_for_a_code()
        if re.search(r"\bADDED\b", line):
            values["ADDED"] = self.adds_a_job()
        filled = re.sub(r"<?\b(CHANNEL|USER|JOB|FILE|POST|CODE|ADDED)\b>?", lambda found: values[found[1]], line)
        return shlex.split(filled)[1:]

    @property
    def bot(self) -> UserRecord:
        return self.server.world.users.get(self.server.demo.bot.id)

    def posts(
        self, user: UserRecord, text: str, *, root_id: str = "", channel: ChannelRecord | None = None
    ) -> PostRecord:
        """Somebody has written, to town-square where no channel is named."""
        server = self.server
        where = channel or server.demo.town_square
        return server.do(partial(server.world.post_as, user, where, text, root_id=root_id))

    def asks_for_a_code(self) -> str:
        """A new person has written to the bot, and has got this code."""
        code = f"CODE{next(_CODES):04}"
        server = self.server
        person = server.do(partial(server.world.create_user, code.lower(), team=server.demo.team))
        now = time.time_ns() // 1_000_000

        async def ask() -> None:
            async with open_store(self.state / "journal.sqlite3", exclusive=False) as store:
                await store.pairing.request(
                    AccountId("default"), UserId(person.id), person.username, code, now, 3_600_000, 100
                )

        trio.run(ask)
        return code

    def adds_a_job(self) -> str:
        """A new job of the journal, by its id."""
        added = self.types("oc-trio cron add --every 1d --message 'Any news?' --to '#town-square' --json")
        return str(json.loads(added.stdout)["id"])

    def starts(self, *words: str) -> "subprocess.Popen[str]":
        """A process of its own."""
        env = {**os.environ, **self.env, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "oc_trio", *words]
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def waits_until_it_serves(self) -> None:
        until = time.monotonic() + 60
        while self.types("oc-trio status").exit_code != 0:
            assert time.monotonic() < until, self.types("oc-trio status").output
            time.sleep(0.1)


@pytest.fixture(scope="module")
def typist(tmp_path_factory: pytest.TempPathFactory) -> Generator[Typist, None, None]:
    with a_server(tmp_path_factory.mktemp("spellings")) as server:
        server.write_config(CONFIG)
        server.config.chmod(0o600)
        found = Typist(server)
        with found.starts("run") as gateway:
            try:
                found.waits_until_it_serves()
                yield found
            finally:
                gateway.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    gateway.wait(20)
                gateway.kill()


def slow_where_it_restarts(line: str) -> object:
    return pytest.param(line, marks=pytest.mark.slow) if "restart" in line else line


@pytest.mark.parametrize(
    "line", [slow_where_it_restarts(line) for line in LINES if not line.endswith(("follow", "-f"))]
)
def test_every_row_works(typist: Typist, line: str) -> None:
    """Each line of the table of both, typed as it stands there, does its work; with --json it prints JSON."""
    done = typist.types(line)
    assert done.exit_code == 0, done.output
    if "--json" in line and " logs" not in line:
        json.loads(done.stdout)
    for event in done.stdout.splitlines() if " logs" in line and "--json" in line else ():
        assert {"timestamp", "level", "event"} <= set(json.loads(event))


@pytest.mark.slow
@pytest.mark.parametrize("line", FOLLOWING)
def test_following_the_log(typist: Typist, line: str) -> None:
    """What was logged comes at once, what is logged then comes too, and Ctrl-C ends it."""
    with typist.starts(*typist.words(line)) as follower:
        _until(follower, "connected as @bot")
        typist.posts(typist.server.demo.alice, "@bot hello")
        _until(follower, "decided")
        follower.send_signal(signal.SIGINT)
        assert follower.wait(10) == 130


def _until(process: "subprocess.Popen[str]", words: str) -> list[str]:
    """The lines up to the one with these words."""
    found: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        found.append(line)
        if words in line:
            return found
    raise AssertionError(f"{words!r} did not come: {found}")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("openclaw plugins install @openclaw/mattermost", "nothing to install"),
        ("openclaw plugins install ./extensions/mattermost", "nothing to install"),
        ("openclaw plugins install ./path/to/local/mattermost-plugin", "nothing to install"),
        ("openclaw pairing list mattermost", "nobody is waiting"),
        ("openclaw pairing approve mattermost <CODE>", "may write to account default now"),
        ("openclaw --version", "oc-trio, version "),
        ("openclaw message send --target channel:<CHANNEL> --message 1", "posted in #town-square"),
        ("openclaw message send --target user:<USER> --message 2", "posted in @alice"),
        ("openclaw message send --target @alice --message 3", "posted in @alice"),
        ("openclaw message send --target '#town-square' --message 4", "posted in #town-square"),
        ("openclaw message send --target <CHANNEL> --message 5", "posted in #town-square"),
        ("openclaw message send --channel mattermost --target <USER> --message 6", "posted in @alice"),
        ("openclaw logs", "connected as @bot"),
        pytest.param("openclaw restart", "restarted: process ", marks=pytest.mark.slow),
    ],
)
def test_lines_of_openclaws_pages(typist: Typist, line: str, words: str) -> None:
    """What OpenClaw's pages and its helpers tell people to type."""
    done = typist.types(line)
    assert done.exit_code == 0, done.output
    assert words in done.stdout


@pytest.mark.parametrize(("line", "hint"), NEAREST.items())
def test_what_is_not_here_names_the_nearest(line: str, hint: str) -> None:
    """The refusal says what to type, the page says the same, and that command exists."""
    refused = CliRunner().invoke(main, line.split())
    assert refused.exit_code == 2
    assert hint in refused.stderr
    assert f"| `openclaw {line}` | {hint} |" in PAGE
    command: click.Command = main
    for word in re.findall(r"`oc-trio ([^`]+)`", hint)[0].split():
        if not isinstance(command, click.Group) or not word.isalpha() or not word.islower():
            break
        found = command.get_command(click.Context(command), word)
        assert found is not None, word
        command = found
    assert isinstance(command, click.Command)


@pytest.mark.parametrize(
    "line", ["message send -t @alice -m x", "pairing list", "directory peers list", "status", "channels resolve x"]
)
def test_another_channel_is_refused(line: str) -> None:
    """Before anything is done, and in words."""
    refused = CliRunner().invoke(main, [*line.split(), "--channel", "telegram"])
    assert refused.exit_code == 2
    assert "oc-trio speaks to Mattermost only, not to 'telegram'" in refused.stderr
    assert "--channel mattermost, or leave it out" in refused.stderr


def test_another_platform_is_refused() -> None:
    """Another platform as an argument is refused with a sentence."""
    refused = CliRunner().invoke(main, ["pairing", "approve", "telegram", "ABCD2345"])
    assert refused.exit_code == 2
    assert "Mattermost only, not to 'telegram'" in refused.stderr
    refused = CliRunner().invoke(main, ["plugins", "install", "@openclaw/telegram"])
    assert refused.exit_code == 2
    assert "MCP servers" in refused.stderr


def test_a_post_of_another_place_is_left_alone(typist: Typist) -> None:
    """A --target that does not fit is a mistake, and nothing is changed."""
    demo, world = typist.server.demo, typist.server.world
    post = typist.posts(typist.bot, "stays")
    refused = typist.types(f"openclaw message delete --target '#off-topic' --message-id {post.id}")
    assert refused.exit_code == 1
    assert f"The post {post.id} is not in #off-topic; it is in channel:{demo.town_square.id}." in refused.stderr
    assert typist.types(f"openclaw message delete --message-id {post.id} --dry-run").stdout == (
        f"would have deleted {post.id}\n"
    )
    assert world.posts.live(post.id).message == "stays"


# What `openclaw cron COMMAND --help` has; those that end in = take a value.
_CONNECTION = "--url= --token= --password= --port= --timeout= --expect-final "
_OF_JOBS = (
    "--best-effort-deliver --command= --command-argv= --command-cwd= --command-env= --command-input= --deliver "
    "--display-name= --fallbacks= --light-context --no-deliver --no-output-timeout-seconds= --on-exit= --on-exit-cwd= "
    "--output-max-bytes= --pacing-max= --pacing-min= --script= --script-timeout-seconds= --script-tool-budget= "
    "--session-key= --stagger= --stream-batch-ms= --stream-command= --stream-cwd= --stream-match= "
    "--stream-max-batch-bytes= --stream-mode= --system-event= --thread-id= --tools= --trigger-once --trigger-script= "
    "--webhook= "
)
_OF_CHANGES = (
    "--clear-channel --clear-display-name --clear-fallbacks --clear-pacing --clear-session-key --clear-thread-id "
    "--clear-to --clear-tools --clear-trigger --failure-alert --failure-alert-account-id= --failure-alert-after= "
    "--failure-alert-channel= --failure-alert-cooldown= --failure-alert-exclude-skipped "
    "--failure-alert-include-skipped --failure-alert-mode= --failure-alert-to= --no-best-effort-deliver "
    "--no-failure-alert --no-light-context "
)
REFUSED_OPTIONS = {
    "add": f"{_CONNECTION}{_OF_JOBS}--declaration-key=",
    "edit x": _CONNECTION + _OF_JOBS + _OF_CHANGES,
    "list": _CONNECTION,
    "show x": _CONNECTION,
    "get x": _CONNECTION,
    "rm x": _CONNECTION,
    "enable x": _CONNECTION,
    "disable x": _CONNECTION,
    "run x": f"{_CONNECTION}--due",
    "runs": f"{_CONNECTION}--delivery-status= --offset= --query= --sort=",
}


@pytest.mark.parametrize(
    ("command", "option"),
    [(command, option) for command, options in REFUSED_OPTIONS.items() for option in options.split()],
)
def test_options_of_cron_that_are_not_here(command: str, option: str) -> None:
    """Each is refused with a sentence that says what to do, before anything is looked at."""
    words = ["cron", *command.split(), option.removesuffix("="), *(["1"] if option.endswith("=") else [])]
    refused = CliRunner().invoke(main, words)
    assert refused.exit_code == 2
    _, _, sentence = refused.stderr.partition(f"There is no {option.removesuffix('=')} here. ")
    assert len(sentence) > 20, refused.stderr


def test_a_running_gateway_runs_the_jobs(typist: Typist) -> None:
    """It is told of a change, and runs by hand are its own, with tools; what it does not know fails in words."""
    added = json.loads(
        typist.types("oc-trio cron add --every 1d --message '!say from the gateway' --to '#off-topic' --json").stdout
    )
    assert added["gatewayTold"] is True
    run = json.loads(typist.types(f"oc-trio cron run {added['id']} --json").stdout)
    assert (run["by"], run["state"], run["byHand"]) == ("gateway", "delivered", True)
    post = typist.server.world.posts.live(run["postIds"][0])
    assert (post.message, post.channel_id) == ("from the gateway", run["channelId"])
    good = typist.server.config.read_text()
    typist.server.config.write_text(good + good[good.index("[cron.jobs.morning]") :].replace("morning", "evening"))
    try:
        refused = typist.types("oc-trio cron run evening")
    finally:
        typist.server.config.write_text(good)
    assert refused.exit_code == 1
    assert "the running gateway knows no such job" in refused.stderr
    begun = typist.types(f"oc-trio cron run {added['id']} --no-wait")
    assert (begun.exit_code, begun.stdout) == (0, f"begun: oc-trio cron runs {added['id']}\n")


@pytest.mark.slow
def test_a_job_that_runs_once(typist: Typist) -> None:
    """A second later it is posted, and the job is gone."""
    added = json.loads(typist.types("oc-trio cron add --at 1s --text 'a second later' --to '#off-topic' --json").stdout)
    until = time.monotonic() + 60
    while typist.types(f"oc-trio cron show {added['id']}").exit_code == 0:
        assert time.monotonic() < until, typist.types("oc-trio cron runs").output
        time.sleep(0.1)
    [run] = json.loads(typist.types(f"oc-trio cron runs {added['id']} --json").stdout)["runs"]
    assert run["state"] == "delivered"
    assert typist.server.world.posts.live(run["postIds"][0]).message == "a second later"


def test_pins(typist: Typist) -> None:
    """Pinned posts are listed, unpinned ones not any more."""
    demo, world = typist.server.demo, typist.server.world
    channel = typist.server.do(partial(world.create_channel, demo.team, "pinboard", demo.alice, typist.bot))
    post = typist.posts(demo.alice, "keep this", channel=channel)
    typist.types(f"openclaw message pin --target '#pinboard' --message-id {post.id}")
    assert "keep this" in typist.types("openclaw message pins --target '#pinboard'").stdout
    typist.types(f"openclaw message unpin --target '#pinboard' --message-id {post.id}")
    assert typist.types("openclaw message pins --target '#pinboard'").stdout == ""


def test_search_and_reactions(typist: Typist) -> None:
    """A word is found in the bot's channels; who reacted is told by name."""
    demo = typist.server.demo
    post = typist.posts(demo.alice, "quince jam for everybody")
    typist.types(f"openclaw message react --message-id {post.id} --emoji tada")
    found = json.loads(typist.types("openclaw message search --query quince --json").stdout)
    assert [each["id"] for each in found["messages"]] == [post.id]
    assert found["messages"][0]["channelId"] == demo.town_square.id
    output = typist.types(f"openclaw message search --query quince --author-id {demo.bob.id}").stdout
    assert output == ""
    assert typist.types(f"openclaw message reactions --message-id {post.id}").stdout == ":tada: 1  @bot\n"


def test_every_kind_of_emoji(typist: Typist) -> None:
    """A family, a flag, a tone, a custom one; one that this server does not have is named."""
    typist.server.world.reactions.custom_emoji.add("party_parrot")
    post = typist.posts(typist.server.demo.alice, "react to me")
    typed = {
        "\U0001f468\u200d\U0001f469\u200d\U0001f467": "man-woman-girl",
        "\U0001f1e9\U0001f1ea": "de",
        "\U0001f3f3\ufe0f\u200d\U0001f308": "rainbow-flag",
        "\U0001f469\U0001f3ff\u200d\U0001f4bb": "female-technologist_dark_skin_tone",
        ":+1::skin-tone-4:": "+1_medium_skin_tone",
        "party_parrot": "party_parrot",
    }
    for emoji, name in typed.items():
        output = typist.types(f"openclaw message react --message-id {post.id} --emoji '{emoji}'")
        assert output.stdout == f"reacted with :{name}: on {post.id}\n", output.output
    refused = typist.types(f"openclaw message react --message-id {post.id} --emoji party_cat")
    assert refused.exit_code == 1
    assert "this Mattermost has no emoji :party_cat:, neither of its own nor a custom one" in refused.stderr


def test_a_thread_is_read_by_any_of_its_posts(typist: Typist) -> None:
    """Oldest first; other posts of the channel are not in it."""
    demo = typist.server.demo
    root = typist.posts(demo.alice, "root")
    reply = typist.posts(demo.bob, "reply", root_id=root.id)
    typist.posts(demo.bob, "elsewhere")
    output = typist.types(f"openclaw message read --target '#town-square' --thread-id {reply.id}").stdout
    assert [line.strip() for line in output.splitlines()[1::2]] == ["root", "reply"]


def test_names_become_ids(typist: Typist) -> None:
    """For configuration files; what is not there is said, and the exit code with it."""
    demo = typist.server.demo
    output = typist.types("openclaw channels resolve --kind user alice").stdout
    assert output == f"alice  ->  user:{demo.alice.id}  @alice\n"
    missing = typist.types("openclaw channels resolve '#town-square' '#nowhere'")
    assert missing.exit_code == 1
    assert f"channel:{demo.town_square.id}" in missing.stdout
    assert "#nowhere" in missing.stderr


def test_a_probe_that_fails(typist: Typist, tmp_path: Path) -> None:
    """The account is named with the reason; without a gateway the configuration is what there is to tell."""
    config = tmp_path / "oc-trio.toml"
    config.write_text(typist.server.config.read_text().replace(typist.server.demo.bot.token, "x" * 26))
    config.chmod(0o600)
    env = {"STATE_DIRECTORY": str(tmp_path / "state"), "OC_TRIO_CONFIG": str(config)}
    done = CliRunner().invoke(main, ["channels", "status", "--probe"], env=env)
    assert done.exit_code == 1
    assert "no gateway is running" in done.stderr
    assert f"default: configured, {typist.server.url}" in done.stdout
    assert "probe of default: " in done.stdout
    assert "401" in done.stdout
    assert CliRunner().invoke(main, ["channels", "status"], env=env).exit_code == 0


def test_values_by_path(typist: Typist) -> None:
    """Texts stand bare, tables as JSON, secrets hidden, elements of lists by number; what is not set is said."""
    assert typist.types("openclaw config get agents.defaults.model.primary").stdout == "play/it\n"
    assert typist.types("openclaw config get channels.mattermost.baseUrl").stdout == f"{typist.server.url}\n"
    assert typist.types("openclaw config get 'channels[\"mattermost\"].botToken'").stdout == "***\n"
    assert json.loads(typist.types("openclaw config get cron.jobs").stdout)["morning"]["message"] == "Good morning"
    assert typist.types("openclaw config get models.providers.play.models[0].id --json").stdout == '"it"\n'
    missing = typist.types("openclaw config get channels.telegram")
    assert missing.exit_code == 1
    assert "nothing is set at channels.telegram" in missing.stderr


def test_a_reload_says_what_came_of_it(typist: Typist) -> None:
    """What differs is named by its key; a broken file changes nothing, and the status says so until the next reload."""
    config, before = typist.server.config, json.loads(typist.types("oc-trio status --json").stdout)
    good = config.read_text()
    nothing = typist.types("oc-trio reload")
    assert nothing.exit_code == 0, nothing.output
    assert nothing.stdout.startswith(f"reloaded: process {before['pid']}, nothing differs from what it had\n")
    try:
        brief = good.replace("[agents.defaults]\n", '[agents.defaults]\nsystemPrompt = "Be brief."\n', 1)
        config.write_text(brief + '[logging]\nlevel = "debug"\n')
        prompt = typist.types("oc-trio gateway reload")
        assert "  changed: agents.defaults.systemPrompt, logging.level\n  not touched: default\n" in prompt.stdout
        assert "  logging takes effect at the next start only: `oc-trio restart`\n" in prompt.stdout
        config.write_text(good + "[nonsense]\n[logging]\nlevel = 7\n")
        refused = typist.types("oc-trio reload")
        assert refused.exit_code == 78
        assert "the gateway goes on with the configuration that it had" in refused.stderr
        assert len([line for line in refused.stderr.splitlines() if line.startswith("  ")]) == 2
        assert "  reload refused " in typist.types("oc-trio status").stdout
    finally:
        config.write_text(good)
    again = typist.types("oc-trio reload --json")
    facts = json.loads(again.stdout)
    assert (again.exit_code, facts["problems"], facts["pid"]) == (0, [], before["pid"])
    assert facts["changed"] == ["agents.defaults.systemPrompt", "logging.level"]
    assert "  reload refused " not in typist.types("oc-trio status").stdout
    ended = json.loads(typist.types("oc-trio status --json").stdout)["reload"]["ended"]
    assert "reads its configuration again" in typist.types("oc-trio reload --no-wait").stdout
    # Else it might still be to come, and read what the next test writes.
    until = time.monotonic() + 10
    while json.loads(typist.types("oc-trio status --json").stdout)["reload"]["ended"] == ended:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_reload_that_changes_an_account(typist: Typist) -> None:
    """It waits until the account is live with its new settings."""
    config = typist.server.config
    good = config.read_text()
    try:
        config.write_text(good.replace("[channels.mattermost]\n", '[channels.mattermost]\nchatmode = "onmessage"\n', 1))
        changed = typist.types("oc-trio reload")
        assert changed.exit_code == 0, changed.output
        assert "  changed: channels.mattermost.chatmode\n  restarted: default, live\n" in changed.stdout
        config.write_text(good.replace('botToken = "', 'botToken = "x', 1))
        refused = typist.types("oc-trio reload")
        assert refused.exit_code == 1
        assert "  restarted: default, auth_failed: " in refused.stdout
    finally:
        config.write_text(good)
        assert typist.types("oc-trio reload").exit_code == 0


def test_a_reload_without_a_gateway(tmp_path: Path) -> None:
    """Exit code 69, as with the other commands that ask it."""
    (tmp_path / "oc-trio.toml").write_text("")
    env = {"STATE_DIRECTORY": str(tmp_path), "OC_TRIO_CONFIG": str(tmp_path / "oc-trio.toml")}
    refused = CliRunner().invoke(main, ["reload"], env=env)
    assert (refused.exit_code, "no gateway is running" in refused.stderr) == (69, True)


@pytest.mark.slow
def test_a_restart_reads_the_file_again_and_keeps_the_process(typist: Typist) -> None:
    """The same process, another start; a broken file restarts nothing."""
    before = json.loads(typist.types("oc-trio status --json").stdout)
    done = typist.types("openclaw restart")
    after = json.loads(typist.types("oc-trio status --json").stdout)
    assert done.stdout.startswith(f"restarted: process {before['pid']}, live: ")
    assert after["pid"] == before["pid"]
    assert after["startedAt"] > before["startedAt"]
    good = typist.server.config.read_text()
    typist.server.config.write_text(good + "[nonsense]\n")
    try:
        refused = typist.types("openclaw restart")
    finally:
        typist.server.config.write_text(good)
    assert refused.exit_code == 78
    assert "not restarted" in refused.stderr
    assert json.loads(typist.types("oc-trio status --json").stdout)["startedAt"] == after["startedAt"]


def test_the_log_of_no_gateway(tmp_path: Path) -> None:
    """Where the lines are otherwise is said."""
    (tmp_path / "oc-trio.toml").write_text("")
    env = {"STATE_DIRECTORY": str(tmp_path), "OC_TRIO_CONFIG": str(tmp_path / "oc-trio.toml")}
    refused = CliRunner().invoke(main, ["logs"], env=env)
    assert refused.exit_code == 69
    assert "no gateway is running" in refused.stderr
    assert "journalctl -u oc-trio" in refused.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("openclaw gateway --port 18789", "There is no --port here. gateway.port of the configuration file says it"),
        ("openclaw gateway --config x.toml status", "Write --config behind `status`"),
        ("openclaw sessions --json show KEY", "Write --json behind `show`"),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(line: str, words: str) -> None:
    """It is not passed over: the port would be another one, the output not JSON."""
    refused = CliRunner().invoke(main, shlex.split(line)[1:])
    assert refused.exit_code == 2
    assert words in refused.stderr


def test_a_gateway_without_a_command_runs(tmp_path: Path) -> None:
    """As `run` does, with its exit code: here for a configuration that is not there."""
    words = ["--config", str(tmp_path / "none.toml")]
    started, ran = (CliRunner().invoke(main, [name, *words]) for name in ("gateway", "run"))
    assert (started.exit_code, started.stderr) == (ran.exit_code, ran.stderr)
    assert started.exit_code == 78


def test_the_status_of_no_gateway_is_json_too(tmp_path: Path) -> None:
    """A script reads the reason; the exit code is the same as without."""
    config = tmp_path / "c.toml"
    config.write_text('[channels.mattermost]\nbaseUrl = "https://chat.example.com"\nbotToken = "t"\n')
    config.chmod(0o600)
    env = {"STATE_DIRECTORY": str(tmp_path / "state")}
    done = CliRunner().invoke(main, ["status", "--json", "--config", str(config)], env=env)
    said = json.loads(done.stdout)
    assert (done.exit_code, said["phase"], said["accounts"]) == (69, "no answer", [])
    assert "no gateway is running" in said["problem"]
