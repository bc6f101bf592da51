"""Each benchmark runs, small, and says what its page quotes. How fast anything is, no test says."""

import pytest

from scripts.bench import catch_up, hour, ignored_posts, quiet_turn, start

pytestmark = [pytest.mark.slow, pytest.mark.deadline(180)]


def test_one_quiet_turn() -> None:
    """The gateway's figures and the floor's are of the same kind."""
    result = quiet_turn.measure(turns=1, tokens=10)
    assert set(result) - {"turns", "floor"} == set(result["floor"])
    assert result["first_text_ms"]["p50"] > 0
    assert result["final_ms"]["p50"] > 0


def test_posts_that_are_not_for_the_bot() -> None:
    """All that was sent is in the journal, and the heartbeat was answered meanwhile."""
    result = ignored_posts.measure(rates=(100,), seconds=1.0)
    assert result["posts_per_s"] == result["floor"]["posts_per_s"] == 100
    assert result["recorded"] == ignored_posts.WARM_UP["posts"] + 100
    assert 0 < result["longest_pong_s"] <= result["longest_gap_s"]


def test_catch_up() -> None:
    """Every missed post is recorded and every question answered."""
    result = catch_up.measure(posts=100, channels=5, questions=5)
    assert (result["recorded"], result["answered"]) == (100, 5)
    # A second pass, for replicas that lag, may have come by then.
    assert result["page_requests"] in (5, 10)
    assert 0 < result["first_answer_s"] <= result["all_answered_s"]
    assert (result["floor"]["questions"], result["floor"]["requests"]) == (5, 5)


def test_a_start_in_many_channels() -> None:
    """Channels without news cost no request."""
    result = start.measure(channels=20, news=2)
    assert [result[name]["catch_up_requests"] for name in ("first", "again", "news")] == [0, 0, 2]
    assert all(result[name]["beyond_catch_up"] <= 10 for name in ("first", "again", "news"))


def test_an_hour() -> None:
    """All that asked was answered, by whichever way it came, and the process was looked at."""
    result = hour.measure(rounds=2, warm_up=0, quiet_seconds=0.1, settled_seconds=0.1)
    assert (result["answers"], result["unanswered"], result["commands"], result["clicks"]) == (9, 0, 4, 1)
    assert set(result["growth"]) == {"rss_mib", "tasks", "threads", "files", "sockets"}
