"""The people, places and questions of a run, and what each person did. People act directly on the sandbox's world."""

from collections.abc import Sequence
from typing import Literal

import trio
from attrs import define, evolve, field

from oc_trio.sandbox import records
from oc_trio.sandbox.errors import ApiError
from oc_trio.sandbox.world import SandboxBot, World
from oc_trio.sandbox.writing import Change
from tests.simulation.files import enclosed
from tests.simulation.transcript import RunTranscript

EPOCH_MS = 1_700_000_000_000
# A mention may be added for five minutes, a little less.
_MAY_BE_NAMED_MS = 290_000
Addressed = Literal["yes", "no", "perhaps"]


def now_ms() -> int:
    return EPOCH_MS + int(trio.current_time() * 1000)


@define(eq=False)
class Question:
    """One post of a person. `token` is in its text and will be in its answer, with the version of the text. A
    call (a slash command, a click) has no post on the server: its `post` has the id by which the journal knows it.
    """

    number: int
    post: records.PostRecord
    place: str
    author: str
    addressed: Addressed
    asked_at: float
    version: int = 0
    edited_at: float = -1.0
    deleted_at: float = -1.0
    is_command: bool = False
    was_member: bool = True
    files: int = 0
    is_call: bool = False
    thread: "Question | None" = None
    names: str = ""

    @property
    def token(self) -> str:
        return f"q{self.number}v{self.version}"

    @property
    def tokens(self) -> tuple[str, ...]:
        """Of all its versions."""
        return tuple(f"q{self.number}v{version}" for version in range(self.version + 1))

    @property
    def is_chatter(self) -> bool:
        """Whether it was said to no bot at all."""
        return self.addressed == "no" and not (self.names or self.thread or self.is_call or self.is_command)

    @property
    def is_deleted(self) -> bool:
        return self.deleted_at >= 0.0 or (self.thread is not None and self.thread.deleted_at >= 0.0)


@define(eq=False)
class Notice:
    """A message that a program wants to be posted under that outbox id; `is_taken`: its call was accepted."""

    id: str
    place: str
    text: str
    is_taken: bool = False


@define(eq=False)
class Scenario:
    """Two people, a bot, two channels and two direct chats. The `twin` is the same scenario as another bot sees it:
    its list has the same questions, under the same numbers.
    """

    world: World
    transcript: RunTranscript
    bot: SandboxBot
    people: dict[str, records.UserRecord]
    places: dict[str, records.ChannelRecord]
    questions: list[Question] = field(factory=list)
    stops: list[tuple[float, str]] = field(factory=list)
    kicks: list[tuple[float, str]] = field(factory=list)
    deleted_bot_posts: set[str] = field(factory=set)
    # What another gateway has posted as this bot, by id.
    foreign: dict[str, records.PostRecord] = field(factory=dict)
    notices: list[Notice] = field(factory=list)
    twin: "Scenario | None" = None

    def ask(
        self,
        author: str,
        place: str,
        addressed: Addressed,
        words: str,
        thread: Question | None = None,
        files: int = 0,
        *,
        is_for_both: bool = False,
    ) -> Question | None:
        channel = self.places[place]
        number = len(self.questions)
        names = [f"@{self.bot.username} "] if addressed == "yes" and place not in self.people else []
        names += [f"@{self.twin.bot.username} "] if self.twin is not None and names and is_for_both else []
        text = self._text(number, 0, "".join(names), words)
        post = self._post(author, channel, text, thread, enclosed(number, files))
        if post is None:
            return None
        question = Question(
            number,
            post,
            place,
            author,
            addressed,
            trio.current_time(),
            thread=thread,
            was_member=self.bot.id in channel.members,
            files=files,
            names="".join(names),
        )
        self.note(question, is_for_both=len(names) > 1)
        self.transcript.note(author, f"in {place}{under(thread)}: {text}")
        return question

    def command(self, author: str, place: str, words: str) -> None:
        channel = self.places[place]
        text = words if place in self.people else f"@{self.bot.username} {words}"
        post = self._post(author, channel, text, None)
        if post is None:
            return
        if words != "/status":
            self.stops.append((trio.current_time(), place))
        question = Question(len(self.questions), post, place, author, "yes", trio.current_time())
        question.is_command = True
        question.was_member = self.bot.id in channel.members
        self.note(question)
        self.transcript.note(author, f"in {place}: {text} (#{question.number})")

    def delete_bot_post(self, place: str) -> None:
        channel = self.places[place]
        live_posts = [post for post in self.bot_posts() if post.channel_id == channel.id and not post.delete_at]
        if live_posts:
            self.deleted_bot_posts.add(live_posts[-1].id)
            self.transcript.note(
                "alice", f"deletes what {self.bot.username} wrote last in {place}: {live_posts[-1].message[:40]!r}"
            )
            self.world.writing.delete(self.people["alice"], live_posts[-1].id)

    def post_foreign(self, place: str, how: str) -> None:
        """Another gateway with the same bot posts something."""
        channel = self.places[place]
        if self.bot.id not in channel.members:
            return  # whoever is removed from a channel can't post there, by no gateway
        marker = {"k": "another.0", "i": "another"}
        if how == "same key":
            ours = [post for post in self.bot_posts() if post.channel_id == channel.id]
            marker["k"] = str(ours[-1].props.get("oc_trio", {}).get("k", "")) if ours else "another.0"
        props = {} if how == "unmarked" else {"oc_trio": marker}
        self.transcript.note("another gateway", f"posts as {self.bot.username} in {place}, {how}")
        post = self.world.post_as(self.bot, channel, "good morning from elsewhere", props=props)
        self.foreign[post.id] = post

    def edit(self, question: Question) -> None:
        if question.is_deleted or question.is_command:
            return
        text = self._text(question.number, question.version + 1, question.names, "now really")
        for each in self._views(question):
            each.version += 1
            each.edited_at = trio.current_time()
        self.transcript.note(question.author, f"edits #{question.number}: {text}")
        self.world.writing.apply(question.post, Change(message=text))

    def name(self, place: str) -> None:
        """Heard is who adds the bot's name soon enough."""
        chatter = [each for each in self.questions if each.place == place and each.is_chatter and not each.is_deleted]
        if not chatter:
            return
        question = chatter[-1]
        is_soon = now_ms() - question.post.create_at <= _MAY_BE_NAMED_MS
        question.addressed = "yes" if is_soon else "perhaps"
        for each in self._views(question):
            each.names = f"@{self.bot.username} "
        self.edit(question)

    def delete(self, question: Question) -> None:
        if question.is_deleted:
            return
        for each in self._views(question):
            each.deleted_at = trio.current_time()
        self.transcript.note(question.author, f"deletes #{question.number}")
        self.world.writing.delete(self.people[question.author], question.post.id)

    def react(self, question: Question) -> None:
        if not question.is_deleted:
            self.transcript.note("bob", f"likes #{question.number}")
            self.world.reactions.add(self.people["bob"].id, question.post, "+1")
            self.world.events.edited(question.post)

    def kick(self, place: str) -> None:
        channel = self.places[place]
        if self.bot.id in channel.members:
            self.kicks.append((trio.current_time(), place))
            self.transcript.note("alice", f"removes {self.bot.username} from {place}")
            self.world.membership.remove(channel, self.world.users.get(self.bot.id), self.people["alice"])

    def invite(self, place: str) -> None:
        channel = self.places[place]
        if self.bot.id not in channel.members:
            self.transcript.note("alice", f"adds {self.bot.username} to {place}")
            self.world.membership.add(channel, self.world.users.get(self.bot.id), self.people["alice"])

    def open(self, place: str) -> None:
        """Make a place that was not there: somebody's direct chats with the bots, or a channel."""
        world, team = self.world, self.world.teams.get(self.places["square"].team_id)
        scenarios = [self] if self.twin is None else [self, self.twin]
        self.transcript.note("server", f"has {place} now")
        if place == "lab":
            channel = world.create_channel(
                team, place, *self.people.values(), *(scenario.bot for scenario in scenarios)
            )
            for scenario in scenarios:
                scenario.places[place] = channel
            return
        self.people[place] = person = world.create_user(place, team=team)
        for scenario in scenarios:
            scenario.places[place] = world.direct(person, scenario.bot)

    def bot_posts(self) -> list[records.PostRecord]:
        """All that our gateway made, deleted ones too, in the order of their creation."""
        posts = [
            post
            for channel in self.places.values()
            for post in self.world.posts.of_channel(channel.id)
            if post.user_id == self.bot.id and not post.type and post.id not in self.foreign
        ]
        return sorted(posts, key=lambda post: post.create_at)

    def _post(
        self,
        author: str,
        channel: records.ChannelRecord,
        text: str,
        thread: Question | None,
        files: Sequence[tuple[str, bytes]] = (),
    ) -> records.PostRecord | None:
        root, person = "" if thread is None else thread.post.root_id or thread.post.id, self.people[author]
        file_ids = tuple(self.world.files.add(person.id, channel.id, *file).id for file in files)
        try:
            return self.world.post_as(person, channel, text, root_id=root, file_ids=file_ids)
        except ApiError:  # the thread's root was deleted
            return None

    def _text(self, number: int, version: int, names: str, words: str) -> str:
        return f"{names}{words} [q{number}v{version}]"

    def note(self, question: Question, *, is_for_both: bool = False) -> None:
        """Number it: what either bot is asked, both have in the same place."""
        self.questions.append(question)
        if self.twin is None:
            return
        # A bot that spoke in a thread hears what is said there without its name.
        addressed: Addressed = "no" if question.thread is None or question.is_call else "perhaps"
        self.twin.questions.append(
            evolve(
                question,
                addressed="yes" if is_for_both else addressed,
                was_member=not question.place or self.twin.bot.id in self.places[question.place].members,
                thread=None if question.thread is None else self.twin.questions[question.thread.number],
            )
        )

    def reserve(self, author: str, place: str, trigger: str = "") -> Question:
        """A question that is not a post. Without `trigger` its id will be that of the call that asks it."""
        channel, person = self.places[place] if place else None, self.people.get(author)
        post = records.PostRecord(trigger, channel.id if channel else "", person.id if person else "", now_ms())
        question = Question(len(self.questions), post, place, author, "no", trio.current_time(), is_call=True)
        question.was_member = channel is None or self.bot.id in channel.members
        self.note(question)
        return question

    def was_kicked(self, place: str) -> bool:
        """Whether the bot was ever removed from there."""
        return any(each == place for _, each in self.kicks)

    def _views(self, question: Question) -> list[Question]:
        """The question as each of the bots sees it."""
        twin = [] if self.twin is None else [self.twin.questions[question.number]]
        return [question, *twin]


def under(thread: Question | None) -> str:
    return "" if thread is None else f" under #{thread.number}"
