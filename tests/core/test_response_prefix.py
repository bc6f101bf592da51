"""The words before an answer, with names filled in."""

import pytest

from oc_trio.core.response_prefix import reply_prefix


@pytest.mark.parametrize(
    ("template", "prefix"),
    [
        ("", ""),
        ("Bot:", "Bot:"),
        ("auto", "[Otto]"),
        ("[{model}]", "[qwen3]"),
        ("{provider} {modelFull}", "local local/qwen3"),
        ("{identity.name}/{identityName}", "Otto/Otto"),
        ("{think} {thinkingLevel}", "high high"),
        ("{MODEL}", "qwen3"),
        ("{unknown}", "{unknown}"),
    ],
)
def test_names_are_filled_in(template: str, prefix: str) -> None:
    """Whatever their case; unknown ones stay."""
    assert reply_prefix(template, identity="Otto", model="local/qwen3", thinking="high") == prefix


def test_auto_without_a_name() -> None:
    """No brackets around nothing; a name without a value stays visible."""
    assert (reply_prefix("auto"), reply_prefix("{model}")) == ("", "{model}")
