"""What a gateway needs from the world, each part replaceable: the simulation plugs the sandbox in here."""

import ssl
from collections.abc import Callable

import httpx
from attrs import field, frozen

from oc_trio.agent.build import AgentSpec, build_agent
from oc_trio.agent.port import Agent
from oc_trio.mattermost.socket import OpenStream, open_tcp_stream
from oc_trio.runtime.env import Env


@frozen(eq=False)
class Wiring:
    """`http_transport` gives the transport to a server (None: real sockets); `make_agent` builds agents."""

    env: Env = field(factory=Env)
    ssl_context: ssl.SSLContext | None = None
    http_transport: Callable[[str], httpx.AsyncBaseTransport | None] = lambda _url: None
    open_stream: OpenStream = open_tcp_stream
    make_agent: Callable[[AgentSpec, httpx.AsyncClient], Agent] = build_agent
