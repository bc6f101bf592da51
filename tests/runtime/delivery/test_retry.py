"""What the failures of a write say about it."""

from oc_trio.core.backoff import RetryPolicy
from oc_trio.errors import MattermostUnavailable
from oc_trio.runtime.delivery.retry import WriteRetryState


def test_only_server_errors_in_a_row_count() -> None:
    """A server that was away in between says nothing about the post."""
    fault, away = MattermostUnavailable("internal error", status=500), MattermostUnavailable("no connection")
    state = WriteRetryState(MattermostUnavailable, RetryPolicy(), lambda: 0.5)
    for problem in (fault, fault, away, fault):
        state.failed(problem)
    assert (state.failures, state.server_errors) == (4, 1)
