"""Runs all benchmarks and writes docs/performance.json, the page's figures and its charts: the run of record.

    python scripts/bench/all.py                              # about twenty minutes on a quiet machine
    python scripts/bench/all.py --only quiet_turn,start      # these anew; the others keep their figures
    python scripts/bench/all.py --out /tmp/mine.json         # the JSON only, nothing of the documentation

Exit code 1 where a benchmark failed; its earlier figures stay.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench import catch_up, hour, ignored_posts, quiet_turn, start
from scripts.bench.page import DOCS, RECORD, write
from scripts.bench.processes import HERE, progress

BURST = ("--tokens", "50", "--delay-ms", "20")
LIVE = ("--live", "1000", "--seconds", "60", "--ramp", "20", "--patience", "240")


def turns(*arguments: str) -> dict[str, Any]:
    """One run of `turns.py`, which prints a line of JSON."""
    ran = subprocess.run(
        [sys.executable, str(HERE / "turns.py"), *arguments], stdout=subprocess.PIPE, text=True, check=True
    )
    result: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return result


BENCHES: dict[str, Callable[[], dict[str, Any]]] = {
    "turns_50": lambda: turns("--threads", "50", *BURST),
    "turns_200": lambda: turns("--threads", "200", *BURST),
    "live_1000": lambda: turns(*LIVE),
    "quiet_turn": quiet_turn.measure,
    "ignored_posts": ignored_posts.measure,
    "catch_up": catch_up.measure,
    "start": start.measure,
    "hour": hour.measure,
}


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cores": os.cpu_count(),
        "cpu": models[0].partition(":")[2].strip() if models else platform.machine(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }


def run(names: list[str], record: dict[str, Any]) -> list[str]:
    """Run the benchmarks `names` and put their results into `record`; the names of those that failed."""
    failed = []
    record |= {"date": time.strftime("%Y-%m-%d", time.gmtime()), "machine": machine()}
    for name in names:
        began = time.monotonic()
        progress(f"{name} ...")
        try:
            record["results"][name] = BENCHES[name]()
        except (SystemExit, subprocess.SubprocessError, OSError, KeyError) as problem:
            progress(f"{name} failed: {problem}")
            failed.append(name)
        progress(f"{name}: {time.monotonic() - began:.0f} s")
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(BENCHES), help="names, with commas between them")
    parser.add_argument("--out", type=Path, help="write the JSON there, and neither page nor charts")
    given = parser.parse_args()
    names = given.only.split(",")
    if unknown := set(names) - set(BENCHES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    file = given.out or RECORD
    record: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    record.setdefault("results", {})
    failed = run(names, record)
    file.write_text(json.dumps(record, indent=1) + "\n")
    if given.out is None:
        write(record, DOCS)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
