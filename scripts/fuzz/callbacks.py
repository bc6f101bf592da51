"""Throws hostile requests at the public port for a while: no answer may be 500, and memory may not grow.

    python -m scripts.fuzz.callbacks --seconds 60

Exit code 1 with the offending request, or with the growth, when the port fails.
"""

import argparse
import gc
import json
import logging
import sys
import time
import tracemalloc
from collections import Counter
from typing import Any
from urllib.parse import urlencode

import structlog
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oc_trio.callbacks.request_limiter import Limits
from oc_trio.signing import sign_context
from tests.callbacks.callers import BOT_TOKEN, CLICK_PATH, COMMAND_PATH, FORM, HOOK_TOKEN, Port, open_port

GROWTH_BYTES = 500_000  # what the port and its libraries may hold more at the end than after the warm-up
_OURS = ("*/oc_trio/*", "*/quart/*", "*/quart_trio/*", "*/werkzeug/*", "*/flask/*", "*/trio/*", "*/structlog/*")
BATCH = 300
UNHEALTHY = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)

TEXTS = st.text(max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=20,
)


def _bytes(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _signed(context: dict[str, Any]) -> dict[str, Any]:
    try:
        return sign_context(BOT_TOKEN, context)
    except (ValueError, TypeError):
        return context


CONTEXTS = st.dictionaries(st.sampled_from(["action_id", "_token", "__oc_expires_at", "x"]) | TEXTS, JSON, max_size=6)
CLICKS = st.fixed_dictionaries(
    {},
    optional={
        "user_id": st.just("u1") | JSON,
        "channel_id": st.just("chan1") | JSON,
        "post_id": st.just("p1") | JSON,
        "type": st.sampled_from(["button", "select", "dialog_submission"]) | JSON,
        "context": CONTEXTS.map(_signed) | CONTEXTS | JSON,
        "state": TEXTS | CONTEXTS.map(_signed).map(json.dumps),
        "submission": JSON,
    },
).map(_bytes)
FORMS = st.dictionaries(st.sampled_from(list(FORM)) | TEXTS, TEXTS, max_size=9).map(
    lambda fields: urlencode({**FORM, **fields}, errors="surrogatepass").encode()
)
BODIES = st.one_of(
    st.binary(max_size=400),
    JSON.map(_bytes),
    CLICKS,
    FORMS,
    st.integers(1, 70_000).map(lambda size: b"[" * size),
    st.sampled_from([b"\xff\xfe", b"{}", b"[]", b"null", b"NaN", b"1e999", b'{"a":' * 2000, b"%ff=%zz&&==&" * 20]),
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Content-Type": st.sampled_from(
            ["application/json", "application/x-www-form-urlencoded", "text/plain", "multipart/form-data", "x", ""]
        ),
        "Content-Length": st.sampled_from(["0", "-1", "99999999999999999999", "abc"]),
        "Authorization": st.sampled_from(["Token tok-status", f"Bearer {HOOK_TOKEN}", "Bearer", "é", "Token " * 50]),
        "X-Forwarded-For": st.sampled_from(["127.0.0.1", "::1", "not, an, address", "," * 200]),
        "Idempotency-Key": st.sampled_from(["k", "k" * 300, ""]),
    },
)
PATHS = st.sampled_from(
    [COMMAND_PATH, CLICK_PATH, "/hooks/agent", "/hooks/wake", "/hooks/deliver", "/", "/hooks/%2e%2e", "/%00", "//x"]
)
METHODS = st.sampled_from(["POST"] * 8 + ["GET", "PUT", "OPTIONS", "TRACE"])
REQUESTS = st.one_of(
    st.tuples(METHODS, PATHS, HEADERS, BODIES),
    st.tuples(st.just("POST"), st.just(CLICK_PATH), st.just({}), CLICKS),
    st.tuples(st.just("POST"), st.just(COMMAND_PATH), st.just({"Content-Type": "application/json"}), JSON.map(_bytes)),
    st.tuples(
        st.just("POST"), st.just(COMMAND_PATH), st.just({"Content-Type": "application/x-www-form-urlencoded"}), FORMS
    ),
)


def run(seconds: float) -> int:
    port = open_port(limits=Limits(rate=1e9, burst=1e9))
    statuses: Counter[int] = Counter()
    deadline, base = time.monotonic() + seconds, 0
    tracemalloc.start()
    batches = 0
    while time.monotonic() < deadline:
        trio.run(_batch, port, statuses)
        batches += 1
        port.handler.calls.clear()
        port.handler.clicks.clear()
        port.handler.hooks.clear()
        port.handler.dialogs.clear()
        if batches == 3:
            base = _held()
    grown = _held() - base if base else 0
    answers = dict(sorted(statuses.items()))
    print(f"{sum(statuses.values())} requests: {answers}; held {base / 1024:.0f} KiB, grown by {grown / 1024:.0f} KiB")
    return 1 if grown > GROWTH_BYTES else 0


def _held() -> int:
    """Bytes held by allocations of the port and its libraries; Hypothesis keeps what it has tried."""
    gc.collect()
    filters = [tracemalloc.Filter(True, pattern) for pattern in _OURS]
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(filters).traces)


async def _batch(port: Port, statuses: Counter[int]) -> None:
    requests: list[tuple[str, str, dict[str, str], bytes]] = []

    @settings(max_examples=BATCH, database=None, deadline=None, suppress_health_check=UNHEALTHY)
    @given(REQUESTS)
    def collect(request: tuple[str, str, dict[str, str], bytes]) -> None:
        requests.append(request)

    collect()
    for method, path, headers, body in requests:
        with trio.fail_after(20):
            status, _, _ = await port.post(path, body, method=method, headers=headers)
        statuses[status] += 1
        if status >= 500 and status != 503:
            print(f"{status} for {method} {path} {headers} {body[:2000]!r}", file=sys.stderr)
            raise SystemExit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    sys.exit(run(parser.parse_args().seconds))


if __name__ == "__main__":
    main()
