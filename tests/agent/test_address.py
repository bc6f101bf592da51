"""Addresses as operators write them lead to the right path, and nothing secret in them is shown."""

import pytest

from oc_trio.agent.address import below, printable_url, secrets_in
from oc_trio.agent.anthropic import messages_url
from oc_trio.agent.openai import OpenAIAgent, OpenAISettings
from oc_trio.agent.port import Message, Role, TurnRequest
from oc_trio.core.turn_events import Final
from oc_trio.errors import AgentFailed
from oc_trio.ids import AgentId, SessionKey
from tests.agent.model_server import Reply, client, collect, serve_model, sse

HELLO = Reply(body=sse({"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}))
TURN = TurnRequest(AgentId("a"), SessionKey("s"), "", (Message(Role.USER, "hello"),))
AZURE = "/openai/deployments/d?api-version=2024-10-21"


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://h/v1", "http://h/v1/chat/completions"),
        ("http://h/v1/", "http://h/v1/chat/completions"),
        (" http://h ", "http://h/chat/completions"),
        (f"http://h{AZURE}", "http://h/openai/deployments/d/chat/completions?api-version=2024-10-21"),
        ("http://h/d/?a=1&b=2#top", "http://h/d/chat/completions?a=1&b=2"),
        ("http://h/v1/chat/completions", "http://h/v1/chat/completions"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1/chat/completions"),
    ],
)
def test_below(base: str, url: str) -> None:
    """The query stays behind the path."""
    assert below(base, "/chat/completions") == url


@pytest.mark.parametrize("base", ["http://h", "http://h/", "http://h/v1", "http://h/v1/", "http://h/v1/messages"])
def test_anthropic_with_or_without_version(base: str) -> None:
    """A base URL with `/v1` and one without lead to the same path."""
    assert messages_url(base) == "http://h/v1/messages"
    assert messages_url(f"{base}?x=1") == "http://h/v1/messages?x=1"


def test_what_is_shown() -> None:
    """Keys in a URL are nobody's business."""
    url = "https://me:hunter2@h/v1?key=abcdefgh&api-version=2024"
    assert printable_url(url) == "https://h/v1"
    assert secrets_in(url) == ("hunter2", "abcdefgh")


async def test_azure() -> None:
    """A deployment's path, its version behind it, its key in a header of its own."""
    async with serve_model(HELLO) as server, client() as http:
        settings = OpenAISettings(f"{server.base_url}{AZURE}", "d", headers={"api-key": "azure-secret"})
        assert (await collect(OpenAIAgent(settings, http), TURN))[-1] == Final("Hi")
    (request,) = server.requests
    assert request.path == "/openai/deployments/d/chat/completions?api-version=2024-10-21"
    assert request.headers["api-key"] == "azure-secret"
    assert "authorization" not in request.headers


async def test_the_operators_own_header_wins() -> None:
    """In whatever case it is written, it is sent once."""
    async with serve_model(HELLO) as server, client() as http:
        settings = OpenAISettings(server.base_url, "m", "key", headers={"authorization": "Basic abc"})
        await collect(OpenAIAgent(settings, http), TURN)
    assert server.requests[0].headers["authorization"] == "Basic abc"


async def test_a_key_in_the_address_is_cut_out_of_errors() -> None:
    """Servers like to repeat the address that they don't know."""
    body = b'{"error": {"message": "no such path /v1/chat/completions?key=abcdefgh"}}'
    async with serve_model(Reply(404, body)) as server, client() as http:
        agent = OpenAIAgent(OpenAISettings(f"{server.base_url}/v1?key=abcdefgh", "m"), http)
        with pytest.raises(AgentFailed) as caught:
            await collect(agent, TURN)
    assert "abcdefgh" not in str(caught.value)
