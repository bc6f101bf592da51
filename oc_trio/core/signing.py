"""Signatures of button contexts: who holds the bot's token can make them, nobody else.

The scheme is the one OpenClaw uses, so that its buttons and its users' scripts go on working. Owned here: keys, digests
and the comparison. Expiry, single use and who may click are `core.interactions`.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from oc_trio.core.canonical_json import canonical_json, codepoint_json, python_json

TOKEN_KEY = "_token"  # noqa: S105 - the name of a field

_SECRET_KEY = b"openclaw-mattermost-interactions"
# The first is what we sign with. The second is made by the Python sample that the documentation gives to scripts, the
# third by scripts that sort keys without a locale.
_SPELLINGS = (canonical_json, python_json, codepoint_json)


def _hex_hmac(key: bytes, message: bytes) -> str:
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def interaction_secret(bot_token: str) -> str:
    """The signing secret that belongs to a bot token: 64 hex digits. Used as text, not decoded."""
    return _hex_hmac(_SECRET_KEY, bot_token.encode())


def context_token(bot_token: str, context: Mapping[str, Any]) -> str:
    """The `_token` for a context, 64 hex digits; an old `_token` in it is left out of what is signed.

    Raises ValueError or TypeError if the context is nested too deep or holds something JSON has not.
    """
    return _hex_hmac(interaction_secret(bot_token).encode(), canonical_json(_unsigned(context)).encode())


def sign_context(bot_token: str, context: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the context with its `_token` added, ready for `integration.context` of an action."""
    return {**_unsigned(context), TOKEN_KEY: context_token(bot_token, context)}


def verify_context(bot_token: str, context: Mapping[str, Any]) -> bool:
    """Whether the context's `_token` signs all its other fields, in any of the known spellings.

    Each comparison takes constant time. A missing token, one that is not text and a context that can't be spelled
    are false.
    """
    token = context.get(TOKEN_KEY)
    if not isinstance(token, str):
        return False
    given = token.encode("utf-8", "surrogatepass")
    unsigned = _unsigned(context)
    secret = interaction_secret(bot_token).encode()
    try:
        messages = [spelling(unsigned).encode() for spelling in _SPELLINGS]
    except (ValueError, TypeError):
        return False
    matches = [hmac.compare_digest(given, _hex_hmac(secret, message).encode()) for message in messages]
    return any(matches)


def _unsigned(context: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in context.items() if key != TOKEN_KEY}
