"""Traces: what a turn's code says of its steps. Does nothing unless a `Tracer` of OpenTelemetry is in use.

Imports nothing of OpenTelemetry: `oc_trio.telemetry.otel` does. Attributes are ids, names and numbers; the words of
people and models are never among them. Names are those of OpenTelemetry's conventions for generative AI, else ours.
"""

from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:  # commands that never trace anything import this module with the agents
    from oc_trio.telemetry.metrics import Metrics

Attributes = Mapping[str, str | int | float | bool]

NOTHING: Mapping[str, str] = MappingProxyType({})
# Of a name that a model made up, or a program.
_LONGEST_NAME = 100


class Span:
    """One step, which ends once: with its `with` block, by `end`, or with the step around it. This one records nothing.

    `headers` make a server's own trace a part of this one.
    """

    headers: Mapping[str, str] = NOTHING

    def child(self, name: str, attributes: Attributes = NOTHING, *, began_ms: int | None = None) -> "Span":
        """A step of this one, which begins now or began at `began_ms` (milliseconds since the epoch)."""
        return self

    def request(self, name: str, attributes: Attributes) -> "Span":
        """A step in which another program is asked."""
        return self

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""

    def event(self, name: str, attributes: Attributes = NOTHING) -> None:
        """Something happened now."""

    def end(self, error: str = "") -> None:
        """The step is over, with all that began within it. `error` is the kind of its failure."""

    def model_request(self, api: str, model: str, url: str) -> "Span":
        """A step: one request to a model's server at `url`."""
        where = urlsplit(url)
        attributes: dict[str, str | int] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": api,
            "gen_ai.request.model": model,
            "server.address": where.hostname or "",
        }
        if where.port is not None:
            attributes["server.port"] = where.port
        return self.request(f"chat {model}", attributes)

    def tool_call(self, call_id: str, tool: str) -> "Span":
        """A step: one call of a tool."""
        tool = tool[:_LONGEST_NAME]
        return self.child(
            f"execute_tool {tool}",
            {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": tool,
                "gen_ai.tool.call.id": call_id[:_LONGEST_NAME],
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, Exception):
            self.set({"oc_trio.cancelled": True})
            self.end()
        else:
            self.end("" if error is None else type(error).__name__)


NO_SPAN = Span()


class Tracer:
    """Makes the traces of a process, one per turn, and exports them with the metrics. This one makes none."""

    def turn(self, agent: str, attributes: Attributes, *, began_ms: int | None = None) -> Span:
        """The first span of a turn of `agent`; it began at `began_ms`, or begins now."""
        return NO_SPAN

    async def export(self, metrics: "Metrics") -> None:
        """Send what has come together, again and again, until cancelled. Returns at once where there is nothing to do.

        Raises nothing: what can't be sent is counted in `metrics` and dropped.
        """

    async def flush(self, metrics: "Metrics") -> None:
        """Send what is left, within a few seconds."""


NO_TRACER = Tracer()
