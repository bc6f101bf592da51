"""No name climbs out of its path segment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.errors import MattermostRejected
from oc_trio.mattermost.rest.paths import segment


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "a\\b", "%2e%2e", "a?x", "a#x", ".\t.", "a\nb", " "], ids=repr)
def test_unsafe_names_are_refused(name: str) -> None:
    """Dots, separators, escapes and control characters are refused."""
    with pytest.raises(MattermostRejected):
        segment(name)


@given(st.text())
def test_whatever_passes_is_one_segment(name: str) -> None:
    """The result holds no separator, whatever came in."""
    try:
        made = segment(name)
    except (MattermostRejected, UnicodeEncodeError):
        return
    assert made not in ("", ".", "..")
    assert not set(made) & set("/\\?# ")


def test_plain_names_stay() -> None:
    """Ids, usernames and `+1` go through unchanged."""
    assert [segment(name) for name in ("abc123", "jo.do-e_x", "+1")] == ["abc123", "jo.do-e_x", "+1"]
