"""Requests that a check expects: recognised by nonce, answered in the guard, judged by token or signature."""

import pytest
from trio.testing import MockClock

from oc_trio.callbacks.expected import ExpectedRequest, ExpectedRequests, RequestOrigin
from oc_trio.callbacks.reply import EndpointKind

NONCE = "k" * 26
CALLER = RequestOrigin("192.0.2.7", "127.0.0.1", "192.0.2.7")


def expected(*, genuine: bool = True) -> ExpectedRequest:
    return ExpectedRequest(EndpointKind.CLICK, "/mattermost/interactions/default", NONCE, lambda _body, _type: genuine)


@pytest.mark.parametrize(("genuine", "status"), [(True, 200), (False, 401)])
def test_it_is_recorded_with_its_source(genuine: bool, status: int) -> None:
    """The nonce alone does not make it genuine."""
    requests = ExpectedRequests()
    with requests.expect(expected(genuine=genuine)) as request:
        assert requests.take(EndpointKind.CLICK, b'{"n": "other"}', "application/json", CALLER) is None
        assert requests.take(EndpointKind.COMMAND, NONCE.encode(), "", CALLER) is None
        reply = requests.take(EndpointKind.CLICK, NONCE.encode(), "application/json", CALLER)
    assert reply is not None
    assert (reply.status, request.arrived.is_set(), request.genuine) == (status, True, genuine)
    assert (request.source, request.peer, request.forwarded) == ("192.0.2.7", "127.0.0.1", "192.0.2.7")


def test_it_is_expected_for_the_block_only() -> None:
    """Afterwards its nonce is one like any other."""
    requests = ExpectedRequests()
    with requests.expect(expected()):
        pass
    assert requests.take(EndpointKind.CLICK, NONCE.encode(), "", CALLER) is None


def test_what_came_instead(autojump_clock: MockClock) -> None:
    """A refusal for the source counts for that path; other paths are kept, five at most and cut."""
    requests = ExpectedRequests()
    with requests.expect(expected()) as request:
        requests.note_refused(EndpointKind.CLICK, "/mattermost/interactions/other", "source", CALLER)
        assert request.refused == ""
        requests.note_refused(EndpointKind.CLICK, request.path, "source", CALLER)
        for number in range(9):
            requests.note_unknown(f"/{number}" + "x" * 300)
    assert (request.refused, request.source) == ("source", "192.0.2.7")
    assert len(request.strays) == 5
    assert max(map(len, request.strays)) == 120
