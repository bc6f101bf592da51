"""An admin API with made-up facts, for looking at its page: `python -m tests.browser.status_server` prints its URL."""

import sys
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import trio

from oc_trio.admin.app import build_admin_app
from oc_trio.admin.server import serve_admin
from oc_trio.ids import AccountId
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.metrics import Metrics


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def journal() -> Mapping[str, Any]:
    return {"database": "sqlite", "schema": 1, "size": 2_621_440, "open_obligations": 1, "sessions": 42}


async def main() -> None:
    health = Health(now_ms)
    health.phase = "serving"
    health.update(
        AccountId("alerts"),
        state="auth_failed",
        bot="alerts",
        detail="401 <b>Invalid</b> or expired session, please login again.",
    )
    health.update(AccountId("default"), state="live", bot="bot")
    app = build_admin_app(health, Metrics(), now_ms=now_ms, journal=journal)
    async with trio.open_nursery() as nursery:
        (url,) = await nursery.start(partial(serve_admin, app, port=0))
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    trio.run(main)
