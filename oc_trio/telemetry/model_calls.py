"""Records of each model when it answered last, and its last error, for the status only."""

from collections.abc import Callable, Container

from attrs import asdict, evolve, field

from oc_trio.classes import define, frozen

# Of what a model's server says; the log has more of it.
LONGEST = 300


@frozen
class ModelStatus:
    """Times are milliseconds since the epoch, 0 for never. `is_well`: the newest request was answered."""

    model: str
    answered_at: int = 0
    error_at: int = 0
    error: str = ""
    is_well: bool = True


@define(eq=False)
class ModelCalls:
    """The status of every model that was asked since the start."""

    now_ms: Callable[[], int]
    # Called with the model and whether it answered: "answered" or "failed".
    count: Callable[[str, str], object] = lambda _model, _result: None
    # As many as the configuration has models: `keep` drops the others.
    _models: dict[str, ModelStatus] = field(init=False, factory=dict)

    def ended(self, model: str, error: str) -> None:
        """A request to `model` ended: with `error`, or answered where that is empty."""
        self.count(model, "failed" if error else "answered")
        status = self._models.get(model) or ModelStatus(model)
        now = self.now_ms()
        self._models[model] = (
            evolve(status, error_at=now, error=error[:LONGEST], is_well=False)
            if error
            else evolve(status, answered_at=now, is_well=True)
        )

    def keep(self, models: Container[str]) -> None:
        """Forget models that are not configured any more."""
        self._models = {name: status for name, status in self._models.items() if name in models}

    def current(self) -> list[dict[str, object]]:
        """As plain JSON values, by name."""
        return [asdict(self._models[name]) for name in sorted(self._models)]
