"""Trigger ids: signed and valid for 30 seconds; with one, an integration may open a dialog for a user."""

import base64
import hashlib
import hmac

from oc_trio.classes import frozen
from oc_trio.sandbox.clock import SandboxClock
from oc_trio.sandbox.errors import ApiError

# As the real server with its default settings (tests/contract/README.md, Dialogs).
LIFE_MS = 30_000
_PREFIX = "interactive_message.decode_trigger_id"


@frozen
class Trigger:
    """`id` goes to integrations, `client_id` to the user's own client."""

    id: str
    client_id: str


class Triggers:
    """Issues and verifies trigger ids."""

    def __init__(self, clock: SandboxClock) -> None:
        self._clock = clock
        # A key per world: triggers don't outlive the server that issued them.
        self._key = clock.new_id().encode()

    def issue(self, user_id: str) -> Trigger:
        client_id = self._clock.new_id()
        signed = f"{client_id}:{user_id}:{self._clock.now()}"
        return Trigger(base64.b64encode(f"{signed}:{self._sign(signed)}".encode()).decode(), client_id)

    def user_of(self, trigger_id: str) -> str:
        """The user whose click or command the trigger belongs to. Raises ApiError if it is invalid or expired."""
        try:
            # Latin-1 decodes any bytes: what is no trigger fails below, with the error id of its own step.
            text = base64.b64decode(trigger_id, validate=True).decode("latin-1")
        except ValueError:
            raise ApiError(400, f"{_PREFIX}.base64_decode_failed", "Failed to decode the trigger ID.") from None
        signed, _, signature = text.rpartition(":")
        parts = signed.split(":")
        if len(parts) != 3:
            raise ApiError(400, f"{_PREFIX}.missing_data", "Trigger ID missing required data.")
        if not hmac.compare_digest(signature.encode(), self._sign(signed).encode()):
            raise ApiError(400, f"{_PREFIX}.verify_signature_failed", "Signature verification failed.")
        # After the signature: only then is the time one that this server wrote.
        if self._clock.now() - int(parts[2]) > LIFE_MS:
            raise ApiError(400, f"{_PREFIX}.expired", "Trigger ID has expired.")
        return parts[1]

    def _sign(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
