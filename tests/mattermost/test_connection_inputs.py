"""Frames and errors become inputs of the state machine, and retries become waits."""

import pytest

from oc_trio.core.backoff import RetryPolicy
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
from oc_trio.core.events import ActionReply, EventFrame, Frame, Hello, Unhandled
from oc_trio.errors import MattermostError, MattermostRejected, MattermostUnavailable, PayloadError
from oc_trio.mattermost.connection_inputs import input_from_error, input_from_frame, pause_after
from oc_trio.mattermost.socket import TOO_LARGE


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        pytest.param(EventFrame(0, Hello("c")), Greeted("c"), id="hello"),
        pytest.param(EventFrame(7, Unhandled("x")), Numbered(7), id="event"),
        pytest.param(ActionReply(1, ok=True), PingAnswered(), id="pong"),
        pytest.param(ActionReply(1, ok=False, status_code=401), PingAnswered(refused=True), id="pong refused"),
        pytest.param(ActionReply(1, ok=False, status_code=500), PingAnswered(), id="another failure"),
    ],
)
def test_frames(frame: Frame, expected: Input) -> None:
    """Each kind of frame becomes its input to the connection's state machine."""
    assert input_from_frame(frame) == expected


@pytest.mark.parametrize(
    ("failure", "phase", "expected"),
    [
        pytest.param(MattermostRejected("no", status=401), ConnectionPhase.DIALING, TokenRefused(), id="401"),
        pytest.param(MattermostRejected("no", status=403), ConnectionPhase.DIALING, Lost("no"), id="403"),
        pytest.param(MattermostUnavailable("gone"), ConnectionPhase.LIVE, Lost("gone"), id="network"),
        pytest.param(MattermostUnavailable("big", code=TOO_LARGE), ConnectionPhase.LIVE, Unreadable(), id="too large"),
        pytest.param(PayloadError("odd"), ConnectionPhase.GREETING, Unreadable(), id="garbage"),
        pytest.param(PayloadError("odd"), ConnectionPhase.DIALING, Lost("odd"), id="garbage before the socket"),
    ],
)
def test_failures(failure: MattermostError, phase: ConnectionPhase, expected: Input) -> None:
    """A refused token, a lost network and an unreadable stream are told apart."""
    assert input_from_error(failure, phase) == expected


@pytest.mark.parametrize(
    ("retry", "failure", "seconds"),
    [
        pytest.param(Retry(0, "x"), MattermostUnavailable("x"), 1.0, id="first"),
        pytest.param(Retry(3, "x"), MattermostUnavailable("x"), 8.0, id="fourth"),
        pytest.param(Retry(0, "x"), MattermostUnavailable("x", retry_after=20.0), 20.0, id="as the server asked"),
        pytest.param(Retry(0, "x", auth=True), MattermostRejected("x", status=401), 30.0, id="refused token"),
    ],
)
def test_waits(retry: Retry, failure: MattermostError, seconds: float) -> None:
    """The policy grows by attempts, and a refused token is tried slowly."""
    assert pause_after(retry, failure, RetryPolicy(initial=1.0), 0.5) == pytest.approx(seconds)
