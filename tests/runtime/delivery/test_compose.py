"""How a message becomes posts, and what is reported of files, failures and lost answers."""

from pathlib import Path

import httpx
import pytest
from attrs import evolve

from oc_trio.core.presentation import Presentation, read_buttons
from oc_trio.errors import MattermostRejected, UnknownTarget
from oc_trio.ids import PostId
from oc_trio.runtime.delivery.attachments import MediaLoader
from oc_trio.runtime.delivery.compose import EmptyMessage, MessageRequest
from oc_trio.runtime.delivery.fetch import Fetcher
from oc_trio.sandbox.faults import Faults
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from tests.runtime.outbound_world import in_no_time, open_outbound_world


class Flaky(Faults):
    """Answers 503 to the first `times` requests whose path ends so; counts them all."""

    def __init__(self, path: str, times: int, *, applied: bool = False) -> None:
        self.path, self.left, self.applied, self.seen = path, times, applied, 0

    async def before(self, request: SandboxRequest) -> SandboxResponse | None:
        if request.method == "POST" and request.path.endswith(self.path):
            self.seen += 1
            if self.left and not self.applied:
                self.left -= 1
                return SandboxResponse(503, (), b"")
        return None

    async def after(self, request: SandboxRequest, response: SandboxResponse) -> SandboxResponse:
        if self.applied and self.left and request.method == "POST" and request.path.endswith(self.path):
            self.left -= 1
            raise httpx.ReadError("the answer is lost")
        return response


@in_no_time
async def test_a_long_text_goes_on_in_further_posts_with_files_and_buttons_on_the_last(tmp_path: Path) -> None:
    """Words in order; what can be clicked stands below them."""
    file = tmp_path / "a.txt"
    file.write_text("a")
    shown = read_buttons([[{"text": "Yes", "callback_data": "y"}]])
    settings = {"textChunkLimit": 30, "capabilities": ["inlineButtons"]}
    async with open_outbound_world(settings) as place:
        found = await place.outbound.targets.resolve("#square")
        composed = await place.outbound.compose(
            found, MessageRequest("word " * 15, (str(file),), shown), from_disk=True
        )
        sent_posts = await place.outbound.post_now(composed)
        posts = [place.world.posts.live(post) for post in sent_posts.posts]
        assert [len(post.message) for post in posts] == [29, 29, 14]
        assert [len(post.file_ids) for post in posts] == [0, 0, 1]
        assert ["attachments" in post.props for post in posts] == [False, False, True]
        assert sent_posts.is_complete


@in_no_time
async def test_a_lost_answer_makes_no_second_post() -> None:
    """The post was made though its answer was lost: a look for its key finds it, and nothing is sent again."""
    faults = Flaky("/posts", 1, applied=True)
    async with open_outbound_world(faults=faults) as place:
        found = await place.outbound.targets.resolve("#square")
        sent_posts = await place.outbound.post_now(await place.outbound.compose(found, MessageRequest("once")))
        assert faults.seen == 1
        assert [entry.message for entry in place.world.transcript(place.square)] == ["once"]
        assert sent_posts.is_complete


@pytest.mark.parametrize(("failures", "sent"), [(3, True), (4, False)], ids=["heals", "is given up"])
@in_no_time
async def test_an_upload_is_tried_four_times(tmp_path: Path, failures: int, sent: bool) -> None:
    """A server that is busy for a moment costs no file; one that stays away costs only the file."""
    file = tmp_path / "a.txt"
    file.write_text("a")
    async with open_outbound_world(faults=Flaky("/files", failures)) as place:
        found = await place.outbound.targets.resolve("#square")
        composed = await place.outbound.compose(found, MessageRequest("x", (str(file),)), from_disk=True)
        sent_posts = await place.outbound.post_now(composed)
        assert sent_posts.is_complete is sent
        assert len(sent_posts.posts) == 1


@in_no_time
async def test_progress_tells_name_bytes_and_size(tmp_path: Path) -> None:
    """The count grows to the file's size."""
    file, progress = tmp_path / "a.bin", list[tuple[str, int, int]]()
    file.write_bytes(b"x" * 3_000_000)
    async with open_outbound_world() as place:
        found = await place.outbound.targets.resolve("#square")
        message = MessageRequest(media=(str(file),))
        await place.outbound.compose(found, message, from_disk=True, on_progress=lambda *now: progress.append(now))
    counts = [sent for _, sent, _ in progress]
    assert len(counts) > 1
    assert counts == sorted(counts)
    assert progress[-1] == ("a.bin", 3_000_000, 3_000_000)


@in_no_time
async def test_paths_are_read_only_where_that_is_allowed(tmp_path: Path) -> None:
    """What an agent names is never a file of the gateway."""
    secret = tmp_path / "secret"
    secret.write_text("x")
    async with open_outbound_world() as place:
        found = await place.outbound.targets.resolve("#square")
        composed = await place.outbound.compose(found, MessageRequest("x", (str(secret),)))
        assert "no files of the gateway" in composed.attachments[0].problem


class Web(httpx.AsyncBaseTransport):
    """A web server in process: a picture, a redirect to it, and too much."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        match request.url.path:
            case "/pic.png":
                return httpx.Response(200, content=b"\x89PNG\r\n\x1a\n...")
            case "/moved":
                return httpx.Response(302, headers={"Location": "https://web.test/pic.png"})
            case "/round":
                return httpx.Response(302, headers={"Location": "https://web.test/round"})
            case "/":
                return httpx.Response(200, content=b"%PDF-1.7")
            case "/huge":
                return httpx.Response(200, content=b"x" * 2000)
        return httpx.Response(404)


@pytest.mark.parametrize(
    ("url", "name", "problem"),
    [
        ("https://web.test/pic.png?x=1", "pic.png", ""),
        ("https://web.test/moved", "pic.png", ""),
        ("https://web.test/", "upload.pdf", ""),
        ("https://web.test/round", "", "can't be fetched"),
        ("https://web.test/none", "", "answers 404"),
        ("https://web.test/huge", "", "larger than 1000 bytes"),
    ],
    ids=["named", "redirected", "named by content", "endless redirect", "missing", "too large"],
)
@in_no_time
async def test_addresses_are_fetched(url: str, name: str, problem: str) -> None:
    """A file's name comes from its address, its bounds are kept, failures are told in words."""
    async with open_outbound_world() as place:
        files = place.outbound.uploader.files
        media = MediaLoader(1000, files, Fetcher(transport=Web()))
        outbound = evolve(place.outbound, uploader=evolve(place.outbound.uploader, media=media))
        found = await outbound.targets.resolve("#square")
        [attachment] = (await outbound.compose(found, MessageRequest("x", (url,)))).attachments
        assert attachment.name == name
        assert problem in attachment.problem
        assert bool(attachment.file_id) is not bool(problem)


@in_no_time
async def test_what_is_empty_or_elsewhere_is_refused() -> None:
    """An empty message, an unknown post and a post of another channel are told before anything is sent."""
    async with open_outbound_world() as place:
        found = await place.outbound.targets.resolve("#square")
        away = place.world.create_channel(place.team, "away", place.alice, place.bot)
        there = place.world.post_as(place.alice, away, "there")
        with pytest.raises(EmptyMessage):
            await place.outbound.compose(found, MessageRequest("  ", presentation=Presentation()))
        with pytest.raises(UnknownTarget, match="another channel"):
            await place.outbound.compose(found, MessageRequest("x", reply_to=there.id))
        with pytest.raises(UnknownTarget, match="no post"):
            await place.outbound.compose(found, MessageRequest("x", reply_to="z" * 26))
        with pytest.raises(MattermostRejected, match="it is not @helper's"):
            await place.outbound.edit(PostId(there.id), "mine now")


@in_no_time
async def test_a_server_that_stays_away_is_told_with_what_is_left() -> None:
    """Posts that are out are named, the rest is a problem."""
    async with open_outbound_world({"textChunkLimit": 10}) as place:
        found = await place.outbound.targets.resolve("#square")
        composed = await place.outbound.compose(found, MessageRequest("one two three four"))
        place.world.membership.archive(place.square, place.alice)
        sent_posts = await place.outbound.post_now(composed)
        assert sent_posts.posts == ()
        assert sent_posts.problems[0].startswith("2 of 2 posts not sent")
