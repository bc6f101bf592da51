"""Combines toolboxes into the one of a turn, under the agent's rules: which tools, approval, limits of time and size.

A `RuledToolbox` runs no tool itself: that is a local function here, or an MCP server in `oc_trio.agent.mcp`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import trio
from attrs import field

from oc_trio.agent.port import Toolbox, ToolCall, ToolResult, ToolSpec
from oc_trio.classes import frozen
from oc_trio.core.json_body import BadJson, checked_value
from oc_trio.core.text import clean
from oc_trio.core.turn_events import ToolStatus
from oc_trio.errors import StoreError
from oc_trio.telemetry.log import get_logger

log = get_logger(part="toolbox")

SEPARATOR = "__"  # model APIs allow letters, digits, _ and - in a tool's name


@frozen
class ApprovalResult:
    """A person's decision about one call; the `reason` of a refusal goes to the model."""

    allowed: bool
    reason: str = ""


Approve = Callable[[ToolCall], Awaitable[ApprovalResult]]


@frozen
class ToolPolicy:
    """Names may hold `*`; `deny` wins over `allow`. `limit` is seconds per call, `limits` for tools that differ.

    `approve` names the tools that are asked about; without someone to ask they are denied. `longest_result` is in
    characters: more than that would push the conversation out of the model's window.
    """

    allow: tuple[str, ...] = ("*",)
    deny: tuple[str, ...] = ()
    approve: tuple[str, ...] = ()
    limit: float = 120.0
    limits: Mapping[str, float] = field(factory=dict, hash=False)
    longest_result: int = 50_000

    def offers(self, name: str) -> bool:
        return _matches(name, self.allow) and not _matches(name, self.deny)

    def needs_approval(self, name: str) -> bool:
        return _matches(name, self.approve)

    def limit_for(self, name: str) -> float:
        return next((limit for pattern, limit in self.limits.items() if fnmatchcase(name, pattern)), self.limit)


class RuledToolbox:
    """Toolboxes by namespace: the tool `read` in the namespace `files` is offered as `files__read`, in "" as `read`.

    Names are unique: the first toolbox that has one keeps it.
    """

    def __init__(
        self, toolboxes: Mapping[str, Toolbox], policy: ToolPolicy | None = None, approve: Approve | None = None
    ) -> None:
        self._toolboxes = dict(toolboxes)
        self._policy = policy or ToolPolicy()
        self._approve = approve

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """The tools offered now; MCP servers come and go."""
        return tuple(spec for spec, _, _ in self._offered().values())

    async def call(self, call: ToolCall) -> ToolResult:
        """Run one call under the rules. A refusal, a timeout and an unknown name are results too."""
        offered = self._offered().get(call.name)
        if offered is None:
            return ToolResult(f"There is no tool named {call.name}.", ToolStatus.FAILED)
        _, toolbox, own_name = offered
        try:
            call = ToolCall(call.id, call.name, checked_value(call.arguments))
        except BadJson as problem:
            return ToolResult(f"The arguments of {call.name} can't be used: {problem}.", ToolStatus.FAILED)
        if (refusal := await self._ask(call)) is not None:
            return refusal
        limit = self._policy.limit_for(call.name)
        try:
            # After the approval: the time that people take to decide is not the tool's.
            with trio.fail_after(limit):
                result = await toolbox.call(ToolCall(call.id, own_name, call.arguments))
        except trio.TooSlowError:
            log.warning("tool took too long", tool=call.name, limit_s=limit)
            return ToolResult(f"{call.name} was stopped after {limit:g} s.", ToolStatus.FAILED, "took too long")
        return self._truncated(result)

    def _offered(self) -> dict[str, tuple[ToolSpec, Toolbox, str]]:
        offered: dict[str, tuple[ToolSpec, Toolbox, str]] = {}
        for namespace, toolbox in self._toolboxes.items():
            for spec in toolbox.specs:
                name = f"{namespace}{SEPARATOR}{spec.name}" if namespace else spec.name
                # The first toolbox with a name keeps it, so that a server can't replace a local tool.
                if name not in offered and self._policy.offers(name):
                    public = ToolSpec(name, spec.description, spec.parameters, spec.side_effects)
                    offered[name] = (public, toolbox, spec.name)
        return offered

    async def _ask(self, call: ToolCall) -> ToolResult | None:
        if not self._policy.needs_approval(call.name):
            return None
        if self._approve is None:
            return ToolResult(f"{call.name} needs an approval that nobody can give here.", ToolStatus.DENIED)
        verdict = await self._approve(call)
        if verdict.allowed:
            return None
        return ToolResult(verdict.reason or f"The call of {call.name} was not approved.", ToolStatus.DENIED, "denied")

    def _truncated(self, result: ToolResult) -> ToolResult:
        longest, text = self._policy.longest_result, clean(result.text)
        left_out = len(text) - longest
        if left_out > 0:
            text = f"{text[:longest]}\n[{left_out} more characters were left out]"
        return ToolResult(text, result.status, clean(result.detail))


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


class ToolFailed(Exception):
    """Raised by a local function whose tool failed; the model gets the text."""


def _is_store_error(exc: Exception) -> bool:
    if isinstance(exc, ExceptionGroup):
        return exc.subgroup(StoreError) is not None
    return isinstance(exc, StoreError)


Function = Callable[[Mapping[str, Any]], Awaitable[str | ToolResult]]


class LocalTools:
    """Python functions as tools; a function takes the arguments and returns text or a whole result."""

    def __init__(self, tools: Sequence[tuple[ToolSpec, Function]] = ()) -> None:
        self._tools = {spec.name: (spec, function) for spec, function in tools}

    @classmethod
    def joined(cls, *toolboxes: "LocalTools") -> "LocalTools":
        """The tools of all `toolboxes` in one; of equal names the last one's."""
        return cls([tool for toolbox in toolboxes for tool in toolbox._tools.values()])

    @property
    def specs(self) -> Sequence[ToolSpec]:
        return tuple(spec for spec, _ in self._tools.values())

    async def call(self, call: ToolCall) -> ToolResult:
        """Check for the required arguments and call. Raises StoreError: without a journal the turn can't go on.

        Any other error of a function is a defect of ours: a failed result for the model, a traceback for the operator.
        The turn goes on, so what the function did before is not done again.
        """
        if call.name not in self._tools:
            return ToolResult(f"There is no tool named {call.name}.", ToolStatus.FAILED)
        spec, function = self._tools[call.name]
        missing = [name for name in spec.parameters.get("required", ()) if name not in call.arguments]
        if missing:
            return ToolResult(f"Missing arguments: {', '.join(missing)}.", ToolStatus.FAILED)
        try:
            result = await function(call.arguments)
        except ToolFailed as exc:
            return ToolResult(str(exc), ToolStatus.FAILED)
        except Exception as exc:  # a cancellation is no Exception, nor is a group with one
            if _is_store_error(exc):
                raise
            log.error("a defect failed a tool's call; please report it", tool=call.name, exc_info=exc)
            text = f"{call.name} failed: a defect of the gateway, its log says more. Part of it may have been done."
            return ToolResult(text, ToolStatus.FAILED, "defect")
        return result if isinstance(result, ToolResult) else ToolResult(result)
