"""Programs that call the hooks, and retry with the same idempotency key until the call is accepted."""

import json
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import trio
from attrs import define

from oc_trio.core.hooks import AgentHook, HookKind, hook_trigger
from oc_trio.sandbox.outgoing import IntegrationRequest, IntegrationUnreachable
from oc_trio.sandbox.settings import INTEGRATION_SECONDS
from tests.simulation.callback_transport import ASKING, HOOK_TOKEN, URL, Asking, CallbackTransport
from tests.simulation.intents import Hook
from tests.simulation.network import Network
from tests.simulation.scenario import Notice, Scenario

if TYPE_CHECKING:
    from tests.simulation.observations import Observations

_MAX_TRIES = 60


@define(eq=False)
class HookClients:
    """Its tasks are the network's."""

    scenario: Scenario
    network: Network
    callbacks: CallbackTransport
    rng: random.Random
    _keys: int = 0

    def do(self, intent: Hook) -> None:
        """Never waits."""
        self._keys += 1
        key = f"key-{self._keys}"
        target = f"channel:{self.scenario.places[intent.place].id}"
        trigger = hook_trigger(HookKind(intent.kind), AgentHook("", key=key), "")
        if intent.kind == "agent":
            question = self.scenario.reserve("machine", intent.place, trigger)
            body = {"message": f"report on [{question.token}]", "to": target}
            self.network.nursery.start_soon(self._call, intent, key, body, Asking(question), None)
        else:
            text = f"A notice, number {self._keys}."
            notice = Notice(trigger, intent.place, text)
            self.scenario.notices.append(notice)
            self.network.nursery.start_soon(self._call, intent, key, {"text": text, "to": target}, None, notice)

    async def _call(
        self, intent: Hook, key: str, body: dict[str, Any], asking: Asking | None, notice: Notice | None
    ) -> None:
        headers = (
            ("Authorization", f"Bearer {HOOK_TOKEN}"),
            ("Idempotency-Key", key),
            ("Content-Type", "application/json"),
        )
        call = IntegrationRequest("POST", f"{URL}/hooks/{intent.kind}", headers, json.dumps(body).encode())
        ASKING.set(asking)
        self.scenario.transcript.note("machine", f"calls {intent.kind} for {intent.place} with {key}: {body}")
        self.network.waiting += 1
        status = 0
        try:
            for _ in range(_MAX_TRIES):
                status = await self._try(call)
                if status == 202 or status // 100 == 4:
                    self.scenario.transcript.note("machine", f"is told {status} for {key}")
                    break
                await trio.sleep(self.rng.choice((0.1, 2.0, 10.0)))
        finally:
            self.network.waiting -= 1
        if notice is not None:
            notice.is_taken = status == 202

    async def _try(self, call: IntegrationRequest) -> int:
        try:
            with trio.fail_after(INTEGRATION_SECONDS):
                return (await self.callbacks(call)).status
        except (IntegrationUnreachable, trio.TooSlowError):
            return 0


def notices(observed: "Observations") -> Iterator[str]:
    """A notice whose call was accepted is posted once; one whose call was not, at most once."""
    for notice in observed.scenario.notices:
        posts = [post for post in observed.posts if notice.text in post.message]
        live_posts = [post for post in posts if not post.delete_at]
        if len(live_posts) > 1:
            yield f"{notice.text!r} stands {len(live_posts)} times"
        is_away = observed.scenario.was_kicked(notice.place)
        if notice.is_taken and not (
            live_posts or is_away or observed.scenario.deleted_bot_posts & {post.id for post in posts}
        ):
            yield f"{notice.text!r} was taken in and does not stand"
