"""The rate limit's bucket."""

from oc_trio.sandbox.ratelimit import RateLimit


def test_a_burst_passes_and_then_ten_a_second() -> None:
    """101 requests at once pass, the next is refused with the headers, and a second later ten more pass."""
    limit = RateLimit()
    assert all(limit.headers("peer", 0) is None for _ in range(101))
    refused = limit.headers("peer", 0)
    assert refused is not None
    assert dict(refused)["retry-after"] == "1"
    assert [limit.headers("peer", 1000) is None for _ in range(11)] == [True] * 10 + [False]
    assert limit.headers("other", 1000) is None
