"""What `oc-trio doctor` says about each thing that it looked at."""

from enum import Enum

from attrs import frozen


class Level(Enum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@frozen
class Finding:
    """One thing that was looked at, and what to do about it where it isn't well."""

    level: Level
    subject: str
    text: str
