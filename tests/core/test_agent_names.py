"""Whether a text calls an agent by name."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.agent_names import compile_patterns, is_explosive, is_named, name_patterns

ADA = name_patterns("Ada Lovelace", "🦩")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        pytest.param("Ada Lovelace, can you?", True, id="in-front"),
        pytest.param("can you, ada   lovelace?", True, id="case-and-blanks"),
        pytest.param("@Ada Lovelace hi", True, id="with-at"),
        pytest.param("**Ada Lovelace**", True, id="bold"),
        pytest.param("_Ada Lovelace_", True, id="underscores"),
        pytest.param("A\u200bda Lovelace", True, id="zero-width-inside"),
        pytest.param("🦩 please", True, id="emoji"),
        pytest.param("Ada Lovelaces", False, id="longer-word"),
        pytest.param("Canada Lovelace", False, id="end-of-a-word"),
        pytest.param("Ada", False, id="half"),
        pytest.param("`Ada Lovelace`", False, id="code"),
        pytest.param("```\nAda Lovelace\n```", False, id="code-block"),
        pytest.param("", False, id="empty"),
        pytest.param("x" * 5000 + " Ada Lovelace", False, id="beyond-what-is-read"),
    ],
)
def test_identity(text: str, named: bool) -> None:
    """The name of an agent is a word of its own, however decorated."""
    assert is_named(text, ADA) is named


def test_own_patterns() -> None:
    """An operator's pattern counts wherever it is found, case ignored."""
    assert is_named("HEY robot", compile_patterns([r"\bhey (ro)?bot\b"]))
    assert not is_named("hey you", compile_patterns([r"\bhey (ro)?bot\b"]))


def test_a_name_with_special_characters_is_no_pattern() -> None:
    """A name is taken literally."""
    assert is_named("ask c.3po now", name_patterns("C.3PO"))
    assert not is_named("ask cx3po now", name_patterns("C.3PO"))


@given(st.text())
def test_no_names_name_nobody(text: str) -> None:
    """An agent without a name and patterns is never called by name."""
    assert not is_named(text, name_patterns("", " "))
    assert not is_named(text, ())


@pytest.mark.parametrize("pattern", [r"(a+)+", r"(?:\w*)*x", r"(a{2,})+", r"((ab)+)*", r"(\w+?)+"])
def test_explosive(pattern: str) -> None:
    """A pattern that repeats a repeat is recognised."""
    re.compile(pattern)
    assert is_explosive(pattern)


@pytest.mark.parametrize("pattern", [r"a+b+", r"(a|b)+", r"\bhey (ro)?bot\b", r"(?:hi|hey)\s+ada", r"[+*]\)\*"])
def test_harmless(pattern: str) -> None:
    """Ordinary patterns pass."""
    assert not is_explosive(pattern)
