"""The socket's frames and failures in the words of the connection's state table, and the wait that its answer means."""

from oc_trio.core.backoff import AUTH_RETRY, RetryPolicy, no_sooner_than
from oc_trio.core.connection import (
    ConnectionPhase,
    Greeted,
    Input,
    Lost,
    Numbered,
    PingAnswered,
    Retry,
    TokenRefused,
    Unreadable,
)
from oc_trio.core.events import ActionReply, EventFrame, Frame, Hello
from oc_trio.errors import MattermostError, MattermostRejected, MattermostUnavailable, PayloadError
from oc_trio.mattermost.socket import TOO_LARGE


def from_frame(frame: Frame) -> Input:
    """What a frame is to the state table."""
    match frame:
        case EventFrame(event=Hello() as hello):
            return Greeted(hello.connection_id)
        case EventFrame():
            return Numbered(frame.seq)
        case ActionReply():
            return PingAnswered(refused=not frame.ok and frame.status_code == 401)


def from_error(failure: MattermostError, phase: ConnectionPhase) -> Input:
    """What a failure is to the state table."""
    if isinstance(failure, MattermostRejected) and failure.is_auth:
        return TokenRefused()
    # Asking again would bring the same frame again.
    unreadable = isinstance(failure, PayloadError) or getattr(failure, "code", "") == TOO_LARGE
    return Unreadable() if unreadable and phase is not ConnectionPhase.DIALING else Lost(str(failure))


def pause_after(retry: Retry | None, failure: MattermostError, policy: RetryPolicy, rand: float) -> float:
    """Seconds until the next try: by the policy, slowly after a refused token, never sooner than the server asked."""
    chosen = AUTH_RETRY if retry is not None and retry.auth else policy
    asked = failure.retry_after if isinstance(failure, MattermostUnavailable) else None
    return no_sooner_than(chosen.delay(0 if retry is None else retry.attempt, rand), asked)
