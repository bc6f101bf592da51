"""Looks for model servers on this machine, at the ports where they usually are, and asks one for its models."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import httpx
import trio
from attrs import evolve

from oc_trio.agent.address import below
from oc_trio.agent.http_client import open_model_client
from oc_trio.classes import frozen
from oc_trio.config.agents import Provider
from oc_trio.config.builtin_providers import BUILT_IN
from oc_trio.config.secrets import Secret
from oc_trio.network.tls import client_tls
from oc_trio.runtime.operator.model_check import listed_models

# On this machine, whether anything listens; a server that is there is then asked for its list.
_LOOK_SECONDS = 1.5
_LIST_SECONDS = 10.0
_OLLAMA_PORT = 11434


@frozen
class LocalModelServer:
    """A model server with its models; `provider` is the name for it in `models.providers`, `title` that for people."""

    provider: str
    title: str
    base_url: str
    models: tuple[str, ...] = ()


# Where the programs listen unless they are told otherwise; llama.cpp's server has no entry of its own in `BUILT_IN`.
LOCAL_SERVERS = (
    LocalModelServer("ollama", "Ollama", BUILT_IN["ollama"].base_url),
    LocalModelServer("lmstudio", "LM Studio", BUILT_IN["lmstudio"].base_url),
    LocalModelServer("llamacpp", "llama.cpp", "http://127.0.0.1:8080/v1"),
    LocalModelServer("vllm", "vLLM", BUILT_IN["vllm"].base_url),
    LocalModelServer("sglang", "SGLang", BUILT_IN["sglang"].base_url),
)


def local_servers(environ: Mapping[str, str]) -> tuple[LocalModelServer, ...]:
    """`LOCAL_SERVERS`, with Ollama where its own variable `OLLAMA_HOST` says."""
    host = environ.get("OLLAMA_HOST", "").strip()
    parts = urlsplit(host if "://" in host else f"http://{host}")
    try:
        port = parts.port or _OLLAMA_PORT
    except ValueError:
        return LOCAL_SERVERS
    if not parts.hostname or parts.scheme != "http":
        return LOCAL_SERVERS
    # The variable is also what it listens at, which may be all addresses.
    name = "127.0.0.1" if parts.hostname in ("0.0.0.0", "::") else parts.hostname  # noqa: S104
    url = f"http://{f'[{name}]' if ':' in name else name}:{port}/v1"
    return tuple(evolve(one, base_url=url) if one.provider == "ollama" else one for one in LOCAL_SERVERS)


async def find_local_servers(servers: Sequence[LocalModelServer]) -> tuple[LocalModelServer, ...]:
    """Those of `servers` that answer with at least one model."""
    found: dict[str, LocalModelServer] = {}

    async def look(http: httpx.AsyncClient, server: LocalModelServer) -> None:
        with trio.move_on_after(_LOOK_SECONDS):
            models, _ = await listed_models(http, server.provider, Provider(base_url=server.base_url))
            if models:
                found[server.provider] = evolve(server, models=models)

    # No certificates are loaded: these servers speak HTTP on this machine.
    async with open_model_client(None) as http, trio.open_nursery() as nursery:
        for server in servers:
            nursery.start_soon(look, http, server)
    return tuple(found[server.provider] for server in servers if server.provider in found)


@frozen
class ModelLookup:
    """The address that lists models, and the models; without any, `problem` says why, where that is known."""

    base_url: str
    models: tuple[str, ...] = ()
    problem: str = ""
    is_key_refused: bool = False


async def ask_for_models(name: str, api: str, base_url: str, key: str) -> ModelLookup:
    """The models of the server at `base_url`, or at that with /v1."""
    problem, is_tls = "", base_url.startswith("https://")
    context = await trio.to_thread.run_sync(client_tls) if is_tls else None
    async with open_model_client(context) as http:
        with trio.move_on_after(_LIST_SECONDS):
            # The address as typed first: Azure's and Gemini's are not below /v1.
            for url in dict.fromkeys((base_url.rstrip("/"), below(base_url, "/v1"))):
                provider = Provider(api=api, base_url=url, api_key=Secret(key))
                models, finding = await listed_models(http, name, provider)
                if models:
                    return ModelLookup(url, models)
                if finding is not None and finding.code == "model.key":
                    return ModelLookup(url, (), finding.text, is_key_refused=True)
                problem = problem or (finding.text if finding is not None else "")
    return ModelLookup(base_url, (), problem)
