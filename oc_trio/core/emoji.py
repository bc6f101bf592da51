"""Converts emoji as agents write them (a name, `:name:` or the character) to Mattermost's names for reactions.

Mattermost knows only lower-case names and answers 404 to anything else. Whether a custom emoji exists, only the server
knows.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from oc_trio.classes import frozen

_TONES = ("light", "medium_light", "medium", "medium_dark", "dark")  # Fitzpatrick 1-2, 3, 4, 5, 6
_FIRST_TONE = 0x1F3FB
_TONE = re.compile("[\U0001f3fb-\U0001f3ff]")
# How the character is drawn, as text or in colour: agents write it with and without.
_SELECTORS = re.compile("[\ufe0e\ufe0f]")
# As long as Mattermost lets a custom emoji's name be.
_NAME = re.compile(r"[a-z0-9_+-]{1,64}")
_TONED = re.compile(rf"(.+)_(?:{'|'.join(_TONES)})_skin_tone")
_SLACK_TONE = re.compile(r"(.+)::skin-tone-([2-6])")


@frozen
class _Table:
    """Mattermost's system emoji: the first name of each character, all names, and those that take a skin tone."""

    names: Mapping[str, str]
    system: frozenset[str]
    toned: frozenset[str]


@cache
def _table() -> _Table:
    """Read at the first use: it costs two milliseconds, and most processes need none of it."""
    names, system, toned = dict[str, str](), set[str](), set[str]()
    for line in files("oc_trio.core").joinpath("emoji_names.txt").read_text("ascii").splitlines():
        if line.startswith("#"):
            continue
        points, *words = line.split()
        own = [word for word in words if word != "*"]
        names["".join(chr(int(point, 16)) for point in points.split("-"))] = own[0]
        system.update(own)
        if words[-1] == "*":
            toned.update(own)
    return _Table(names, frozenset(system), frozenset(toned))


def is_system_emoji(name: str) -> bool:
    """Whether every Mattermost knows this name, which has no colons; other names may be custom emoji of a server."""
    table, toned = _table(), _TONED.fullmatch(name)
    return name in table.system or (toned is not None and toned[1] in table.toned)


class UnknownEmoji(ValueError):
    """The text is no emoji for a reaction; str() is a sentence for the agent or the operator."""


def emoji_name(text: str) -> str:
    """The name to react with, without colons: `thumbsup` for `👍`, `:thumbsup:` and `Thumbsup`.

    Raises UnknownEmoji for blank text, an unknown character, and a skin tone on an emoji that takes none.
    """
    name = text.strip().strip(":").strip()
    if not name:
        raise UnknownEmoji("An emoji is required: a name such as thumbsup, or the character.")
    toned = _SLACK_TONE.fullmatch(name.lower())
    if toned:
        return _with_tone(toned[1], int(toned[2]) - 2, text)
    if _NAME.fullmatch(name.lower()):
        return name.lower()
    bare = _SELECTORS.sub("", name)
    tones = _TONE.findall(bare)
    known = _table().names.get(_TONE.sub("", bare))
    if known is None or len(tones) > 1:
        raise UnknownEmoji(
            f"{text.strip()!r} is not an emoji known here: write its Mattermost name, such as :thumbsup:."
        )
    return _with_tone(known, ord(tones[0]) - _FIRST_TONE, text) if tones else known


def _with_tone(name: str, tone: int, text: str) -> str:
    if name not in _table().toned:
        raise UnknownEmoji(f"{text.strip()!r} takes no skin tone.")
    return f"{name}_{_TONES[tone]}_skin_tone"
