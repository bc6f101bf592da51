"""attrs' decorators for classes, with one `repr` and one hash for all: attrs would write and compile them for each.

That took a fifth of the CPU of a start, and hardly one of them is ever called.
"""

from collections.abc import Callable
from contextvars import ContextVar
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    # Type checkers know these by their names.
    from attrs import define as define
    from attrs import frozen as frozen
else:

    def define(cls=None, /, **options):
        """As attrs.define."""
        return _decorated(attrs.define, cls, options)

    def frozen(cls=None, /, **options):
        """As attrs.frozen."""
        return _decorated(attrs.frozen, cls, options)

    def _decorated(decorator, cls, options):
        def decorate(undecorated):
            own = undecorated.__dict__
            # attrs writes none where the class has its own.
            if options.get("repr", True) and "__repr__" not in own:
                undecorated.__repr__ = _repr
            # Where it would write one: for frozen values that are equal by their fields.
            if decorator is attrs.frozen and options.get("eq", True) and not {"__eq__", "__hash__"} & own.keys():
                undecorated.__hash__ = _hash
            return decorator(undecorated, **options)

        return decorate if cls is None else decorate(cls)


# The ids of the values whose `repr` is under way: one may contain itself.
_under_way: ContextVar[frozenset[int]] = ContextVar("_under_way", default=frozenset())


def _repr(self: Any) -> str:
    """As attrs writes it: `Name(field=value, ...)` without the fields that are to be left out."""
    others = _under_way.get()
    if id(self) in others:
        return "..."
    token = _under_way.set(others | {id(self)})
    try:
        parts = [f"{each.name}={_shown(self, each)}" for each in type(self).__attrs_attrs__ if each.repr]
    finally:
        _under_way.reset(token)
    return f"{type(self).__qualname__.rsplit('>.', 1)[-1]}({', '.join(parts)})"


def _hash(self: Any) -> int:
    """As attrs has it: of all fields by which values are compared, but those that are to be left out."""
    # Not of the class: its place in memory would give sets another order in each run.
    kind: Any = type(self)
    return hash(_hashed(kind)(self))


@cache
def _hashed(kind: Any) -> Callable[[Any], object]:
    """What gives the fields of a value that are hashed."""
    names = [each.name for each in kind.__attrs_attrs__ if (each.eq if each.hash is None else each.hash)]
    return attrgetter(*names) if names else lambda _value: ()


def _shown(value: Any, attribute: "attrs.Attribute[Any]") -> str:
    show = attribute.repr if callable(attribute.repr) else repr
    # Without a value where an error came before `__init__` was done.
    return show(getattr(value, attribute.name, attrs.NOTHING))
