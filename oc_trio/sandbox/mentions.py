"""Whom a text mentions. Pure: names in, names out; code spans, code blocks and e-mail addresses don't count."""

import re

EVERYBODY = frozenset({"channel", "all", "here"})

_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_AT = re.compile(r"(?<![\w.+-])@([A-Za-z0-9._-]+)")
_CHANNEL = re.compile(r"(?<!\w)~([a-z0-9][a-z0-9_-]*)")
_HASHTAG = re.compile(r"(?<!\S)#([^\W\d_][\w.-]*[\w])(?!\S)")


def names_in(text: str) -> tuple[str, ...]:
    """Every @name, lower case, each also without its trailing punctuation, in reading order."""
    found: dict[str, None] = {}
    for match in _AT.finditer(_CODE.sub(" ", text)):
        name = match[1].lower()
        while name:
            found[name] = None
            if name[-1] not in "._-":
                break
            name = name[:-1]
    return tuple(found)


def channels_in(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(match[1] for match in _CHANNEL.finditer(_CODE.sub(" ", text))))


def hashtags_in(text: str) -> str:
    """The #tags as Mattermost stores them: joined by blanks; a tag starts with a letter and has two or more."""
    return " ".join(f"#{match[1]}" for match in _HASHTAG.finditer(text))
