"""People who use slash commands and press buttons; what they ask that way is a question like any other."""

import random
from typing import Any

import trio
from attrs import define, field

from oc_trio.core.buttons import CALLBACK_DATA, NONCE
from oc_trio.core.relayed import COMMAND_ACCEPTED
from oc_trio.core.turn_events import Button
from oc_trio.sandbox import records
from oc_trio.sandbox.attachments import actions_of
from oc_trio.sandbox.errors import ApiError
from oc_trio.sandbox.outgoing import IntegrationUnreachable
from tests.simulation.callback_transport import ASKING, Asking
from tests.simulation.intents import Call, Press
from tests.simulation.model_output import TOKEN, number_of
from tests.simulation.network import Network
from tests.simulation.scenario import Question, Scenario, now_ms, under

# Longer than Mattermost waits for an answer.
_UNCERTAIN_SECONDS = 40.0
# Commands that the model answers end so.
_ASKS = " tell"


Action = dict[str, Any]


@define(eq=False)
class Callers:
    """`rng` decides what a plan leaves open; calls are tasks of the network's nursery."""

    scenario: Scenario
    network: Network
    rng: random.Random
    _offered: dict[tuple[str, ...], Question] = field(factory=dict)
    _pressed: dict[int, Asking] = field(factory=dict)

    def allow_commands(self) -> None:
        """The bot may register commands."""
        scenario = self.scenario
        team = scenario.world.teams.find(scenario.places["square"].team_id)
        assert team is not None
        team.roles[scenario.bot.id] = "team_user team_admin"

    def offer(self, tokens: tuple[str, ...]) -> tuple[tuple[Button, ...], ...]:
        """The buttons of the answer to these questions, the same at each attempt. A click on it is a question."""
        if random.Random(f"buttons {tokens}").random() < 0.5:
            return ()
        question = self._offered.get(tokens)
        if question is None:
            question = self._offered[tokens] = self.scenario.reserve("", "")
        return ((Button("More", f"more [{question.token}]"),),)

    def do(self, intent: Call | Press) -> None:
        """Never waits."""
        if self.network.is_down:
            return
        if isinstance(intent, Call):
            self.network.nursery.start_soon(self._command, intent)
            return
        candidates = self._button(intent.place)
        if candidates is None:
            return
        post, action = candidates
        for _ in range(intent.times):
            self.network.nursery.start_soon(self._press, intent.author, post, action)

    async def _command(self, intent: Call) -> None:
        scenario, channel = self.scenario, self.scenario.places[intent.place]
        question = scenario.reserve(intent.author, intent.place)
        question.thread = self._root(intent.place) if self.rng.random() < 0.3 else None
        is_for_model = intent.text.endswith(_ASKS)
        question.is_command = not is_for_model
        text = f"{intent.text} me more [{question.token}]" if is_for_model else intent.text
        asking = Asking(question)
        ASKING.set(asking)
        scenario.transcript.note(
            intent.author, f"in {intent.place}{under(question.thread)}: {text} (#{question.number})"
        )
        is_stop = intent.text.startswith(("/oc_stop", "/oc_new"))
        if is_stop:
            scenario.stops.append((trio.current_time(), intent.place))
        self.network.waiting += 1
        is_received = False
        try:
            body = {"channel_id": channel.id, "team_id": scenario.places["square"].team_id, "command": text}
            body["root_id"] = question.thread.post.id if question.thread else ""
            answer = await scenario.world.slash.execute(scenario.people[intent.author], body)
            scenario.transcript.note(intent.author, f"reads of #{question.number}: {answer['text']}")
            is_received = answer["text"] == COMMAND_ACCEPTED
        except ApiError as refusal:
            scenario.transcript.note(intent.author, f"reads that #{question.number} failed: {refusal.code}")
        finally:
            self.network.waiting -= 1
        if is_stop:
            # It may have been carried out at any time until now, or still be, where nobody knows.
            later = _UNCERTAIN_SECONDS if asking.open or is_received else 0.0
            scenario.stops.append((trio.current_time() + later, intent.place))

    async def _press(self, author: str, post: records.PostRecord, action: Action) -> None:
        scenario = self.scenario
        context = action["integration"]["context"]
        question = scenario.questions[number_of(TOKEN.findall(context[CALLBACK_DATA])[0])]
        if question.post.id == "":
            question.post.id = f"interaction:{post.id}:{context[NONCE]}"
            question.author, question.place, question.asked_at = author, self._place_of(post), trio.current_time()
            question.post.channel_id, question.post.create_at = post.channel_id, now_ms()
            question.thread = next((each for each in scenario.questions if each.post.id == post.root_id), None)
            question.was_member = scenario.bot.id in scenario.places[question.place].members
        ASKING.set(self._pressed.setdefault(question.number, Asking(question)))
        scenario.transcript.note(author, f"presses More below {post.message[:30]!r} (#{question.number})")
        self.network.waiting += 1
        try:
            await scenario.world.interactions.press(scenario.people[author], post.id, action["id"], "", "")
        except (ApiError, IntegrationUnreachable) as refusal:
            scenario.transcript.note(author, f"reads that pressing failed: {refusal}")
        finally:
            self.network.waiting -= 1

    def _root(self, place: str) -> Question | None:
        """What a thread in that place began with, or could begin with."""
        questions = [each for each in self.scenario.questions if not (each.is_call or each.is_deleted or each.thread)]
        # The other bot's direct chat with the same person is another place.
        candidates = [each for each in questions if each.post.channel_id == self.scenario.places[place].id]
        return self.rng.choice(candidates) if candidates else None

    def _button(self, place: str) -> tuple[records.PostRecord, Action] | None:
        """One of the bot's buttons in that place that ask something."""
        channel = self.scenario.places[place]
        candidates = [
            (post, action)
            for post in self.scenario.bot_posts()
            if post.channel_id == channel.id and not post.delete_at
            for action in actions_of(post.props)
            if TOKEN.findall(action.get("integration", {}).get("context", {}).get(CALLBACK_DATA, ""))
        ]
        return self.rng.choice(candidates) if candidates else None

    def _place_of(self, post: records.PostRecord) -> str:
        return next(name for name, channel in self.scenario.places.items() if channel.id == post.channel_id)
