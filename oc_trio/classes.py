"""attrs' decorators for classes, with one `repr` for all of them: attrs would write and compile one for each class.

That took a sixth of the CPU of a start, and hardly one of them is ever called.
"""

from contextvars import ContextVar
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
            # attrs writes none where the class has its own.
            if options.get("repr", True) and "__repr__" not in undecorated.__dict__:
                undecorated.__repr__ = _repr
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


def _shown(value: Any, attribute: "attrs.Attribute[Any]") -> str:
    show = attribute.repr if callable(attribute.repr) else repr
    # Without a value where an error came before `__init__` was done.
    return show(getattr(value, attribute.name, attrs.NOTHING))
