"""Answers button clicks, menu selections and dialog submissions: verifies the body and calls the account's handler."""

from oc_trio.callbacks.endpoints import ButtonEndpoint
from oc_trio.callbacks.refusals import RefusalLog
from oc_trio.callbacks.reply import EndpointKind, Reply, chat_reply, refused
from oc_trio.core import interactions
from oc_trio.core.json_body import BadJson, read_object
from oc_trio.core.questions import read_dialog
from oc_trio.errors import CallbackRefused

NOT_READY = "Not ready"


async def answer_click(endpoint: ButtonEndpoint | None, body: bytes, refusals: RefusalLog) -> Reply:
    """The reply to a callback for an account; `endpoint` is None while the account is not running."""
    try:
        if endpoint is None:
            raise CallbackRefused(503, NOT_READY)
        if _is_dialog(body):
            answer = await endpoint.dialog(read_dialog(body, bot_token=endpoint.bot_token()))
        else:
            answer = await endpoint.click(interactions.read_button_callback(body, bot_token=endpoint.bot_token()))
        return chat_reply(answer, harmless=endpoint.harmless)
    except CallbackRefused as problem:
        refusals.click(problem, body)
        if endpoint is not None:
            endpoint.on_refused(f"click: {problem.reason}")
        return refused(EndpointKind.CLICK, problem)


def _is_dialog(body: bytes) -> bool:
    """Clicks and dialogs have one address; a dialog has a `type`, and its signature is in its state."""
    # Looked for in the bytes first, so that a click's body is parsed once only.
    if b"dialog_submission" not in body:
        return False
    try:
        return read_object(body).get("type") == "dialog_submission"
    except BadJson:
        return False
