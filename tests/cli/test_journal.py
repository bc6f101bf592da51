"""Commands that read the journal, without a gateway: what they print, and how they fail."""

import json
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

from oc_trio.cli.explain import id_of
from oc_trio.cli.main import main
from oc_trio.core.ledger import OutboxKind, OutboxRow, Source, failed
from oc_trio.core.turn_events import Usage
from oc_trio.ids import AccountId, AgentId, ChannelId, OutboxId, PostId, SessionKey, TurnId, UserId
from oc_trio.runtime.process.locations import JOURNAL
from oc_trio.store.admission import Admission
from oc_trio.store.sessions import SessionUse
from oc_trio.store.store import Store, open_store
from oc_trio.store.turns import Turn

MAIN, TOWN, ALICE = AccountId("default"), ChannelId("town"), UserId("alice-id")
SESSION = SessionKey("agent:main:mattermost:channel:town")
NOON = 1_700_000_000_000


def run(state: Path, *words: str) -> Result:
    return CliRunner().invoke(main, words, env={"STATE_DIRECTORY": str(state), "HOME": str(state)})


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with one failed turn, one message passed over, and two requests to pair."""
    trio.run(_fill, tmp_path / JOURNAL)
    return tmp_path


async def _fill(location: Path) -> None:
    async with open_store(location) as store:
        await _see(store, "asked", "admit", "mention")
        await _see(store, "passed", "ignore", "no_mention")
        owed = (await store.obligations.open_for(MAIN))[0]
        await store.sessions.touch(SessionUse(SESSION, MAIN, TOWN, "", AgentId("main"), NOON + 2000))
        turn = Turn(TurnId("turn1"), MAIN, SESSION, TOWN, "")
        await store.turns.begin(turn, [owed.id], NOON + 2000)
        entry = json.dumps({"role": "user", "text": "hello", "calls": []})
        await store.transcripts.append(SESSION, turn.id, [entry], NOON + 2000)
        await store.turns.decide(turn, "", Usage(12, 3, "words"), NOON + 3000)
        await store.turns.end(turn.id, failed("the model is out of reach", PostId("notice")), NOON + 3000)
        for name in ("alice", "bob"):
            far = 10**14
            await store.pairing.request(MAIN, UserId(f"{name}-id"), name, f"CODE{name.upper()}", NOON, far, 3)


async def _see(store: Store, post: str, decision: str, reason: str) -> None:
    session = SESSION if decision == "admit" else None
    admission = Admission(
        MAIN, post, TOWN, ALICE, "", NOON, Source.LIVE, decision, reason, session, payload="{}", at=NOON + 1000
    )
    await store.admission.admit(admission)


MENTIONED = "to be answered: it mentions @bot, or one of its names [mention]"


def test_explain_tells_a_life(state: Path) -> None:
    """What happened comes in its order, each line with its time and the seconds since, ending with what was used."""
    result = run(state, "explain", "asked")
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "asked: a message to the bot; times are UTC",
        "  2023-11-14 22:13:20     +0.0 s  posted: asked by alice-id in town",
        f"  2023-11-14 22:13:21     +1.0 s  seen by account default, by event: {MENTIONED}",
        f"  2023-11-14 22:13:21     +1.0 s  admitted: default owed an answer in session {SESSION}, 1 attempt",
        "  2023-11-14 22:13:22     +2.0 s  turn turn1 began",
        "  2023-11-14 22:13:23     +3.0 s  final: failed as notice: the model is out of reach",
        "  words used 12 tokens in, 3 out",
    ]


def test_explain_tells_when_the_first_text_came(state: Path) -> None:
    """The first post of the turn stands in the timeline; further posts follow with what became of them."""

    async def send() -> None:
        async with open_store(state / JOURNAL) as store:
            rows = [
                OutboxRow(OutboxId(f"turn1.{n}"), MAIN, TOWN, "", kind, "{}", f"bot:{n}", NOON + 2100, TurnId("turn1"))
                for n, kind in enumerate((OutboxKind.DRAFT, OutboxKind.FINAL))
            ]
            await store.outbox.put(rows)
            for n, row in enumerate(rows):
                await store.outbox.mark_sending(row.id, NOON + 2200 + n * 500)
                await store.outbox.confirm(row.id, PostId(f"p{n}"), NOON + 2300 + n * 500)

    trio.run(send)
    lines = run(state, "explain", "asked").output.splitlines()
    assert "  2023-11-14 22:13:22     +2.2 s  first text, in post p0" in lines
    assert "  2023-11-14 22:13:22     +2.7 s  final post p1: confirmed" in lines


def test_explain_tells_why_nothing_was_said(state: Path) -> None:
    """A message that was passed over is explained by the key that would change it."""
    output = run(state, "explain", "passed").output
    assert output.startswith("passed: a message that the bot does not answer; ")
    assert 'not answered: it does not mention @bot, and `channels.mattermost.chatmode` is "oncall"' in output


def test_explain_tells_last_that_it_goes_on(state: Path) -> None:
    """What a turn has not come to yet stands at the end, whatever happened after the turn's beginning."""

    async def begin() -> None:
        async with open_store(state / JOURNAL) as store:
            await _see(store, "again", "admit", "mention")
            (owed,) = await store.obligations.open_for(MAIN)
            await store.turns.begin(Turn(TurnId("turn2"), MAIN, SESSION, TOWN, ""), [owed.id], NOON)

    trio.run(begin)
    lines = run(state, "explain", "again").output.splitlines()
    assert lines[-1] == "  the turn has not ended"
    assert "owes an answer" in lines[-2]


def test_explain_as_json_holds_no_text_of_messages(state: Path) -> None:
    """The JSON is plain, and leaves out payloads and bodies."""
    life = json.loads(run(state, "explain", "asked", "--json").output)
    assert life["seen"][0]["source"] == "live"
    assert life["turn"]["outcome"] == {"state": "failed", "posts": ["notice"], "reason": "the model is out of reach"}
    assert "payload" not in life["obligations"][0]
    (decision,) = life["decisions"]
    assert decision["sentence"] == MENTIONED


@pytest.mark.parametrize(
    "written",
    ["abc", " abc ", "https://chat.example.com/team/pl/abc", "https://x/team/pl/abc/", "https://x/t/pl/abc?view=1#top"],
)
def test_a_post_is_named_by_id_or_permalink(written: str) -> None:
    """Both forms that people have at hand name the same post."""
    assert id_of(written) == "abc"


@pytest.mark.parametrize("written", ["", " / ", "what is this", "https://chat.example.com/team/channels/town-square"])
def test_what_names_no_post(state: Path, written: str) -> None:
    """It is wrong usage, with the two forms that are right; nothing is said about a post that there is not."""
    done = run(state, "explain", written)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "give a post's id, or its permalink" in done.stderr


def test_sessions(state: Path) -> None:
    """Listed with when and who; shown entry by entry; reset once, by any spelling of the key."""
    listed = run(state, "sessions", "list").output
    assert "2023-11-14 22:13:22  default  main   " + SESSION in listed
    assert "user: hello" in run(state, "sessions", "show", SESSION.upper()).output
    assert json.loads(run(state, "sessions", "reset", SESSION, "--json").output) == {"key": SESSION, "generation": 1}
    assert "user: hello" not in run(state, "sessions", "show", SESSION).output
    assert run(state, "sessions", "list", "--account", "other").output == "there are no conversations yet\n"


def test_pairing(state: Path) -> None:
    """Codes are taken in any case, once; approval and revocation are listed."""
    assert "CODEALICE  default  @alice  alice-id" in run(state, "pairing", "list").output
    assert run(state, "pairing", "approve", "mattermost", " codealice").output == (
        "@alice (alice-id) may write to account default now\n"
    )
    assert run(state, "pairing", "reject", "mattermost", "CODEBOB").output == "@bob (bob-id) was not let in\n"
    assert run(state, "pairing", "list").output == "nobody is waiting\n"
    assert "@alice" in run(state, "pairing", "list", "--approved").output
    assert "no longer" in run(state, "pairing", "revoke", "mattermost", "alice-id").output
    assert run(state, "pairing", "list", "--approved", "--json").output == "[]\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("explain", "nothing"), "nothing never reached this gateway, or is beyond retention"),
        (("sessions", "show", "nothing"), "there is no conversation nothing"),
        (("sessions", "reset", "nothing"), "there is no conversation nothing"),
        (("pairing", "approve", "mattermost", "XX"), "no request with the code XX is waiting"),
        (("pairing", "reject", "mattermost", "XX"), "no request with the code XX is waiting"),
        (("pairing", "revoke", "mattermost", "XX"), "XX was not let in; see oc-trio pairing list --approved"),
    ],
)
def test_nothing_like_that(state: Path, words: tuple[str, ...], message: str) -> None:
    """What does not exist is said in one line, with exit code 1."""
    done = run(state, *words)
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", f"oc-trio: {message}\n")


@pytest.mark.parametrize("words", [("explain", "x"), ("sessions", "list"), ("pairing", "list")], ids="_".join)
def test_without_a_journal(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Before the first start there is nothing to read: one line, exit code 75, and nothing is created."""
    done = run(tmp_path, *words)
    assert (done.exit_code, done.stdout) == (75, "")
    assert done.stderr.startswith("oc-trio: ")
    assert str(tmp_path / JOURNAL) in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [("explain", "x"), ("sessions", "list"), ("backup", "copy")], ids="_".join)
def test_a_damaged_journal(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Waiting does not mend it, and the exit code says so."""
    (tmp_path / JOURNAL).write_bytes(b"not a database" * 100)
    done = run(tmp_path, *words)
    assert (done.exit_code, done.stdout) == (65, "")
    assert done.stderr.startswith("oc-trio: sqlite: file is not a database")
    assert "put a backup in its place" in done.stderr


def test_a_wrong_configuration(tmp_path: Path) -> None:
    """A mistake in the file is named, with exit code 78."""
    (tmp_path / "c.toml").write_text("[shoes]\n")
    done = run(tmp_path, "sessions", "list", "--config", str(tmp_path / "c.toml"))
    assert done.exit_code == 78
    assert "shoes" in done.stderr


def test_backup(state: Path, tmp_path: Path) -> None:
    """The copy is a whole journal of its owner's alone; no folder is made up and no file written over."""
    target = tmp_path / "copies" / JOURNAL
    lost = run(state, "backup", str(target))
    assert lost.exit_code == 75
    assert lost.stderr == f"oc-trio: there is no folder {target.parent} to copy to\n"
    target.parent.mkdir()
    done = run(state, "backup", str(target))
    assert (done.exit_code, done.output) == (0, f"copied to {target}\n")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert "alice-id" in run(target.parent, "pairing", "list").output
    again = run(state, "backup", str(target))
    assert again.exit_code == 75
    assert again.stderr == f"oc-trio: {target} exists already; a copy never overwrites a file\n"


@pytest.mark.parametrize("leads_to", ["nowhere", "victim"])
def test_backup_follows_no_link(state: Path, tmp_path: Path, leads_to: str) -> None:
    """A link of another user's in the target's place is refused, whether it leads to a file or to none."""
    folder = tmp_path / "copies"
    folder.mkdir()
    (folder / "victim").write_text("precious")
    (folder / "copy").symlink_to(leads_to)
    done = run(state, "backup", str(folder / "copy"))
    assert (done.exit_code, done.stdout) == (75, "")
    assert done.stderr == f"oc-trio: {folder / 'copy'} exists already; a copy never overwrites a file\n"
    assert sorted(path.name for path in folder.iterdir()) == ["copy", "victim"]
    assert (folder / "victim").read_text() == "precious"


def test_a_state_that_others_can_change(state: Path, tmp_path: Path) -> None:
    """A folder that all may write, or a link in it: refused with exit code 78 and what to do."""
    state.chmod(0o777)
    done = run(state, "sessions", "list")
    assert (done.exit_code, done.stdout) == (78, "")
    assert done.stderr.endswith(f"chmod 700 {state}\n")
    state.chmod(0o700)
    (state / f"{JOURNAL}.lock").unlink()
    (state / f"{JOURNAL}.lock").symlink_to(tmp_path / "victim")
    done = run(state, "backup", str(tmp_path / "copy"))
    assert (done.exit_code, done.stdout) == (78, "")
    assert f"({JOURNAL}.lock): remove them" in done.stderr


def test_a_row_that_can_not_be_read(state: Path) -> None:
    """The journal is damaged (65), and the row is named."""
    with closing(sqlite3.connect(state / JOURNAL)) as connection, connection:
        connection.execute("UPDATE transcripts SET entry = '{'")
    done = run(state, "sessions", "show", SESSION)
    assert (done.exit_code, done.stdout) == (65, "")
    assert f"the journal is damaged: a row of transcripts, session {SESSION}, can't be read" in done.stderr
