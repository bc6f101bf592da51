"""Names for what the tools of a turn post, so that a turn that is run again after a crash posts none of it twice.

A name is made of the turn, the tool and its arguments: the id of a call is the model's, and another one each time it is
asked. The outbox sends the same name once.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import define, field

from oc_trio.agent.port import Message
from oc_trio.ids import TurnId

_DIGEST = 20  # hexadecimal digits


@define(eq=False)
class PostNames:
    """One run of a turn. Equal calls that completed before are counted: asked for twice, a message is posted twice."""

    turn: TurnId
    _calls: Counter[str] = field(init=False, factory=Counter)

    @classmethod
    def after(cls, turn: TurnId, said: Iterable[Message]) -> "PostNames":
        """Those of a run that goes on behind `said`, the turn's transcript so far."""
        names = cls(turn)
        for message in said:
            for call in message.tool_calls:
                names.next(call.name, call.arguments)
        return names

    def next(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """The name for what the next such call posts; fit for the id of a row of the outbox."""
        text = json.dumps([tool, arguments], sort_keys=True, separators=(",", ":"), default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]
        self._calls[digest] += 1
        return f"{self.turn}.t{digest}.{self._calls[digest]}"
