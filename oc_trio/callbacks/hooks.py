"""The endpoint for hooks: the token first, then the payload, then 202 with the id under which it was admitted."""

from collections.abc import Mapping

from attrs import field, frozen

from oc_trio.callbacks.endpoints import HookEndpoint
from oc_trio.callbacks.reply import Kind, Reply, json_reply, refused
from oc_trio.core import hooks
from oc_trio.core.hooks import HookKind
from oc_trio.errors import CallbackRefused


@frozen
class HookRequest:
    """What of a request matters here; header values are empty where they are absent."""

    body: bytes
    authorization: str = ""
    token_header: str = ""
    idempotency_key: str = ""
    query: Mapping[str, str] = field(factory=dict, hash=False)


async def answer_hook(endpoint: HookEndpoint, kind: HookKind, request: HookRequest) -> Reply:
    """Run one hook, or say in one sentence why not."""
    try:
        hooks.check_token(
            endpoint.token(),
            authorization=request.authorization,
            token_header=request.token_header,
            query=request.query,
        )
        hook = hooks.read_hook(kind, request.body, idempotency_key=request.idempotency_key)
        return json_reply(hooks.accepted_body(await endpoint.take(kind, hook)), 202)
    except CallbackRefused as problem:
        return refused(Kind.HOOK, problem)
