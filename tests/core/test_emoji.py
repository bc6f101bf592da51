import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.emoji import UnknownEmoji, emoji_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("thumbsup", "thumbsup"),
        (":thumbsup:", "thumbsup"),
        (" :+1: ", "+1"),
        ("White_Check_Mark", "white_check_mark"),
        (":my-custom_emoji2:", "my-custom_emoji2"),
        ("👍", "thumbsup"),
        ("❤️", "heart"),
        ("❤", "heart"),
        ("⚠️", "warning"),
        ("💯", "100"),
        ("👍🏻", "thumbsup_light_skin_tone"),
        ("🙏🏽", "pray_medium_skin_tone"),
        ("👋🏿", "wave_dark_skin_tone"),
        (":wave::skin-tone-3:", "wave_medium_light_skin_tone"),
        (":🎉:", "tada"),
    ],
)
def test_names(text: str, name: str) -> None:
    assert emoji_name(text) == name


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "required"),
        (" :: ", "required"),
        ("🦄🦄", "not an emoji known"),
        ("🜁", "not an emoji known"),
        ("👍👍", "not an emoji known"),
        ("👍🏻🏿", "not an emoji known"),
        ("🔥🏻", "takes no skin tone"),
        ("thumbs up", "not an emoji known"),
        ("../x", "not an emoji known"),
    ],
)
def test_what_is_no_emoji(text: str, why: str) -> None:
    with pytest.raises(UnknownEmoji, match=why):
        emoji_name(text)


@given(st.text(max_size=12))
def test_a_name_is_safe_in_a_path(text: str) -> None:
    """Whatever is accepted is lower-case and fits one path segment."""
    try:
        name = emoji_name(text)
    except UnknownEmoji:
        return
    assert re.fullmatch(r"[a-z0-9_+-]+", name)
