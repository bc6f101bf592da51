"""What happens to websocket frames on their way to the gateway: delayed, doubled, swapped, cut off or frozen."""

import random

import trio
from attrs import define, field

from oc_trio.sandbox.faults import Cut, Deliver, Faults, FrameOutcome, Freeze
from oc_trio.sandbox.hub import WebConn
from tests.simulation.fault_rates import NO_FAULTS, FaultRates
from tests.simulation.transcript import RunTranscript


@define(eq=False)
class FrameFaults(Faults):
    """What happens to websocket frames, decided as each one is about to be written."""

    rng: random.Random
    transcript: RunTranscript
    fault_rates: FaultRates = NO_FAULTS
    _held: dict[WebConn, str] = field(factory=dict)

    async def frame(self, connection: WebConn, frame: str) -> FrameOutcome:
        fault_rates, rng = self.fault_rates, self.rng
        held = self._held.pop(connection, None)
        if fault_rates is NO_FAULTS:
            return Deliver((frame,) if held is None else (frame, held))
        if rng.random() < fault_rates.frame_delay:
            await trio.sleep(rng.uniform(0.0, 5.0))
        if held is not None:
            self.transcript.detail("network", "two frames swapped")
            return Deliver((frame, held))
        if rng.random() < fault_rates.frame_cut:
            self.transcript.detail("network", "socket cut before a frame")
            return Cut()
        if rng.random() < fault_rates.frame_freeze:
            self.transcript.detail("network", "socket freezes")
            return Freeze()
        if rng.random() < fault_rates.frame_twice:
            return Deliver((frame, frame))
        if rng.random() < fault_rates.frame_swap:
            self._held[connection] = frame
            return Deliver(())
        return Deliver((frame,))
