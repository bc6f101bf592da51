"""Files and buttons of an answer: sent where they can be, reported where not, and the words never lost."""

import json
from pathlib import Path

import httpx
import pytest
import trio
import trio.testing
from attrs import evolve

from oc_trio.agent.port import TurnRequest
from oc_trio.agent.scripted import Attach, Say
from oc_trio.core.presentation import Rows
from oc_trio.core.turn_events import Button, Final, Media
from oc_trio.ids import ChannelId
from oc_trio.lease import LEASE_SECONDS
from oc_trio.runtime.delivery.fetch import Fetcher, MediaRefused
from oc_trio.runtime.delivery.uploads import SentFile
from oc_trio.runtime.turn.result import TurnResult, with_buttons
from oc_trio.sandbox import records
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from tests.logbook import Logbook
from tests.runtime.harness import Harness
from tests.runtime.processes import Processes, leases


@pytest.fixture
def clock() -> trio.testing.MockClock:
    """Files are looked at in threads, which a clock that jumps at once would not wait for."""
    return trio.testing.MockClock(autojump_threshold=0.01)


def names_of(harness: Harness) -> list[list[str]]:
    return [sorted(harness.world.files.get(file_id).name for file_id in post.file_ids) for post in harness.ours()]


async def test_files_go_with_the_answer(clock: trio.abc.Clock, harness: Harness, tmp_path: Path) -> None:
    """The words and up to ten files are one post, the other files follow; the preview is removed."""
    paths = [tmp_path / f"{number}.txt" for number in range(12)]
    for path in paths:
        path.write_text(path.name)
    await harness.start()
    harness.script = [Say("Here they are.", 0.3), Attach(media=tuple(Media(path=str(path)) for path in paths))]
    question = harness.say("@helper files")
    await harness.settled()
    assert harness.answers() == ["Here they are.", ""]
    assert names_of(harness) == [[f"{number}.txt" for number in range(10)], ["10.txt", "11.txt"]]
    assert await harness.state(question) == "delivered"


async def test_a_file_that_is_not_there(clock: trio.abc.Clock, harness: Harness, tmp_path: Path) -> None:
    """It is named below the words; the other file goes out."""
    (tmp_path / "good.txt").write_text("good")
    await harness.start()
    media = (Media(path=str(tmp_path / "bad.pdf")), Media(path=str(tmp_path / "good.txt")))
    harness.script = [Say("Here.", 0.3), Attach(media=media)]
    question = harness.say("@helper files")
    await harness.settled()
    assert harness.answers() == ["Here.\n\n⚠️ The file `bad.pdf` could not be attached: it does not exist."]
    assert names_of(harness) == [["good.txt"]]
    assert await harness.state(question) == "delivered"


async def test_a_file_without_words(clock: trio.abc.Clock, harness: Harness, tmp_path: Path) -> None:
    """The file is the answer; if it can't be had, saying so is."""
    (tmp_path / "good.txt").write_text("good")
    await harness.start()
    harness.script = [Attach(media=(Media(path=str(tmp_path / "good.txt")),))]
    harness.say("@helper one")
    await harness.settled()
    harness.script = [Attach(media=(Media(path=str(tmp_path / "bad.txt")),))]
    harness.say("@helper two")
    await harness.settled()
    assert harness.answers() == ["", "⚠️ The file `bad.txt` could not be attached: it does not exist."]


@pytest.mark.parametrize(
    "media",
    [
        Media(path="/tmp/a\0b"),
        Media(path="/" + "x" * 5_000),
        Media(url="http://["),
        Media(url="http://[::1"),
        Media(url="http://xn--/"),
        Media(url="http://a.test:99999999/x"),
        Media(url="not an address"),
        Media(),
    ],
    ids=repr,
)
async def test_a_file_that_can_not_be_named(clock: trio.abc.Clock, harness: Harness, media: Media) -> None:
    """An odd path or address is a file that could not be attached, and the words stand."""
    await harness.start()
    harness.script = [Say("Here.", 0.3), Attach(media=(media,))]
    question = harness.say("@helper files")
    await harness.settled()
    (answer,) = harness.answers()
    assert answer.startswith("Here.\n\n⚠️ The file `")
    assert "could not be attached: " in answer
    assert await harness.state(question) == "delivered"


async def test_an_address_inside(clock: trio.abc.Clock, harness: Harness) -> None:
    """The operator's own network is not fetched from, although the chat server may be there."""
    await harness.start()
    harness.script = [Say("Here.", 0.3), Attach(media=(Media(url="http://127.0.0.1:9/secret.txt"),))]
    harness.say("@helper files")
    await harness.settled()
    assert harness.answers() == [
        "Here.\n\n⚠️ The file `secret.txt` could not be attached: it can't be fetched from a public address."
    ]


async def test_a_file_after_a_crash(clock: trio.abc.Clock, harness: Harness, tmp_path: Path) -> None:
    """The process dies during the upload: the answer goes out once, with the file."""
    (tmp_path / "good.txt").write_text("good")
    await harness.start()
    uploading = trio.Event()

    async def hang(request: SandboxRequest) -> SandboxResponse | None:
        if request.path.endswith("/files"):
            uploading.set()
            await trio.sleep(20)
        return None

    harness.faults.before_rules.append(hang)
    harness.script = [Say("Here.", 0.3), Attach(media=(Media(path=str(tmp_path / "good.txt")),))]
    question = harness.say("@helper files")
    await uploading.wait()
    await harness.crash()
    harness.faults.before_rules.remove(hang)
    await harness.start()
    await harness.settled()
    assert (harness.answers(), names_of(harness)) == (["Here."], [["good.txt"]])
    assert len(harness.agent.requests) == 1
    assert await harness.state(question) == "delivered"


async def crashed_behind(harness: Harness, tmp_path: Path, *names: str, uploads: int) -> records.PostRecord:
    """The process dies when so many of the answer's files are on the server and nothing of the answer is."""
    for name in names:
        (tmp_path / name).write_text(name)
    await harness.start()
    reached = trio.Event()

    async def hang(request: SandboxRequest) -> SandboxResponse | None:
        is_upload = request.path.endswith("/files")
        if (is_upload and len(uploaded(harness)) == uploads) or b'"file_ids":["' in request.body:
            reached.set()
            await trio.sleep(20)
        return None

    harness.faults.before_rules.append(hang)
    harness.script = [Say("Here.", 0.3), Attach(media=tuple(Media(path=str(tmp_path / name)) for name in names))]
    question = harness.say("@helper files")
    await reached.wait()
    await harness.crash()
    harness.faults.before_rules.remove(hang)
    return question


def uploaded(harness: Harness) -> list[str]:
    return [info.name for info in harness.world.files._by_id.values()]


@pytest.mark.parametrize("count", [1, 2])
async def test_what_was_uploaded_is_not_uploaded_again(
    clock: trio.abc.Clock, harness: Harness, tmp_path: Path, count: int
) -> None:
    """A crash behind an upload leaves it to the next run: each file is on the server once, and in the answer."""
    question = await crashed_behind(harness, tmp_path, "one.txt", "two.txt", uploads=count)
    assert len(uploaded(harness)) == count
    await harness.start()
    await harness.settled()
    assert (harness.answers(), names_of(harness)) == (["Here."], [["one.txt", "two.txt"]])
    assert sorted(uploaded(harness)) == ["one.txt", "two.txt"]
    assert await harness.state(question) == "delivered"


async def test_an_upload_that_the_server_lost(clock: trio.abc.Clock, harness: Harness, tmp_path: Path) -> None:
    """It is uploaded again: with its old id the post would stand without it, and nobody would be told."""
    question = await crashed_behind(harness, tmp_path, "one.txt", "two.txt", uploads=2)
    lost = next(info for info in harness.world.files._by_id.values() if info.name == "one.txt")
    lost.delete_at = 1
    await harness.start()
    await harness.settled()
    assert (harness.answers(), names_of(harness)) == (["Here."], [["one.txt", "two.txt"]])
    assert sorted(uploaded(harness)) == ["one.txt", "one.txt", "two.txt"]
    assert await harness.state(question) == "delivered"


@pytest.mark.slow
async def test_a_file_that_the_end_of_a_lease_cut_off(
    clock: trio.abc.Clock, harness: Harness, processes: Processes, tmp_path: Path, logbook: Logbook
) -> None:
    """The database renews nothing for a while, and then nobody else has taken over: the file is in the answer."""
    (tmp_path / "good.txt").write_text("good")
    process = await processes.start()

    def script(_: TurnRequest) -> list[object]:
        # The machine has slept for a moment: what begins now ends before the tasks that ran already.
        process.slept, process.latency, process.held_back = 3.0, 8.0, "/files"
        return [Say("Here."), Attach(media=(Media(path=str(tmp_path / "good.txt")),))]

    harness.script = script
    question = harness.say("@helper files")
    await trio.sleep(LEASE_SECONDS)
    assert [what for _, what in process.sent if what.endswith("/files")] == ["POST /api/v4/files"]
    process.latency, process.held_back = 0.0, ""
    await trio.sleep(LEASE_SECONDS)
    await harness.settled()
    assert (harness.answers(), names_of(harness)) == (["Here."], [["good.txt"]])
    assert await harness.state(question) == "delivered"
    assert leases(harness)["default"][1] == 2
    assert logbook.find("an account stops here: its lease has ended")


@pytest.mark.parametrize("status", [403, 500])
async def test_a_server_that_does_not_tell(
    clock: trio.abc.Clock, harness: Harness, tmp_path: Path, status: int
) -> None:
    """An upload that can't be looked at counts as there."""
    await crashed_behind(harness, tmp_path, "one.txt", uploads=1)

    async def refuse(request: SandboxRequest) -> SandboxResponse | None:
        return SandboxResponse.json({"id": "x", "message": "no"}, status) if request.path.endswith("/info") else None

    harness.faults.before_rules.append(refuse)
    await harness.start()
    await harness.settled()
    assert (harness.answers(), names_of(harness), uploaded(harness)) == (["Here."], [["one.txt"]], ["one.txt"])


async def test_a_file_that_was_missing_before_a_crash(clock: trio.abc.Clock, harness: Harness, tmp_path: Path) -> None:
    """What was written down of it stays, although the file is there now: the answer may have been read already."""
    missing = tmp_path / "late.txt"
    question = await crashed_behind(harness, tmp_path, "one.txt", uploads=9)
    turn = (await harness.store.turns.unfinished(harness.account))[0]
    result = TurnResult.from_json(turn.final)
    media, files = (*result.media, Media(path=str(missing))), (*result.files, SentFile(problem="No late.txt."))
    await harness.store.turns.set_final(turn.id, evolve(result, media=media, files=files).to_json())
    missing.write_text("late")
    await harness.start()
    await harness.settled()
    assert (harness.answers(), names_of(harness)) == (["Here.\n\n⚠️ No late.txt."], [["one.txt"]])
    assert await harness.state(question) == "delivered"


def serving(answers: dict[str, httpx.Response]) -> Fetcher:
    return Fetcher(transport=httpx.MockTransport(lambda request: answers[str(request.url)]))


async def test_fetching_follows_redirects() -> None:
    """To other web addresses only, and not for ever."""
    fetch = serving(
        {
            "https://a.test/x": httpx.Response(302, headers={"location": "/y"}),
            "https://a.test/y": httpx.Response(200, content=b"content"),
            "https://a.test/loop": httpx.Response(302, headers={"location": "/loop"}),
            "https://a.test/file": httpx.Response(302, headers={"location": "file:///etc/passwd"}),
            "https://a.test/gone": httpx.Response(404),
        }
    )
    assert (await fetch("https://a.test/x", 100)).content == b"content"
    for name in ("loop", "file", "gone"):
        with pytest.raises(MediaRefused):
            await fetch(f"https://a.test/{name}", 100)
    with pytest.raises(MediaRefused, match="larger than 3 bytes"):
        await fetch("https://a.test/y", 3)


ROWS = ((Button("Yes", "yes"), Button("Docs", url="https://example.com")),)


def test_buttons_become_props() -> None:
    """Where clicks can be received; links become text."""

    def props(channel_id: ChannelId, rows: Rows) -> str:
        return json.dumps([channel_id, [[button.label for button in row] for row in rows]])

    end, made = with_buttons(Final("Shall I?", buttons=ROWS), props, ChannelId("c"))
    assert (end.text, made) == ("Shall I?\n\n- [Docs](https://example.com)", '["c", [["Yes"]]]')
    assert end.buttons == ((ROWS[0][0],),)


def test_buttons_without_receiver_become_text() -> None:
    """Nothing that can't be clicked is offered."""
    end, made = with_buttons(Final("", buttons=ROWS), lambda _channel, _rows: "", ChannelId("c"))
    assert (end.text, made, end.buttons) == ("- [Docs](https://example.com)\n- Yes", "", ())


def test_buttons_alone() -> None:
    """A post of nothing but buttons gets words to stand under."""
    end, _ = with_buttons(Final("", buttons=((Button("Yes", "yes"),),)), lambda _channel, _rows: "{}", ChannelId("c"))
    assert end.text == "Please choose:"
