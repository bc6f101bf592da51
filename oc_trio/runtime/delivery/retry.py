"""The failures of one write, of which some are about what is written."""

from attrs import define

from oc_trio.errors import MattermostUnavailable
from oc_trio.retry import RetryState


@define(eq=False)
class WriteRetryState(RetryState[MattermostUnavailable]):
    """`server_errors` counts answers with status 500 in a row. They are about this request; a server that is away says
    nothing about it.
    """

    server_errors: int = 0

    def failed(self, problem: MattermostUnavailable) -> None:
        """Count a failure."""
        super().failed(problem)
        self.server_errors = self.server_errors + 1 if problem.status == 500 else 0
