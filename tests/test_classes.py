"""The decorators of our classes are attrs' own, but for what a value looks like in a log or a failed test."""

import re
from pathlib import Path
from typing import Any

import attrs
import pytest

from oc_trio import classes

ROOT = Path(__file__).resolve().parent.parent / "oc_trio"


def pair(frozen: Any, define: Any) -> tuple[type[Any], type[Any]]:
    """Two classes made with these decorators."""

    @frozen
    class Value:
        name: str
        secret: str = attrs.field(default="s", repr=False)
        size: int = attrs.field(default=0, repr=lambda number: f"<{number}>")
        _hidden: tuple[int, ...] = ()

    @define(eq=False)
    class Owner:
        value: Any = None
        later: str = attrs.field(init=False)

    return Value, Owner


OURS, THEIRS = pair(classes.frozen, classes.define), pair(attrs.frozen, attrs.define)


def shown(types: tuple[type[Any], type[Any]]) -> list[str]:
    value_type, owner_type = types
    value = value_type("a", "quittenmus", 3, (1, 2))
    owner, itself = owner_type(value), owner_type()
    itself.value = [itself]
    itself.later = "now"
    return [repr(value), repr(owner), repr(itself), repr((value, value))]


def test_a_value_is_shown_as_attrs_shows_it() -> None:
    """Fields in order, none that is left out, and no end without one that contains itself."""
    assert shown(OURS) == shown(THEIRS)
    assert "quittenmus" not in str(shown(OURS))


def test_they_make_what_attrs_makes() -> None:
    """Frozen values that are equal by their fields, with slots; services that are equal to themselves only."""
    value_type, owner_type = OURS
    one, same, other = value_type("a"), value_type(name="a", hidden=()), value_type("b")
    assert one == same != other
    assert len({one, same, other}) == 2
    assert owner_type(one) != owner_type(one)
    assert attrs.evolve(one, name="b") == other
    assert not hasattr(one, "__dict__")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        one.name = "c"


def test_a_class_may_look_otherwise() -> None:
    """By a `repr` of its own, or without one."""

    @classes.frozen
    class Odd:
        name: str

        def __repr__(self) -> str:
            return "odd"

    @classes.frozen(repr=False)
    class Plain:
        name: str

    assert repr(Odd("a")) == "odd"
    assert "Plain object at" in repr(Plain("a"))


def test_all_our_classes_are_made_with_them() -> None:
    """Each that attrs' own makes takes a start longer."""
    theirs = re.compile(r"^from attrs? import [^\n]*\b(?:define|frozen|s|mutable)\b", re.MULTILINE)
    named = [str(path) for path in ROOT.rglob("*.py") if theirs.search(path.read_text())]
    assert [name for name in named if not name.endswith("oc_trio/classes.py")] == []
