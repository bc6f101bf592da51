"""A finding of `oc-trio doctor`: what was checked, how it is, and what to do."""

from enum import Enum

from attrs import frozen


class Level(Enum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@frozen
class Finding:
    """The result of one check; where it is not OK, `text` says what to do."""

    level: Level
    subject: str
    text: str
