"""The world on a real port."""

from functools import partial

import httpx
import trio

from oc_trio.sandbox.serve import serve
from tests.sandbox.conftest import SandboxClients


async def test_a_bound_url_answers_and_becomes_the_site_url(sandbox: SandboxClients, nursery: trio.Nursery) -> None:
    """`started` gives the URL; the configuration names it; the chat page is at its root."""
    url: str = await nursery.start(partial(serve, sandbox.world, port=0))
    async with httpx.AsyncClient(base_url=url, trust_env=False, verify=False) as client:
        ping = await client.get("/api/v4/system/ping")
        config = await client.get("/api/v4/config/client")
        page = await client.get("/")
    assert ping.json()["status"] == "OK"
    assert config.json()["SiteURL"] == url
    assert page.headers["content-type"].startswith("text/html")
    nursery.cancel_scope.cancel()
