"""The endpoint for clicks, choices from menus and submitted dialogs: from a body to a verified value and back."""

from oc_trio.callbacks.endpoints import ButtonEndpoint
from oc_trio.callbacks.reply import Kind, Reply, chat_reply, refused
from oc_trio.core import interactions
from oc_trio.core.json_body import BadJson, read_object
from oc_trio.core.questions import read_dialog
from oc_trio.errors import CallbackRefused
from oc_trio.telemetry.log import get_logger

log = get_logger(part="callbacks")

NOT_READY = "Not ready"
# The words that operators search their logs for.
_LOGGED = {"Missing token": "missing _token in context", "Invalid token": "invalid _token"}


async def answer_click(endpoint: ButtonEndpoint | None, body: bytes) -> Reply:
    """The answer to a callback for the account of `endpoint`; None means that it does not run (yet)."""
    try:
        if endpoint is None:
            raise CallbackRefused(503, NOT_READY)
        if _is_dialog(body):
            answer = await endpoint.dialog(read_dialog(body, bot_token=endpoint.bot_token()))
        else:
            answer = await endpoint.click(interactions.read_button_callback(body, bot_token=endpoint.bot_token()))
        return chat_reply(answer, harmless=endpoint.harmless)
    except CallbackRefused as problem:
        log.info(f"mattermost: interaction refused: {_LOGGED.get(problem.reason, problem.reason)}")
        return refused(Kind.CLICK, problem)


def _is_dialog(body: bytes) -> bool:
    """Both come to one address; a dialog says so itself, and its state carries the signature."""
    if b"dialog_submission" not in body:
        return False
    try:
        return read_object(body).get("type") == "dialog_submission"
    except BadJson:
        return False
