"""A few seeded runs, their replay, and broken gateways that must not get through."""

import re

import pytest

from tests.simulation.broken import BROKEN
from tests.simulation.plan import KINDS, plan
from tests.simulation.run import simulate

pytestmark = pytest.mark.sim

# A broken gateway has to be found out within so many runs.
_MAX_RUNS = 100


def test_every_promise_is_kept() -> None:
    """Ten seeded runs of people and trouble keep every promise; `scripts/test` plays more beside the tests."""
    verdicts = [simulate(seed) for seed in range(10)]
    assert [(verdict.seed, verdict.problems) for verdict in verdicts if verdict.problems] == []


@pytest.mark.parametrize("seed", [22222, 40881, 41312])
def test_a_hidden_post_is_found_after_a_long_absence(seed: int) -> None:
    """A post that a late replica hid from the last pass before a crash is answered, however long nobody was there."""
    assert simulate(seed).problems == ()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_trouble_alone(kind: str) -> None:
    """Each kind of trouble by itself is survived."""
    verdicts = [simulate(seed, kinds=(kind,)) for seed in range(3)]
    assert [(verdict.seed, verdict.problems) for verdict in verdicts if verdict.problems] == []


def test_an_answer_may_lack_a_file_that_any_gateway_was_refused() -> None:
    """The checks know what the files' server refused, whichever of several gateways asked."""
    verdict = simulate(48, kinds=("fleet", "files"), detailed=True)
    refused = [line for line in verdict.transcript.splitlines() if "could not be sent" in line and " 503" in line]
    assert len(refused) == 3
    assert verdict.problems == ()


@pytest.mark.parametrize("seed", [3, 19, 31])
def test_a_seed_replays_exactly(seed: int) -> None:
    """The same seed gives the same transcript, line by line."""
    assert simulate(seed, detailed=True).transcript == simulate(seed, detailed=True).transcript


def test_garbage_on_the_wire_replays_exactly() -> None:
    """What a model's server sends, and what the readers make of it, is the same each time."""
    first, again = (simulate(4, kinds=("model_faults", "crash"), detailed=True).transcript for _ in range(2))
    assert "answers over the wire" in first
    assert first == again


def test_streams_are_read_with_pauses() -> None:
    """Beside many other answers, an answer's tokens come in a few pieces, and a whole run is the same again."""
    first, again = (simulate(4, kinds=("stream", "crash"), detailed=True).transcript for _ in range(2))
    counts = [(int(sent), int(pieces)) for sent, pieces in re.findall(r"sends (\d+) tokens, .* in (\d+) pieces", first)]
    assert sum(pieces for _, pieces in counts) < sum(sent for sent, _ in counts) / 2
    assert first == again


def test_several_gateways_replay_exactly() -> None:
    """So does a seed with several gateways, of which one is paused and others take over."""
    first, again = (simulate(10, kinds=("fleet", "jobs"), detailed=True).transcript for _ in range(2))
    assert "is paused" in first
    assert first == again


def test_details_change_nothing() -> None:
    """A detailed transcript leaves the run as it is, so that a failing seed can be looked at."""
    detailed = simulate(19, detailed=True).transcript.splitlines()
    assert set(simulate(19).transcript.splitlines()) <= set(detailed)


def test_cancellations_leave_nothing_behind() -> None:
    """Turns that are stopped, edited away, deleted and reset in great numbers leave no draft, task or request."""
    verdicts = [simulate(seed, kinds=("cancel",)) for seed in range(20)]
    assert [(verdict.seed, verdict.problems) for verdict in verdicts if verdict.problems] == []
    assert sum(verdict.cuts for verdict in verdicts) > 20


def test_plans_differ() -> None:
    """Each seed has a plan of its own, and always the same."""
    assert len({str(plan(seed)) for seed in range(50)}) == 50
    assert plan(7) == plan(7)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_gateway_is_found_out(name: str) -> None:
    """What one part does wrong shows as a broken promise, in a run that a sound gateway survives."""
    broken = BROKEN[name]
    seeds = (*range(broken.first, _MAX_RUNS), *range(broken.first))
    assert any(map(broken.is_found_out, seeds)), f"not within {_MAX_RUNS} runs"
