"""Idempotency names for what the tools of a turn post: a turn that runs again after a crash posts none of it twice.

A name is made of the turn, the tool and its arguments, not of the call's id: the model makes another id each time it is
asked. The outbox sends the same name once.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import field

from oc_trio.agent.port import Message
from oc_trio.classes import define
from oc_trio.ids import TurnId

# 80 bits are plenty among the calls of one turn, and the rows' ids stay short.
_DIGEST = 20  # hexadecimal digits


@define(eq=False)
class PostNames:
    """One run of a turn. Equal calls that completed before are counted: asked for twice, a message is posted twice."""

    turn: TurnId
    _calls: Counter[str] = field(init=False, factory=Counter)

    @classmethod
    def after(cls, turn: TurnId, transcript: Iterable[Message]) -> "PostNames":
        """The names of a run that continues a turn after `transcript`."""
        names = cls(turn)
        for message in transcript:
            for call in message.tool_calls:
                # Counted whatever came of it: a call that failed may have posted.
                names.next(call.name, call.arguments)
        return names

    def next(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """The name for what the next such call posts; fit for the id of a row of the outbox."""
        # Sorted: the model may write the same arguments in another order when it is asked again.
        text = json.dumps([tool, arguments], sort_keys=True, separators=(",", ":"), default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]
        self._calls[digest] += 1
        return f"{self.turn}.t{digest}.{self._calls[digest]}"
