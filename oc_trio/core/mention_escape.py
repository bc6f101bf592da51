"""Escapes `@channel`, `@all` and `@here` outside code, so that a model's text does not notify a whole channel.

A zero-width space after the `@` makes it no mention for the server (measured on Mattermost 11.2; the props
`disable_mentions` and `mentionHighlightDisabled` don't help). Usernames stay, and so does code, but only if it is
certainly code: an unnecessary zero-width space is harmless, a missing one notifies everybody.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from oc_trio.core.code_fences import certain_code_ranges, outside
from oc_trio.core.text import clean as without_surrogates

ZERO_WIDTH_SPACE = "\u200b"
_BROADCASTS = ("channel", "all", "here")


def _spelt(char: str) -> str:
    """A regular expression for a character or its numeric entities, which the server decodes before it looks."""
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
# What each of them begins with: tried there alone, they are found in a fraction of the time.
_MARKS = "@&"
_LINE_END = re.compile(r"\r\n?")


def clean(text: str) -> str:
    """Text that the server can store: no NUL (it answers 500), no lone surrogates, line ends as `\\n`."""
    text = without_surrogates(text)
    return _LINE_END.sub("\n", text) if "\r" in text else text


def escape_channel_mentions(text: str) -> str:
    """`clean(text)` with all mentions of a whole channel outside code escaped. Idempotent."""
    text = clean(text)
    if not any(_BROADCAST.match(text, at) for mark in _MARKS for at in _places(text, mark)):
        return text
    return outside(certain_code_ranges(text), text, lambda part: _BROADCAST.sub(rf"\g<at>{ZERO_WIDTH_SPACE}", part))


def _places(text: str, char: str) -> Iterator[int]:
    """The offsets of a character; a search by pattern would take many times as long."""
    at = text.find(char)
    while at >= 0:
        yield at
        at = text.find(char, at + 1)


# The shown texts of an attachment. Contexts of buttons must stay unchanged, because they are signed.
_SHOWN = frozenset({"text", "pretext", "title", "fallback", "author_name", "footer", "value", "name"})
_NESTED = frozenset({"fields", "actions", "options"})


def escape_props(props: Mapping[str, Any], harmless: Callable[[str], str] = escape_channel_mentions) -> dict[str, Any]:
    """A post's props with `harmless` applied to every text that its attachments show to people."""
    attachments = props.get("attachments")
    if not isinstance(attachments, list | tuple):
        return dict(props)
    return {**props, "attachments": [_harmless(attachment, harmless) for attachment in attachments]}


def _harmless(element: Any, harmless: Callable[[str], str]) -> Any:
    if not isinstance(element, Mapping):
        return element
    escaped = dict(element)
    for key, value in element.items():
        if key in _SHOWN and isinstance(value, str):
            escaped[key] = harmless(value)
        elif key in _NESTED and isinstance(value, list | tuple):
            # An option's text is shown; its value comes back to us and must not change.
            escaped[key] = [
                _harmless_option(item, harmless) if key == "options" else _harmless(item, harmless) for item in value
            ]
    return escaped


def _harmless_option(option: Any, harmless: Callable[[str], str]) -> Any:
    if isinstance(option, Mapping) and isinstance(option.get("text"), str):
        return {**option, "text": harmless(option["text"])}
    return option
