"""What every test gets: an environment without our variables, a deadline, and a look at its ERROR logs."""

import faulthandler
import gc
import logging
import os
import shutil
import signal
import sys
from collections.abc import Generator
from pathlib import Path
from types import FrameType

import pytest
import structlog
from hypothesis import settings

from oc_trio.config import paths
from oc_trio.core.text import clean
from tests.logbook import Logbook
from tests.shares import Entry, slow_first

DEADLINE_SECONDS = 120.0
SLOW_DEADLINE_SECONDS = 300.0  # of tests that are marked slow: others may use the machine, too
_SLOW_KINDS = ("e2e", "browser", "sim")
_WORTH_A_LINE = 1.0  # seconds; four times the rule, which is in pyproject.toml
# Hypothesis' limit of 200 ms per example fails on a busy machine, and DEADLINE_SECONDS stops what hangs.
settings.register_profile("no-deadline", settings(), deadline=None)
settings.load_profile("no-deadline")
# The quick run is for while one works; scripts/test plays all examples.
settings.register_profile("quick", settings.get_profile("no-deadline"), max_examples=20)
_CLEARED = (
    "OC_TRIO_",
    "MATTERMOST_",
    "XDG_",
    "NOTIFY_",
    "WATCHDOG_",
    "STATE_DIRECTORY",
    "CREDENTIALS_DIRECTORY",
    "OTEL_",
)
_EVERY_LEVEL = structlog.make_filtering_bound_logger(0)
_KEPT = ("OC_TRIO_SLOW", "OC_TRIO_PICTURES", "OC_TRIO_GOLDEN")  # these are for the tests themselves

# Without byte code every process compiles everything again: collecting takes three times as long, and programs that
# tests start take longer, too. Where the shell wants none beside the sources, it goes into pytest's cache.
if sys.dont_write_bytecode:
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# What tests write is for one run: where there is room in memory, no test waits for a disk that others use as well.
_MEMORY, _ROOM = Path("/dev/shm"), 4 * 2**30
if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


# A shell starts what runs in its background with Ctrl-C ignored, and programs that tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


_LOGBOOK = pytest.StashKey[Logbook]()


def pytest_sessionstart() -> None:
    """Nothing that the caller's shell says reaches the code under test, nor does a gateway that is installed here."""
    for name in list(os.environ):
        if name.startswith(_CLEARED) and name not in _KEPT:
            del os.environ[name]
    paths.SYSTEM_CONFIG = Path("/nonexistent/etc/oc-trio/config.toml")
    # Libraries that would set up the logs of a process find that somebody has.
    assert logging.lastResort is not None
    logging.getLogger().addHandler(logging.lastResort)


# Hooks and no fixtures that every test uses: those cost several times as much, 8,000 times.
@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    book = item.stash[_LOGBOOK] = Logbook()
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, book],
        wrapper_class=_EVERY_LEVEL,
        cache_logger_on_first_use=False,
    )
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    try:
        return (yield)
    finally:
        structlog.reset_defaults()
        unexpected = item.stash[_LOGBOOK].unexpected
        del item.stash[_LOGBOOK]
        assert unexpected == [], "an ERROR was logged that the test did not ask for"


@pytest.fixture
def logbook(request: pytest.FixtureRequest) -> Logbook:
    """Tests ask `logbook.find("...")` for errors that belong to what they test."""
    item: pytest.Item = request.node
    return item.stash[_LOGBOOK]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Modules and tests stay to the end: the garbage collector need not look at them, neither now nor between tests."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)  # a run has memory to spare
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, object, object]:
    """What starts processes or browsers, or plays many seeds, is slow without saying so; workers begin with it."""
    for item in items:
        if any(item.get_closest_marker(name) for name in _SLOW_KINDS) and not item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.slow)
    result = yield  # others mark and leave out
    if workers := getattr(config, "workerinput", {}).get("workercount", 0):
        entries = [Entry(item.nodeid.partition("::")[0], item.get_closest_marker("slow") is not None) for item in items]
        items[:] = slow_first(zip(entries, items), workers)
    return result


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Names tests that should be marked slow. A busy machine is slow, too, so this says so and fails nothing."""
    reports = [report for report in terminalreporter.stats.get("passed", []) if report.when == "call"]
    long = [report for report in reports if report.duration > _WORTH_A_LINE and "slow" not in report.keywords]
    if long:
        terminalreporter.section(f"over {_WORTH_A_LINE:g} s and not marked slow")
        for report in sorted(long, key=lambda report: -report.duration)[:20]:
            terminalreporter.line(f"{report.duration:7.2f}s {report.nodeid}")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("markexpr") == "not slow":
        settings.load_profile("quick")
    usual = f"{DEADLINE_SECONDS:g}, or {SLOW_DEADLINE_SECONDS:g} where it is slow"
    config.addinivalue_line("markers", f"deadline(seconds): real seconds a test may take, instead of {usual}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """A hung test fails in real time: a deadline of Trio's would jump with a mock clock."""
    marker = item.get_closest_marker("deadline")
    usual = SLOW_DEADLINE_SECONDS if item.get_closest_marker("slow") else DEADLINE_SECONDS
    seconds = float(marker.args[0]) if marker else usual

    def expire(_number: int, _frame: FrameType | None) -> None:
        faulthandler.dump_traceback()
        pytest.fail(f"still running after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds, 5.0)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test logged may hold half of an emoji, which no report can carry between processes of pytest-xdist."""
    report = yield
    report.sections = [(name, clean(text)) for name, text in report.sections]
    return report
