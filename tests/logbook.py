"""What was logged during a test, kept for the test to ask about. The fixture of that name is in `conftest`."""

from typing import Any

import structlog
from structlog.typing import EventDict


class Logbook:
    """What was logged during a test. ERROR lines that the test does not ask for fail it."""

    def __init__(self) -> None:
        self.events: list[EventDict] = []
        self._expected: set[int] = set()

    def find(self, text: str) -> list[EventDict]:
        """The events whose text contains `text`; errors among them are expected then."""
        found = [event for event in self.events if text in str(event.get("event"))]
        self._expected.update(map(id, found))
        return found

    @property
    def unexpected(self) -> list[EventDict]:
        serious = [event for event in self.events if event.get("level") in ("error", "critical")]
        return [event for event in serious if id(event) not in self._expected]

    def __call__(self, _logger: Any, _method: str, event: EventDict) -> EventDict:
        self.events.append(event)
        raise structlog.DropEvent
