"""Signs and verifies the contexts of buttons, with a key derived from the bot's token.

The scheme is OpenClaw's, so that its buttons and its users' scripts keep working. Expiry and single use are checked in
`core.interactions`. Scripts use the public module `oc_trio.signing`.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from oc_trio.core.canonical_json import canonical_json, codepoint_json, python_json

TOKEN_KEY = "_token"  # noqa: S105 - the name of a field

_SECRET_KEY = b"openclaw-mattermost-interactions"
# We sign with the first. The second is used by the documented Python sample, the third by scripts that sort keys
# without a locale.
_SERIALISERS = (canonical_json, python_json, codepoint_json)


def _hex_hmac(key: bytes, message: bytes) -> str:
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def interaction_secret(bot_token: str) -> str:
    """The signing key of a bot token: 64 hex digits, used as text, not decoded."""
    return _hex_hmac(_SECRET_KEY, bot_token.encode())


def context_token(bot_token: str, context: Mapping[str, Any]) -> str:
    """The `_token` for a context, 64 hex digits; a `_token` that the context has already is not signed.

    Raises ValueError or TypeError if the context is nested too deep or holds values that JSON does not have.
    """
    return _hex_hmac(interaction_secret(bot_token).encode(), canonical_json(_unsigned(context)).encode())


def sign_context(bot_token: str, context: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the context with its `_token` added, ready for `integration.context` of an action."""
    return {**_unsigned(context), TOKEN_KEY: context_token(bot_token, context)}


def verify_context(bot_token: str, context: Mapping[str, Any]) -> bool:
    """Whether the context's `_token` signs all its other fields, in any of the known serialisations.

    Each comparison takes constant time. False if the token is missing or no text, or the context can't be serialised.
    """
    token = context.get(TOKEN_KEY)
    if not isinstance(token, str):
        return False
    given = token.encode("utf-8", "surrogatepass")
    unsigned = _unsigned(context)
    secret = interaction_secret(bot_token).encode()
    try:
        messages = [serialise(unsigned).encode() for serialise in _SERIALISERS]
    except (ValueError, TypeError):
        return False
    # All are compared before the result is looked at: the time must not tell which one matched.
    matches = [hmac.compare_digest(given, _hex_hmac(secret, message).encode()) for message in messages]
    return any(matches)


def signing_mistake(bot_token: str, context: Mapping[str, Any]) -> str:
    """What a script did wrong where `verify_context` is false: a sentence for its author.

    The usual mistakes are tried one by one, so the caller must hold the bot token for a reason: this is no answer for
    whoever sent the context.
    """
    token = context.get(TOKEN_KEY)
    if not isinstance(token, str):
        return f"the context has no {TOKEN_KEY}"
    unsigned, secret = _unsigned(context), interaction_secret(bot_token)
    try:
        compact = json.dumps(unsigned, separators=(",", ":"), ensure_ascii=False)
        text = canonical_json(unsigned)
        tries = [
            ("the key is the bot token itself: derive the secret from it first", bot_token.encode(), text),
            ("the secret was decoded: use it as its hex text", bytes.fromhex(secret), text),
            ("the JSON has blanks: write it compact", secret.encode(), json.dumps(unsigned, sort_keys=True)),
            ("the keys are not sorted", secret.encode(), compact),
        ]
        for left_out in unsigned:
            rest = canonical_json({key: value for key, value in unsigned.items() if key != left_out})
            tries.append((f"the field {left_out} is not signed: sign all fields", secret.encode(), rest))
    except (ValueError, TypeError) as problem:
        return f"the context can't be signed: {problem}"
    given = token.encode("utf-8", "surrogatepass")
    for mistake, key, message in tries:
        if hmac.compare_digest(given, _hex_hmac(key, message.encode("utf-8", "surrogatepass")).encode()):
            return mistake
    return "it was signed with another bot's token, or a field was changed afterwards"


def _unsigned(context: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in context.items() if key != TOKEN_KEY}
