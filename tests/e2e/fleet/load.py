"""People who ask the bots of a fleet: by mentions, replies, direct messages, clicks, hooks and commands."""

import random
from collections.abc import Awaitable, Callable

import httpx
import trio
from attrs import define, field, frozen

from oc_trio.sandbox.clock import wall_clock
from oc_trio.sandbox.records import PostRecord
from oc_trio.sandbox.world import SandboxBot
from oc_trio.signing import build_button_attachments
from tests.e2e.fleet.chat import ChatServer
from tests.e2e.fleet.model import NOTE

HOOK_TOKEN = "hook-token-of-the-fleet"
REPLIES = 6  # questions in one thread, at most
RETRY_SECONDS = 1.0
TRY_SECONDS = 35.0  # longer than Mattermost waits for an integration


@frozen
class Question:
    """`thread` is empty for what opens no thread or comes from no person; `asked_at` in milliseconds."""

    number: int
    bot: str
    kind: str
    thread: str
    asked_at: int
    has_note: bool = False


@frozen
class Command:
    """A slash command that asks for the status: `response` is empty where it failed; times in milliseconds."""

    bot: str
    at: int
    took: int
    response: str


@define(eq=False)
class Load:
    """Asks about `rate` questions a second of `chat`; what was asked is in `questions`."""

    chat: ChatServer
    rng: random.Random
    rate: float
    balancer_port: int
    has_callbacks: bool
    questions: list[Question] = field(factory=list)
    commands: list[Command] = field(factory=list)
    retries: int = 0
    _threads: dict[tuple[str, str], int] = field(factory=dict)

    async def run(self, nursery: trio.Nursery, seconds: float) -> None:
        """Ask for so long. What has to be tried again goes on in `nursery`."""
        ways: list[tuple[Callable[[SandboxBot], Awaitable[None] | None], int]] = [
            (self._mention, 5),
            (self._reply, 4),
            (self._direct, 3),
        ]
        if self.has_callbacks:
            ways += [(self._click, 2), (self._hook, 1), (self._command, 2)]
        with trio.move_on_after(seconds):
            while True:
                await trio.sleep(self.rng.expovariate(self.rate))
                (way,) = self.rng.choices([way for way, _ in ways], [weight for _, weight in ways])
                pending = way(self.rng.choice(self.chat.bots))
                if pending is not None:
                    nursery.start_soon(_wait, pending)

    def _new(self, bot: SandboxBot, kind: str, thread: str = "", *, has_note: bool = False) -> Question:
        question = Question(len(self.questions), bot.username, kind, thread, wall_clock(), has_note)
        self.questions.append(question)
        return question

    def _text(self, question: Question) -> str:
        return f"q{question.number} {NOTE if question.has_note else 'please'}"

    def _mention(self, bot: SandboxBot) -> None:
        question = self._new(bot, "mention", has_note=self.rng.random() < 0.3)
        text = f"@{bot.username} {self._text(question)}"
        post = self.chat.say(self.rng.choice(self.chat.people), self.chat.channels[bot.username], text)
        self._threads[bot.username, post.id] = 1
        self.questions[question.number] = Question(
            question.number, bot.username, "mention", post.id, post.create_at, question.has_note
        )

    def _reply(self, bot: SandboxBot) -> None:
        own = [
            (name, thread)
            for (name, thread), count in self._threads.items()
            if name == bot.username and count < REPLIES
        ]
        if not own:
            self._mention(bot)
            return
        key = self.rng.choice(own[-8:])
        self._threads[key] += 1
        question = self._new(bot, "reply", key[1], has_note=self.rng.random() < 0.2)
        text = f"@{bot.username} {self._text(question)}"
        self.chat.say(self.rng.choice(self.chat.people), self.chat.channels[bot.username], text, root_id=key[1])

    def _direct(self, bot: SandboxBot) -> None:
        person = self.rng.choice(self.chat.people)
        question = self._new(bot, "direct")
        post = self.chat.say(person, self.chat.direct(person, bot), self._text(question))
        self.questions[question.number] = Question(question.number, bot.username, "direct", post.id, post.create_at)

    async def _click(self, bot: SandboxBot) -> None:
        """Somebody posts a button of the bot, and clicks it until the click is answered."""
        question = self._new(bot, "click")
        channel = self.chat.channels[bot.username]
        attachments = build_button_attachments(
            bot_token=bot.token,
            callback_url=f"http://127.0.0.1:{self.balancer_port}/mattermost/interactions/{bot.username}",
            buttons=[[{"text": "Go", "callback_data": f"q{question.number}"}]],
            channel_id=channel.id,
        )
        post: PostRecord = self.chat.world.post_as(bot, channel, "button", props={"attachments": attachments})
        person = self.rng.choice(self.chat.people)
        while not await self.chat.click(person, post):
            self.retries += 1
            await trio.sleep(RETRY_SECONDS)

    async def _hook(self, bot: SandboxBot) -> None:
        """A program calls a hook until it is accepted, always with the same key."""
        question = self._new(bot, "hook")
        body = {
            "message": f"q{question.number} please",
            "to": f"channel:{self.chat.channels[bot.username].id}",
            "accountId": bot.username,
            "idempotencyKey": f"q{question.number}",
        }
        url = f"http://127.0.0.1:{self.balancer_port}/hooks/agent"
        headers = {"Authorization": f"Bearer {HOOK_TOKEN}"}
        while True:
            try:
                async with httpx.AsyncClient(timeout=TRY_SECONDS, trust_env=False) as http:
                    response = await http.post(url, json=body, headers=headers)
                if response.status_code == 202:
                    return
            except httpx.HTTPError:
                pass
            self.retries += 1
            await trio.sleep(RETRY_SECONDS)

    async def _command(self, bot: SandboxBot) -> None:
        at = wall_clock()
        response = await self.chat.command(self.rng.choice(self.chat.people), bot, f"/{bot.username}_status")
        self.commands.append(Command(bot.username, at, wall_clock() - at, response))


async def _wait(pending: Awaitable[None]) -> None:
    await pending
