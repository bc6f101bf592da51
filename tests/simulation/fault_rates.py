"""The faults of network and server as rates."""

from attrs import asdict, frozen


@frozen
class FaultRates:
    """How likely each fault is, per request or per frame; all 0 means none. `lag` is seconds at most."""

    slow: float = 0.0
    unreachable: float = 0.0
    lost_request: float = 0.0
    lost_answer: float = 0.0
    silent_answer: float = 0.0
    limited: float = 0.0
    broken: float = 0.0
    gateway_timeout: float = 0.0
    thread_race: float = 0.0
    late: float = 0.0
    frame_delay: float = 0.0
    frame_twice: float = 0.0
    frame_swap: float = 0.0
    frame_cut: float = 0.0
    frame_freeze: float = 0.0
    lag: float = 0.0

    def describe(self) -> str:
        """The rates that are not 0, in words."""
        return ", ".join(f"{name} {value:g}" for name, value in asdict(self).items() if value)


NO_FAULTS = FaultRates()
