"""The mark in the props of posts."""

from typing import Any

import pytest

from oc_trio.core.post_marker import PostMarker, marker_key, read_marker


@pytest.mark.parametrize(
    ("props", "mark"),
    [
        pytest.param({}, PostMarker(), id="none"),
        pytest.param({"oc_trio": "odd"}, PostMarker(), id="of another form"),
        pytest.param({"oc_trio": {"k": "turn.0"}}, PostMarker("turn.0"), id="of an older release"),
        pytest.param({"oc_trio": {"k": "turn.0", "i": "abc"}}, PostMarker("turn.0", "abc"), id="of a gateway"),
        pytest.param({"oc_trio": {"k": "b", "by": "command"}}, PostMarker("b", "", "command"), id="of a command"),
        pytest.param({"oc_trio": {"k": 7, "i": None}}, PostMarker(), id="of other types"),
    ],
)
def test_what_a_mark_says(props: dict[str, Any], mark: PostMarker) -> None:
    """Fields that are no text count as missing."""
    assert read_marker(props) == mark
    assert marker_key(props) == mark.key
