"""How bad the network and the server are at a time, as numbers."""

from attrs import asdict, frozen


@frozen
class FaultRates:
    """How likely each mishap is, per request or per frame; 0 everywhere is fair weather. `lag` is seconds at most."""

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

    def told(self) -> str:
        """What is bad about it."""
        return ", ".join(f"{name} {value:g}" for name, value in asdict(self).items() if value)


FAIR = FaultRates()
