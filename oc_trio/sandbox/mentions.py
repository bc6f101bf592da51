"""Finds @mentions, ~channel links and #hashtags in a text, except in code and e-mail addresses. Pure."""

import re

EVERYBODY = frozenset({"channel", "all", "here"})

_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_AT = re.compile(r"(?<![\w.+-])@([A-Za-z0-9._-]+)")
_CHANNEL = re.compile(r"(?<!\w)~([a-z0-9][a-z0-9_-]*)")
_HASHTAG = re.compile(r"(?<!\S)#([^\W\d_][\w.-]*[\w])(?!\S)")


def names_in(text: str) -> tuple[str, ...]:
    """Every @name in order, in lower case, and each also without trailing punctuation."""
    names: dict[str, None] = {}
    for match in _AT.finditer(_CODE.sub(" ", text)):
        name = match[1].lower()
        while name:
            names[name] = None
            if name[-1] not in "._-":
                break
            name = name[:-1]
    return tuple(names)


def channels_in(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(match[1] for match in _CHANNEL.finditer(_CODE.sub(" ", text))))


def hashtags_in(text: str) -> str:
    """The #tags as Mattermost stores them, joined by spaces; a tag begins with a letter and is not shorter than two."""
    return " ".join(f"#{match[1]}" for match in _HASHTAG.finditer(text))
