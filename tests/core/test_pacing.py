import pytest

from oc_trio.core.pacing import PacingRules, ServerLoad, interval, with_latency, with_throttling

RULES = PacingRules()


@pytest.mark.parametrize(
    ("mood", "length", "live", "expected"),
    [
        pytest.param(ServerLoad(), 0, 1, 1.2, id="a short post on a quiet server"),
        pytest.param(ServerLoad(), 4000, 1, 1.8, id="grows with the post"),
        pytest.param(ServerLoad(latency=0.5), 0, 1, 3.2, id="grows with latency"),
        pytest.param(ServerLoad(throttled=(99.0,)), 0, 1, 2.4, id="doubles after a 429"),
        pytest.param(ServerLoad(throttled=(99.0, 98.0)), 0, 1, 4.8, id="doubles again"),
        pytest.param(ServerLoad(throttled=(60.0,)), 0, 1, 1.2, id="forgets old 429s"),
        pytest.param(ServerLoad(latency=60.0), 0, 1, 15.0, id="is bounded"),
        pytest.param(ServerLoad(), 0, 50, 5.0, id="50 drafts share the budget"),
        pytest.param(ServerLoad(), 0, 500, 50.0, id="the budget holds beyond the bound"),
    ],
)
def test_interval(mood: ServerLoad, length: int, live: int, expected: float) -> None:
    """The interval is arithmetic over what was observed."""
    assert interval(RULES, mood, now=100.0, length=length, live=live) == pytest.approx(expected)


def test_latency_is_a_moving_average() -> None:
    """The first sample counts in full, later ones a fifth."""
    mood = with_latency(with_latency(ServerLoad(), 1.0), 2.0)
    assert mood.latency == pytest.approx(1.2)


def test_the_memory_of_429s_is_bounded() -> None:
    """Only the newest few responses with status 429 are remembered."""
    mood = ServerLoad()
    for at in range(100):
        mood = with_throttling(mood, float(at))
    assert mood.throttled == (96.0, 97.0, 98.0, 99.0)
