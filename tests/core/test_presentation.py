from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.presentation import BadPresentation, Menu, Presentation, read_buttons, read_presentation
from oc_trio.core.turn_events import Button

YES, NO = Button("Yes", "yes"), Button("No", "no")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param(
            [[{"text": "Yes", "callback_data": "yes"}, {"text": "No", "callback_data": "no"}]],
            Presentation(rows=((YES, NO),)),
            id="the documented form",
        ),
        pytest.param(
            [{"text": "Yes", "callback_data": "yes"}, {"text": "No", "callback_data": "no"}],
            Presentation(rows=((YES, NO),)),
            id="a flat list is one row",
        ),
        pytest.param(
            [[{"text": "Yes", "callback_data": "yes"}], [{"label": "No", "value": "no"}]],
            Presentation(rows=((YES,), (NO,))),
            id="rows are kept",
        ),
        pytest.param(
            [
                [
                    {"text": "Go", "callback_data": 1, "style": "Danger"},
                    {"text": "X", "callback_data": "x", "style": "odd"},
                ]
            ],
            Presentation(rows=((Button("Go", "1", style="danger"), Button("X", "x")),)),
            id="styles and numbers",
        ),
        pytest.param(
            [[{"text": "Docs [1]", "url": "https://x.example"}, {"text": "Yes", "callback_data": "yes"}]],
            Presentation("- [Docs (1)](https://x.example)", ((YES,),)),
            id="links become text",
        ),
        pytest.param([], Presentation(), id="none"),
    ],
)
def test_buttons(value: Any, shown: Presentation) -> None:
    assert read_buttons(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param(
            {"blocks": [{"type": "buttons", "buttons": [{"label": "Yes", "value": "yes"}]}]},
            Presentation(rows=((YES,),)),
            id="plain values",
        ),
        pytest.param(
            {
                "blocks": [
                    {"type": "buttons", "buttons": [{"label": "Yes", "action": {"type": "callback", "value": "yes"}}]}
                ]
            },
            Presentation(rows=((YES,),)),
            id="typed callback",
        ),
        pytest.param(
            {"title": "Deploy", "blocks": [{"type": "text", "text": "Sure?"}, {"type": "divider"}]},
            Presentation("**Deploy**\n\nSure?\n\n---"),
            id="texts",
        ),
        pytest.param(
            {
                "blocks": [
                    {
                        "type": "select",
                        "placeholder": "Env",
                        "options": [{"label": "Live", "value": "l"}, {"text": "Test"}],
                    }
                ]
            },
            Presentation(menus=(Menu("Env", (("Live", "l"), ("Test", "Test"))),)),
            id="menu",
        ),
    ],
)
def test_presentations(value: Any, shown: Presentation) -> None:
    assert read_presentation(value) == shown


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("yes", "list of rows"),
        ([[{"text": "Yes", "callback_data": "yes"}], 3], "row 2 must be a list"),
        ([[{"text": "Yes", "callback_data": "yes"}, {"callback_data": "x"}]], "row 1, button 2 needs a text"),
        ([[{"text": "Yes"}]], "row 1, button 1 needs a callback_data"),
        ([["Yes"]], "must be an object"),
        ([[{"text": "x", "url": "javascript:alert(1)"}]], "not http"),
        ([[{"text": str(n), "callback_data": str(n)} for n in range(26)]], "26 buttons are too many"),
    ],
)
def test_bad_buttons_are_named(value: Any, why: str) -> None:
    with pytest.raises(BadPresentation, match=why):
        read_buttons(value)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([], "list of blocks"),
        ({"blocks": {}}, "list of blocks"),
        ({"blocks": [7]}, "block 1 must be an object"),
        ({"blocks": [{"type": "chart"}]}, "block 1 has type 'chart'"),
        ({"blocks": [{"type": "buttons"}]}, "needs a list of buttons"),
        ({"blocks": [{"type": "select", "options": []}]}, "needs a list of options"),
        ({"blocks": [{"type": "select", "options": ["a"]}]}, "option 1 must be"),
    ],
)
def test_bad_presentations_are_named(value: Any, why: str) -> None:
    with pytest.raises(BadPresentation, match=why):
        read_presentation(value)


KEYS = st.sampled_from(["text", "callback_data", "blocks", "type", "buttons", "options", "url", "action"])
SHAPES = st.recursive(
    st.none() | st.text(max_size=5) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
)


@pytest.mark.slow
@given(SHAPES)
def test_anything_is_read_or_refused(value: Any) -> None:
    for read in (read_buttons, read_presentation):
        try:
            shown = read(value)
        except BadPresentation:
            continue
        assert all(button.label and button.value for row in shown.rows for button in row)
