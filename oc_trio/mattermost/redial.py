"""How long to wait before the next dial. Counts failures; sleeps nowhere."""

from collections.abc import Callable

from attrs import define

from oc_trio.errors import MattermostError, MattermostRejected, MattermostUnavailable

AUTH_SECONDS = 60.0  # an operator has to act; the token file is read again each time


@define(eq=False)
class Redial:
    """Seconds between dials: `first` doubling to `longest`, at most halved by `random` (0 to 1); reset when live."""

    random: Callable[[], float]
    first: float = 1.0
    longest: float = 60.0
    failures: int = 0

    def pause(self, failure: MattermostError) -> float:
        """The wait after one more failure; never below what the server asked for."""
        whole = min(self.longest, self.first * 2.0 ** min(self.failures, 30))
        self.failures += 1
        if isinstance(failure, MattermostRejected) and failure.is_auth:
            return AUTH_SECONDS
        asked = failure.retry_after if isinstance(failure, MattermostUnavailable) else None
        return max(whole * (0.5 + 0.5 * self.random()), asked or 0.0)

    def reset(self) -> None:
        """We are live: the next failure is the first."""
        self.failures = 0
