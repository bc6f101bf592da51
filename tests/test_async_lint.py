"""scripts/async_lint finds what flake8-async does, although it leaves most of its work out."""

import subprocess
import sys
from pathlib import Path

import pytest

LINT = Path(__file__).parents[1] / "scripts" / "async_lint"

WRONG = [
    ("ASYNC100", "async def wait():\n    with trio.fail_after(1):\n        print()\n"),
    ("ASYNC100", "async def wait():\n    with trio.CancelScope():\n        async def f():\n            await g()\n"),
    (
        "ASYNC101",
        "async def items():\n    async with trio.open_nursery():\n        await trio.sleep(1)\n        yield 1\n",
    ),
    ("ASYNC102", "async def wait():\n    try:\n        pass\n    finally:\n        await trio.sleep(1)\n"),
    ("ASYNC105", "async def wait():\n    trio.sleep(1)\n"),
    ("ASYNC110", "async def wait():\n    while f():\n        await trio.sleep(1)\n"),
]
RIGHT = [
    "async def wait():\n    with trio.fail_after(1):\n        await trio.sleep(1)\n",
    "async def wait():\n    while f():  # noqa: ASYNC110 - nothing tells\n        await trio.sleep(1)\n",
    "@asynccontextmanager\nasync def scope():\n    async with trio.open_nursery() as nursery:\n        yield nursery\n",
]


@pytest.mark.slow
def test_it_finds_what_is_wrong_and_nothing_else(tmp_path: Path) -> None:
    """The rules of both passes, each in a file of its own, and what looks like a breach of them."""
    files = []
    for number, source in enumerate([*(source for _, source in WRONG), *RIGHT]):
        files.append(tmp_path / f"file_{number:02}.py")
        files[-1].write_text(f"import trio\n\n\n{source}", encoding="utf-8")
    run = subprocess.run([sys.executable, LINT, *files], stdout=subprocess.PIPE, text=True, check=False)
    assert run.returncode == 1
    found = {(Path(line.partition(":")[0]), line.split()[1]) for line in run.stdout.splitlines()}
    assert found >= {(file, code) for file, (code, _) in zip(files, WRONG, strict=False)}
    assert {file for file, _ in found} == set(files[: len(WRONG)])


@pytest.mark.slow
def test_what_is_right_passes(tmp_path: Path) -> None:
    """Nothing is printed."""
    (tmp_path / "right.py").write_text("import trio\n\n\n" + "\n\n".join(RIGHT), encoding="utf-8")
    run = subprocess.run([sys.executable, LINT, tmp_path / "right.py"], stdout=subprocess.PIPE, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "")
