"""`oc-trio` with a count of Trio's tasks, which nothing outside a process can see.

    COUNT_FILE=/tmp/tasks python scripts/bench/counted_run.py run --config oc-trio.toml

The file holds the number of living tasks, at most a quarter of a second old.
"""

import os
import sys
import time
from functools import partial
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from oc_trio.cli.main import main

PAUSE = 0.25


class TaskCount(trio.abc.Instrument):
    """Counts tasks, and writes the count before the loop goes to sleep."""

    def __init__(self, path: Path) -> None:
        self._path, self._count, self._written_at = path, 0, 0.0

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        self._count += 1

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        self._count -= 1

    def before_io_wait(self, timeout: float) -> None:
        if time.monotonic() - self._written_at > PAUSE:
            self._written_at = time.monotonic()
            # In one step: whoever reads between would find nothing.
            other = self._path.with_suffix(".new")
            other.write_text(str(self._count))
            other.replace(self._path)


if __name__ == "__main__":
    count = TaskCount(Path(os.environ["COUNT_FILE"]))
    trio.run = partial(trio.run, instruments=[count])  # type: ignore[assignment]
    main()
