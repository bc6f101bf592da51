"""An openclaw.json in oc-trio's form, as `openclaw` makes it; a file of ours is in that form already."""

from collections.abc import Mapping
from typing import Any

from attrs import field

from oc_trio.classes import frozen
from oc_trio.errors import Problem


@frozen
class UnavailableValue:
    """A value that can't be read; its problem may be elsewhere in the file, such as at a provider of secrets."""

    path: str
    problem: Problem


@frozen
class Adapted:
    """`original_paths` maps each new path to the one in the file. `unavailable` has the values that could not be read,
    with their paths in the file; they are errors only where the value is used.
    """

    values: dict[str, Any] = field(repr=False, hash=False)
    original_paths: Mapping[str, str] = field(factory=dict, hash=False)
    unavailable: tuple[UnavailableValue, ...] = ()
