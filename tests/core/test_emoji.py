import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core import emoji
from oc_trio.core.emoji import UnknownEmoji, emoji_name, is_system_emoji


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
        ("🦄", "unicorn_face"),
        ("👩‍💻", "female-technologist"),
        ("👩🏽‍💻", "female-technologist_medium_skin_tone"),
        ("🕵️‍♀️", "female-detective"),
        ("🕵🏿‍♀️", "female-detective_dark_skin_tone"),
        ("🇩🇪", "de"),
        ("🏴󠁧󠁢󠁳󠁣󠁴󠁿", "flag-scotland"),
        ("#️⃣", "hash"),
        ("1️⃣", "one"),
        (":+1::skin-tone-6:", "+1_dark_skin_tone"),
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


def test_every_emoji_of_the_list_has_a_name() -> None:
    """Each character of the list, with and without a variation selector, is one of its names; toned where it may be."""
    lines = (Path(emoji.__file__).parent / "emoji_names.txt").read_text("ascii").splitlines()
    known = [line.split() for line in lines if not line.startswith("#")]
    assert len(known) > 1700
    for points, *names in known:
        character = "".join(chr(int(point, 16)) for point in points.split("-"))
        assert emoji_name(character) in names
        assert emoji_name(f"{character}\ufe0f") in names
        assert all(is_system_emoji(name) for name in names if name != "*")
        if names[-1] == "*":
            toned = f"{character[0]}\U0001f3fd{character[1:]}"
            assert emoji_name(toned) == f"{names[0]}_medium_skin_tone"
            assert is_system_emoji(emoji_name(toned))


def test_other_names_may_be_custom_emoji() -> None:
    """Those of a server, a skin tone that an emoji does not take, and what is no name."""
    assert not any(
        map(is_system_emoji, ["party_parrot", "heart_dark_skin_tone", ":heart:", "", "*", "_dark_skin_tone"])
    )


@given(st.text(max_size=12))
def test_a_name_is_safe_in_a_path(text: str) -> None:
    """Every accepted name is lower case and fits into one segment of a path."""
    try:
        name = emoji_name(text)
    except UnknownEmoji:
        return
    assert re.fullmatch(r"[a-z0-9_+-]+", name)
