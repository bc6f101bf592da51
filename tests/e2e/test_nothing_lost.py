"""Outage, crash, lost answers: every mention is answered, and answered once. Real processes, real seconds."""

import os
import signal
from itertools import count
from pathlib import Path

import pytest
import trio

from tests.e2e.deployment import open_deployment
from tests.e2e.proxy import open_proxy

pytestmark = pytest.mark.e2e

OUTAGE_SECONDS = 10.0 if os.environ.get("OC_TRIO_SLOW") == "1" else 3.0


async def test_an_outage(tmp_path: Path) -> None:
    """What was posted while the connection was down is answered after it, all of it, once."""
    async with (
        open_deployment(tmp_path) as deployment,
        open_proxy(deployment.base) as (proxy, url),
        deployment.gateway(deployment.config(base=url)) as gateway,
    ):
        posts = [await deployment.alice.say("@bot before")]
        await deployment.alice.wait_answer(posts[0], deployment.last_word)
        proxy.cut()
        for number in range(6):
            posts.append(await deployment.alice.say(f"@bot during {number}"))
            await trio.sleep(OUTAGE_SECONDS / 6)
        assert await deployment.alice.answers(posts[1]) == []
        proxy.mend()
        posts.append(await deployment.alice.say("@bot after"))
        for post in posts:
            await deployment.alice.wait_answer(post, deployment.last_word)
        await trio.sleep(1.0)  # a second answer would come about now
        for post in posts:
            assert len(await deployment.alice.answers(post)) == 1
        assert await gateway.end(signal.SIGTERM) == 0


async def test_an_outage_while_answering(tmp_path: Path) -> None:
    """An answer that was being written when the connection went down ends in the same post."""
    async with (
        open_deployment(tmp_path, tokens=20, delay_ms=100) as deployment,
        open_proxy(deployment.base) as (proxy, url),
        deployment.gateway(deployment.config(base=url)),
    ):
        post = await deployment.alice.say("@bot hello")
        started = await deployment.alice.wait_draft(post)
        proxy.cut()
        await trio.sleep(OUTAGE_SECONDS)
        proxy.mend()
        answer = await deployment.alice.wait_answer(post, deployment.last_word)
        assert answer["id"] == started["id"]


async def test_a_crash_in_mid_answer(tmp_path: Path) -> None:
    """After SIGKILL, the next start goes on in the same post, and answers what was posted meanwhile."""
    async with open_deployment(tmp_path, tokens=30, delay_ms=100) as deployment:
        config = deployment.config()
        async with deployment.gateway(config) as gateway:
            interrupted = await deployment.alice.say("@bot first")
            started = await deployment.alice.wait_draft(interrupted)
            assert await gateway.end(signal.SIGKILL) == -signal.SIGKILL
        assert deployment.last_word not in started["message"]
        meanwhile = [await deployment.alice.say(f"@bot meanwhile {number}") for number in range(3)]
        async with deployment.gateway(config) as gateway:
            answer = await deployment.alice.wait_answer(interrupted, deployment.last_word)
            for post in meanwhile:
                await deployment.alice.wait_answer(post, deployment.last_word)
            assert await gateway.end(signal.SIGTERM) == 0
        assert answer["id"] == started["id"]
        # A finished answer is not touched again.
        async with deployment.gateway(config) as gateway:
            await trio.sleep(1.0)
            assert await deployment.alice.answers(interrupted) == [answer]


async def test_every_third_answer_lost(tmp_path: Path) -> None:
    """Each write is carried out, but every third answer to one gets lost: nothing doubled, nothing missing."""
    writes = count(1)

    def third(head: bytes) -> bool:
        return head.startswith((b"POST /api/v4/posts ", b"PUT /api/v4/posts/")) and next(writes) % 3 == 0

    async with (
        open_deployment(tmp_path, tokens=40, delay_ms=20) as deployment,
        open_proxy(deployment.base, loses=third) as (proxy, url),
        deployment.gateway(deployment.config(base=url)) as gateway,
    ):
        posts = [await deployment.alice.say(f"@bot question {number}") for number in range(9)]
        for post in posts:
            answer = await deployment.alice.wait_answer(post, deployment.last_word)
            assert len(answer["message"].split()) == 40
        await trio.sleep(1.0)
        for post in posts:
            assert len(await deployment.alice.answers(post)) == 1
        assert proxy.lost >= 5
        assert await gateway.end(signal.SIGTERM) == 0
