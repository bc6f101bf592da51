"""Answers hooks: checks the token, then the payload, and replies 202 with the id under which it was admitted."""

from collections.abc import Mapping

from attrs import field

from oc_trio.callbacks.endpoints import HookEndpoint
from oc_trio.callbacks.reply import EndpointKind, Reply, json_reply, refused
from oc_trio.classes import frozen
from oc_trio.core import hooks
from oc_trio.core.hooks import HookKind
from oc_trio.errors import CallbackRefused


@frozen
class HookRequest:
    """The parts of a request that matter for a hook; absent headers are empty."""

    body: bytes
    authorization: str = ""
    token_header: str = ""
    idempotency_key: str = ""
    query: Mapping[str, str] = field(factory=dict, hash=False)


async def answer_hook(endpoint: HookEndpoint, kind: HookKind, request: HookRequest) -> Reply:
    """Run one hook; the reply to a refused one has the reason in one sentence."""
    try:
        hooks.check_token(
            endpoint.token(),
            authorization=request.authorization,
            token_header=request.token_header,
            query=request.query,
        )
        hook = hooks.read_hook(kind, request.body, idempotency_key=request.idempotency_key)
        # 202: the hook is in the journal by now, but its turn is still to come.
        return json_reply(hooks.accepted_body(await endpoint.take(kind, hook)), 202)
    except CallbackRefused as problem:
        return refused(EndpointKind.HOOK, problem)
