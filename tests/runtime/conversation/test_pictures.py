"""Pictures that people post, as a model's server gets them: a whole gateway, and what stood in the request."""

import base64
import json
import threading
from typing import Any

import httpx
import pytest
import trio
from attrs import define, field
from PIL import Image

from oc_trio.agent.build import AgentSpec, build_agent
from oc_trio.agent.image_bounds import JPEG, PNG, ImageBounds, Picture, image_bounds, narrowest
from oc_trio.agent.port import Agent
from oc_trio.errors import PictureUnusable
from oc_trio.runtime.conversation import pictures
from oc_trio.runtime.conversation.picture_codec import fit
from oc_trio.runtime.conversation.pictures import Pictures
from tests.pictures import animation, encoded, gradient, noise, opened, photo, png_bomb
from tests.runtime.harness import Harness

OPENAI = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "done"}, "finish_reason": "stop"}]}
ANTHROPIC = {
    "type": "message",
    "role": "assistant",
    "content": [{"type": "text", "text": "done"}],
    "stop_reason": "end_turn",
}


@define
class ModelServer(httpx.AsyncBaseTransport):
    """Answers "done" in the form of the API that it is asked by, and keeps the bodies."""

    bodies: list[dict[str, Any]] = field(factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        self.bodies.append(json.loads(await request.aread()))
        answer = ANTHROPIC if request.url.path.endswith("/messages") else OPENAI
        body = httpx.ByteStream(json.dumps(answer).encode())
        return httpx.Response(200, headers={"content-type": "application/json"}, stream=body)

    def agent(self, spec: AgentSpec, _http: httpx.AsyncClient) -> Agent:
        return build_agent(spec, httpx.AsyncClient(transport=self, trust_env=False, verify=False))

    def pictures(self) -> list[tuple[str, bytes]]:
        """Type and bytes of each picture in the last request."""
        found = []
        for message in self.bodies[-1]["messages"]:
            for part in message["content"] if isinstance(message["content"], list) else ():
                if part["type"] == "image_url":
                    head, _, data = part["image_url"]["url"].partition(";base64,")
                    found.append((head.removeprefix("data:"), base64.b64decode(data)))
                elif part["type"] == "image":
                    found.append((part["source"]["media_type"], base64.b64decode(part["source"]["data"])))
        return found

    def words(self) -> str:
        """All texts of the last request."""
        return json.dumps(self.bodies[-1], ensure_ascii=False)


async def inline(fit: pictures.Fit, data: bytes, bounds: ImageBounds, limiter: trio.CapacityLimiter) -> Picture:
    """The mock clock does not wait for threads."""
    async with limiter:
        return fit(data, bounds)


@define
class Counting:
    """Pillow, and how often it was asked."""

    count: int = 0

    def __call__(self, data: bytes, bounds: ImageBounds) -> Picture:
        self.count += 1
        return fit(data, bounds)


async def start(
    harness: Harness, api: str = "openai-completions", *, counting: Counting | None = None, pillow: bool = True
) -> ModelServer:
    server = ModelServer()
    harness.make_agent = server.agent
    harness.pictures = Pictures(counting or fit, run=inline) if pillow else Pictures(None)
    provider = {"api": api, "baseUrl": "http://model.test/v1", "models": [{"id": "script", "images": True}]}
    await harness.start(models={"providers": {"double": provider}})
    return server


def attach(harness: Harness, *files: tuple[str, bytes]) -> tuple[str, ...]:
    return tuple(harness.world.files.add(harness.alice.id, harness.square.id, name, data).id for name, data in files)


async def post(harness: Harness, *files: tuple[str, bytes], root: Any = "") -> Any:
    question = harness.say("@helper look", file_ids=attach(harness, *files), root=root)
    await harness.settled()
    return question


@pytest.mark.slow
@pytest.mark.parametrize(
    ("api", "size"),
    [
        pytest.param("openai-completions", (2048, 1536), id="openai"),
        pytest.param("anthropic-messages", (1568, 1176), id="anthropic"),
    ],
)
async def test_a_photo_is_scaled_down(harness: Harness, api: str, size: tuple[int, int]) -> None:
    """The server gets a JPEG within its bounds, and the model reads of it."""
    server = await start(harness, api)
    data = encoded(noise(2400, 1800), "JPEG", quality=90)
    await post(harness, ("a.jpg", data))
    ((mime, shown),) = server.pictures()
    assert (mime, opened(shown).size) == ("image/jpeg", size)
    assert len(shown) <= 3_700_000 < len(data)
    assert "; the image is attached, scaled down from 2400x1800 pixels]" in server.words()
    assert harness.answers() == ["done"]


@pytest.mark.parametrize(
    ("name", "data", "mime", "mode", "size"),
    [
        pytest.param("a.jpg", encoded(gradient(40, 20).convert("CMYK"), "JPEG"), JPEG, "RGB", (40, 20), id="cmyk"),
        pytest.param("a.jpg", photo(orientation=6, gps=True), JPEG, "RGB", (20, 40), id="rotated"),
        pytest.param("a.png", encoded(Image.new("I;16", (40, 20), 9), "PNG"), PNG, "L", (40, 20), id="16 bits"),
        pytest.param(
            "a.gif",
            encoded(gradient(40, 20).convert("P"), "GIF", transparency=0),
            PNG,
            "RGBA",
            (40, 20),
            id="palette with transparency",
        ),
        pytest.param("a.gif", animation(), PNG, "RGB", (30, 20), id="animated"),
        pytest.param("a.bmp", encoded(gradient(40, 20), "BMP"), PNG, "RGB", (40, 20), id="bmp"),
        pytest.param("a.tif", encoded(gradient(40, 20), "TIFF"), JPEG, "RGB", (40, 20), id="tiff"),
        pytest.param("a.ico", encoded(gradient(16, 16), "ICO", sizes=[(16, 16)]), PNG, "RGB", (16, 16), id="ico"),
        pytest.param("a.avif", encoded(gradient(40, 20), "AVIF"), JPEG, "RGB", (40, 20), id="avif"),
        pytest.param("a.webp", encoded(gradient(40, 20), "WEBP"), JPEG, "RGB", (40, 20), id="webp"),
    ],
)
async def test_what_servers_do_not_take_is_recoded(
    harness: Harness, name: str, data: bytes, mime: str, mode: str, size: tuple[int, int]
) -> None:
    """To what they take, upright, without metadata."""
    server = await start(harness)
    await post(harness, (name, data))
    ((sent_as, shown),) = server.pictures()
    picture = opened(shown)
    assert (sent_as, picture.mode, picture.size) == (mime, mode, size)
    assert b"Alice" not in shown
    assert not dict(picture.getexif())


async def test_what_is_within_bounds_goes_as_it_is(harness: Harness) -> None:
    """WebP and still GIFs too, where the API takes them."""
    server = await start(harness, "anthropic-messages")
    files = [(form, encoded(gradient(40, 20), form)) for form in ("JPEG", "PNG", "GIF", "WEBP")]
    await post(harness, *((f"a.{form.lower()}", data) for form, data in files))
    assert {data for _, data in server.pictures()} == {data for _, data in files}


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        pytest.param("a.png", png_bomb(), "it has too many pixels to be read", id="bomb"),
        pytest.param("a.png", b"\x89PNG\r\n\x1a\n" + bytes(40), "it can't be read as a picture", id="zeros"),
        pytest.param("a.jpg", encoded(noise(90, 90), "JPEG")[:2000], "it is damaged", id="truncated"),
        pytest.param("a.heic", b"\0\0\0\x18ftypheic" + bytes(40), "it can't be read as a picture", id="heic"),
    ],
)
async def test_what_cannot_be_shown_is_said(harness: Harness, name: str, data: bytes, words: str) -> None:
    """The model reads why, the others are shown, and the turn goes on."""
    server = await start(harness)
    good = encoded(gradient(40, 20), "PNG")
    await post(harness, (name, data), ("b.png", good))
    assert server.pictures() == [("image/png", good)]
    assert f"; the image is not shown: {words}]" in server.words()
    assert harness.answers() == ["done"]


@pytest.mark.slow
async def test_pictures_that_are_too_large_together(harness: Harness) -> None:
    """What a request can hold is shown, and of the rest the model is told."""
    server = await start(harness, pillow=False)
    await post(harness, *((f"{name}.png", b"\x89PNG\r\n\x1a\n" + bytes(8_000_000)) for name in "abc"))
    assert len(server.pictures()) == 2
    assert "; the image is not shown: with the others it is too large]" in server.words()
    assert harness.answers() == ["done"]


async def test_a_picture_is_made_fit_once(harness: Harness) -> None:
    """Later turns repeat what was made, for as long as the server still has the file."""
    counting = Counting()
    server = await start(harness, counting=counting)
    root = await post(harness, ("a.jpg", photo(3000, 20)), ("b.png", png_bomb()))
    first = server.pictures()
    assert counting.count == 2
    await post(harness, root=root)
    assert server.pictures() == first
    await post(harness, ("b.png", png_bomb()), root=root)
    assert counting.count == 2


async def test_a_recoded_picture_is_shown_after_a_restart(harness: Harness) -> None:
    """By its file, whose type is not that of what was made of it."""
    server = await start(harness)
    root = await post(harness, ("a.tif", encoded(gradient(40, 20), "TIFF")))
    first = server.pictures()
    await harness.stop()
    server = await start(harness)
    await post(harness, root=root)
    assert server.pictures() == first


async def test_without_pillow(harness: Harness) -> None:
    """What all APIs know goes as it is; of the rest the model is told why it sees nothing."""
    server = await start(harness, pillow=False)
    files = (("a.jpg", photo(3000, 20)), ("b.bmp", encoded(gradient(40, 20), "BMP")))
    root = await post(harness, *files)
    assert server.pictures() == [("image/jpeg", files[0][1])]
    assert f"the image is not shown: {pictures.NO_PILLOW}]" in server.words()
    await post(harness, root=root)
    assert server.pictures() == [("image/jpeg", files[0][1])]


def test_bounds_of_several_models() -> None:
    """A fallback may be asked with the same pictures."""
    both = narrowest([image_bounds("openai-completions"), image_bounds("anthropic-messages")])
    assert (both.kinds, both.edge) == (frozenset({PNG, JPEG}), 1568)


# Threads


@define
class BlockedConversion:
    """A stand-in for Pillow that waits in its thread until it is opened."""

    began: threading.Semaphore = field(factory=lambda: threading.Semaphore(0))
    is_open: threading.Event = field(factory=threading.Event)

    def __call__(self, data: bytes, bounds: ImageBounds) -> Picture:
        self.began.release()
        assert self.is_open.wait(30)
        return Picture(PNG, data + b"!")


async def test_whoever_is_cancelled_does_not_wait(mock_clock: trio.testing.MockClock) -> None:
    """The thread keeps its place until it ends; who waits too long for one is told so."""
    gate = BlockedConversion()
    shop = Pictures(gate)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shop.fitted, b"a", PNG, ImageBounds())
        await trio.to_thread.run_sync(gate.began.acquire)
        nursery.cancel_scope.cancel()
    assert shop.limiter.available_tokens == 0

    async def late() -> None:
        with pytest.raises(PictureUnusable, match="took too long"):
            await shop.fitted(b"c", PNG, ImageBounds())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(late)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(pictures.FIT_SECONDS + 1)
    gate.is_open.set()
    assert (await shop.fitted(b"d", PNG, ImageBounds())).data == b"d!"


async def test_pillow_in_a_thread() -> None:
    """Pictures are scaled in a worker thread, by the Pillow that is installed here."""
    made = await Pictures().fitted(photo(3000, 20, gps=True), JPEG, ImageBounds())
    assert opened(made.data).size == (2048, 14)


async def test_the_memory_is_bounded() -> None:
    """The longest unused goes first."""
    counting = Counting()

    def large(data: bytes, bounds: ImageBounds) -> Picture:
        counting.count += 1
        return Picture(PNG, data * 3_000_000)

    shop = Pictures(large, run=inline)
    for name in b"abcdefaf":
        await shop.fitted(bytes([name]), PNG, ImageBounds())
    assert counting.count == 7  # a was forgotten, f was not
