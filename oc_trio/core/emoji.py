"""Converts emoji as agents write them (a name, `:name:` or the character) to Mattermost's names for reactions.

Mattermost knows only lower-case names and answers 404 to anything else. Whether a custom emoji exists, only the server
knows.
"""

import re

# Characters as agents write them -> Mattermost's system names. Variation selectors are dropped before the look-up.
_NAMES = {
    "💯": "100",
    "🧠": "brain",
    "💻": "computer",
    "👀": "eyes",
    "🔥": "fire",
    "🌐": "globe_with_meridians",
    "❤": "heart",
    "\u2796": "heavy_minus_sign",
    "\u2795": "heavy_plus_sign",
    "😂": "joy",
    "🙏": "pray",
    "🙌": "raised_hands",
    "🚀": "rocket",
    "😱": "scream",
    "😄": "smile",
    "🎉": "tada",
    "🤔": "thinking_face",
    "👎": "thumbsdown",
    "👍": "thumbsup",
    "⚠": "warning",
    "👋": "wave",
    "✅": "white_check_mark",
    "❌": "x",
    "⚡": "zap",
    # Beyond OpenClaw's list: what agents use to acknowledge.
    "👌": "ok_hand",
    "👏": "clap",
    "💪": "muscle",
    "🤝": "handshake",
    "✋": "hand",
    "☝": "point_up",
    "✔": "heavy_check_mark",
    "✖": "heavy_multiplication_x",
    "❗": "exclamation",
    "❓": "question",
    "⏳": "hourglass_flowing_sand",
    "⌛": "hourglass",
    "⏰": "alarm_clock",
    "⭐": "star",
    "✨": "sparkles",
    "🐛": "bug",
    "💡": "bulb",
    "📌": "pushpin",
    "📝": "memo",
    "🔒": "lock",
    "🔧": "wrench",
    "🛑": "octagonal_sign",
    "🚫": "no_entry_sign",
    "🤖": "robot_face",
    "🎂": "birthday",
    "☕": "coffee",
    "😀": "grinning",
    "😊": "blush",
    "😅": "sweat_smile",
    "😢": "cry",
    "😭": "sob",
    "😕": "confused",
    "😮": "open_mouth",
    "😉": "wink",
    "😎": "sunglasses",
    "😍": "heart_eyes",
}
_TONED = frozenset(
    "thumbsup thumbsdown +1 -1 pray wave raised_hands ok_hand clap muscle hand point_up".split()  # noqa: SIM905
)
_TONES = ("light", "medium_light", "medium", "medium_dark", "dark")  # Fitzpatrick 1-2, 3, 4, 5, 6
_FIRST_TONE = 0x1F3FB
_TONE = re.compile("[\U0001f3fb-\U0001f3ff]")
_SELECTORS = re.compile("[\ufe0e\ufe0f]")
_NAME = re.compile(r"[a-z0-9_+-]{1,64}")
_SLACK_TONE = re.compile(r"(.+)::skin-tone-([2-6])")


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
    known = _NAMES.get(_TONE.sub("", bare))
    if known is None or len(tones) > 1:
        raise UnknownEmoji(
            f"{text.strip()!r} is not an emoji known here: write its Mattermost name, such as :thumbsup:."
        )
    return _with_tone(known, ord(tones[0]) - _FIRST_TONE, text) if tones else known


def _with_tone(name: str, tone: int, text: str) -> str:
    if name not in _TONED:
        raise UnknownEmoji(f"{text.strip()!r} takes no skin tone.")
    return f"{name}_{_TONES[tone]}_skin_tone"
