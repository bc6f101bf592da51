import re
from typing import Any

import pytest

from oc_trio.core.buttons import ButtonBinding, attachments
from oc_trio.core.model_picker import GONE, NO_MODELS, NOT_YOURS, Chosen, Denied, Model, Picker, View, parse_model
from oc_trio.core.signing import verify_context

MODELS = (*(Model("openai", f"gpt-{n}") for n in range(19)), Model("local", "org/llama"))
PICKER = Picker(MODELS, Model("openai", "gpt-9"), "alice")


def labels(view: View) -> list[list[str]]:
    return [[button.label for button in row] for row in view.rows]


def context_of(view: View, label: str) -> dict[str, Any]:
    (id_,) = [button.id for row in view.rows for button in row if button.label == label]
    return dict(view.contexts[id_])


def follow(view: View, label: str) -> View | Chosen | Denied:
    return PICKER.click(context_of(view, label), "alice")


def page(view: View | Chosen | Denied) -> View:
    assert isinstance(view, View)
    return view


def test_a_walk_through_the_picker() -> None:
    """Open, browse, turn the page, choose, go back: like the user does."""
    summary = PICKER.summary(default=Model("local", "org/llama"))
    assert summary.text.startswith("Current: openai/gpt-9\n")
    providers = page(follow(summary, "Browse providers"))
    assert labels(providers) == [["openai (19)"], ["local (1)"]]
    first = page(follow(providers, "openai (19)"))
    assert labels(first) == [*([f"gpt-{n}"] for n in range(8)), ["Next"], ["Back to providers"]]
    second = page(follow(first, "Next"))
    assert labels(second)[1] == ["gpt-9 [current]"]
    assert labels(second)[-2:] == [["Prev", "Next"], ["Back to providers"]]
    third = page(follow(second, "Next"))
    assert labels(third) == [["gpt-16"], ["gpt-17"], ["gpt-18"], ["Prev"], ["Back to providers"]]
    assert follow(third, "gpt-17") == Chosen(Model("openai", "gpt-17"), 3)
    assert follow(third, "Back to providers") == providers


def test_a_short_list_has_no_page_buttons() -> None:
    assert labels(PICKER.page("local", 1)) == [["org/llama"], ["Back to providers"]]


@pytest.mark.parametrize(("number", "first"), [(-3, "gpt-0"), (99, "gpt-16")])
def test_a_page_out_of_range_is_put_into_it(number: int, first: str) -> None:
    assert labels(PICKER.page("openai", number))[0] == [first]


def test_an_unknown_provider_is_said_so() -> None:
    view = PICKER.page("acme", 1)
    assert (view.text, labels(view)) == ("Unknown provider: acme", [["Back to providers"]])


def test_without_models_there_is_nothing_to_press() -> None:
    empty = Picker((), None, "alice")
    assert empty.summary() == empty.providers() == View(NO_MODELS)


@pytest.mark.parametrize("user", ["bob", ""])
def test_only_the_opener_may_use_it(user: str) -> None:
    assert PICKER.click(context_of(PICKER.providers(), "local (1)"), user) == Denied(NOT_YOURS)


def test_a_model_that_is_gone_cannot_be_chosen() -> None:
    context = context_of(PICKER.page("local", 1), "org/llama")
    assert Picker(MODELS[:3], None, "alice").click(context, "alice") == Denied(GONE)


def test_the_default_is_marked() -> None:
    default = Model("openai", "gpt-9")
    assert "openai/gpt-9 (default)" in Picker(MODELS, None, "alice").summary(default=default).text


def test_ids_are_fit_for_mattermost_and_contexts_are_signed() -> None:
    view = PICKER.page("openai", 2)
    made = attachments(view.rows, (), bot_token="t", binding=ButtonBinding("http://gw"), custom=view.contexts)
    for action in (action for attachment in made for action in attachment["actions"]):
        context = action["integration"]["context"]
        assert re.fullmatch(r"(mdlsel|mdllist|mdlback)[0-9a-f]{12}", action["id"])
        assert context["oc_model_picker"] is True
        assert context["ownerUserId"] == "alice"
        assert verify_context("t", context)


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("openai/gpt", Model("openai", "gpt")),
        (" local/org/llama ", Model("local", "org/llama")),
        ("gpt", None),
        ("/x", None),
        ("x/", None),
    ],
)
def test_spelled_models(text: str, model: Model | None) -> None:
    assert parse_model(text) == model
