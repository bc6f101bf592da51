"""Keeps a model's text from pinging a whole channel: `@channel`, `@all` and `@here` outside code.

A zero-width space after the `@` is what the server does not take for a mention (measured on Mattermost 11.2; the
props `disable_mentions` and `mentionHighlightDisabled` do not help). Usernames are left alone, and so is code, but
only where it is code beyond doubt: a needless zero-width space is harmless, a missed one wakes everybody.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from oc_trio.core.fences import certain_code_ranges, outside
from oc_trio.core.text import clean as without_surrogates

ZERO_WIDTH_SPACE = "\u200b"
_BROADCASTS = ("channel", "all", "here")


def _spelt(char: str) -> str:
    """A character as itself or as a numeric entity, which the server decodes before it looks for mentions."""
    forms = {char.lower(), char.upper()}
    codes = [code for form in sorted(forms) for code in (f"&#0*{ord(form)};", f"&#x0*{ord(form):x};")]
    return f"(?:{'|'.join([*sorted(map(re.escape, forms)), *codes])})"


_AT = f"(?:{_spelt('@')}|&commat;)"
# The server trims trailing underscores and splits a word at `.`, `-` and `:`, so `@all-hands` pings and
# `@allison` or `@all_hands` don't; a letter or digit before the `@` makes it an address.
_BROADCAST = re.compile(
    f"(?<![A-Za-z0-9])(?P<at>{_AT})(?={'|'.join(''.join(map(_spelt, word)) for word in _BROADCASTS)})"
    f"(?=(?:{'|'.join(''.join(map(_spelt, word)) for word in _BROADCASTS)})_*(?![A-Za-z0-9_]))",
    re.IGNORECASE,
)
_LINE_END = re.compile(r"\r\n?")


def clean(text: str) -> str:
    """Text that the server can store: no NUL (it answers 500 to that), no lone surrogate, lines ended by `\\n`."""
    return _LINE_END.sub("\n", without_surrogates(text))


def defuse(text: str) -> str:
    """`clean(text)` in which no word outside code pings a channel. Idempotent."""
    text = clean(text)
    if ("@" not in text and "&" not in text) or not _BROADCAST.search(text):
        return text
    return outside(certain_code_ranges(text), text, lambda part: _BROADCAST.sub(rf"\g<at>{ZERO_WIDTH_SPACE}", part))


# What the server shows of an attachment; contexts of buttons are ours, and are compared as they were signed.
_SHOWN = frozenset({"text", "pretext", "title", "fallback", "author_name", "footer", "value", "name"})
_NESTED = frozenset({"fields", "actions", "options"})


def harmless_props(props: Mapping[str, Any], harmless: Callable[[str], str] = defuse) -> dict[str, Any]:
    """A post's props with `harmless` applied to every text that its attachments show."""
    attachments = props.get("attachments")
    if not isinstance(attachments, list | tuple):
        return dict(props)
    return {**props, "attachments": [_harmless(attachment, harmless) for attachment in attachments]}


def _harmless(shown: Any, harmless: Callable[[str], str]) -> Any:
    if not isinstance(shown, Mapping):
        return shown
    made = dict(shown)
    for key, value in shown.items():
        if key in _SHOWN and isinstance(value, str):
            made[key] = harmless(value)
        elif key in _NESTED and isinstance(value, list | tuple):
            # An option's text is shown, its value comes back to us.
            made[key] = [
                _harmless_option(item, harmless) if key == "options" else _harmless(item, harmless) for item in value
            ]
    return made


def _harmless_option(option: Any, harmless: Callable[[str], str]) -> Any:
    if isinstance(option, Mapping) and isinstance(option.get("text"), str):
        return {**option, "text": harmless(option["text"])}
    return option
