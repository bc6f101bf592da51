"""Mutates recorded answers of every wire for a while: only the edges' own errors may come out, and only clean text.

    python -m scripts.fuzz.wires --seconds 600 --seed 7 --wire openai

The same seed tries the same inputs in the same order. Exit code 1 with the offending input when a wire fails.
"""

import argparse
import logging
import sys
import time
from pathlib import Path

import structlog
from hypothesis import HealthCheck, Phase, given, seed, settings

if __name__ == "__main__":  # also as `python scripts/fuzz/wires.py`
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.wires.wires import WIRES

BATCH = 300
UNHEALTHY = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example)


def run(seconds: float, first_seed: int, names: list[str]) -> int:
    began, tried, number = time.monotonic(), dict.fromkeys(names, 0), first_seed
    while time.monotonic() - began < seconds:
        for name in names:
            try:
                tried[name] += _batch(name, number)
            except Exception:
                print(f"the wire {name} fails with --seed {number} --wire {name!r}", file=sys.stderr)
                raise
            if time.monotonic() - began >= seconds:
                break
        number += 1
    print(f"{sum(tried.values())} inputs, seeds {first_seed} to {number - 1}: {tried}")
    return 0


def _batch(name: str, number: int) -> int:
    wire, count = WIRES[name], 0

    @seed(number)
    @settings(
        max_examples=BATCH,
        database=None,
        deadline=None,
        suppress_health_check=UNHEALTHY,
        phases=(Phase.generate, Phase.shrink),
    )
    @given(wire.inputs)
    def trial(value: object) -> None:
        nonlocal count
        count += 1
        wire.read(value)

    trial()
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--wire", action="append", choices=sorted(WIRES), help="may be repeated; all without it")
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    sys.exit(run(chosen.seconds, chosen.seed, chosen.wire or list(WIRES)))


if __name__ == "__main__":
    main()
