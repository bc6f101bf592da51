"""Translates frames and errors into inputs of `core.connection`, and its `Retry` intent into seconds to wait."""

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


def input_from_frame(frame: Frame) -> Input:
    """The input for the state machine that a frame is."""
    match frame:
        case EventFrame(event=Hello() as hello):
            return Greeted(hello.connection_id)
        case EventFrame():
            return Numbered(frame.seq)
        case ActionReply():
            # Only 401 is about the token. Any other answer, a failure too, proves that the connection lives.
            return PingAnswered(refused=not frame.ok and frame.status_code == 401)


def input_from_error(failure: MattermostError, phase: ConnectionPhase) -> Input:
    """The input for the state machine that a failure is."""
    if isinstance(failure, MattermostRejected) and failure.is_auth:
        return TokenRefused()
    # A resume would replay the same frame, so the connection has to begin a new queue.
    # While dialling it was a REST answer that could not be read, which says nothing about the queue.
    unreadable = isinstance(failure, PayloadError) or getattr(failure, "code", "") == TOO_LARGE
    return Unreadable() if unreadable and phase is not ConnectionPhase.DIALING else Lost(str(failure))


def pause_after(retry: Retry | None, failure: MattermostError, policy: RetryPolicy, rand: float) -> float:
    """Seconds until the next try: by the policy, slowly after a refused token, never sooner than the server asked."""
    chosen = AUTH_RETRY if retry is not None and retry.auth else policy
    retry_after = failure.retry_after if isinstance(failure, MattermostUnavailable) else None
    return no_sooner_than(chosen.delay(0 if retry is None else retry.attempt, rand), retry_after)
