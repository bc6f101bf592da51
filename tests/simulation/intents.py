"""A plan and its intents, as frozen values; `actions` carries them out."""

from collections.abc import Iterable

from attrs import frozen

from tests.simulation.fault_rates import FaultRates
from tests.simulation.poison_posts import Poison

WORDS = ("what about", "please explain", "is it true that", "how do I", "tell me more:")


@frozen
class Ask:
    """`how` is mention, direct, chatter, reply (in some thread), inside (the newest thread, with a mention) or onward
    (there, without one); `burst` so many at once, each with so many `files`. `whom` is a bot's name or "both".
    """

    author: str
    place: str
    how: str
    words: str
    burst: int = 1
    files: int = 0
    whom: str = "helper"


@frozen
class Stop:
    author: str
    place: str
    whom: str = "helper"


@frozen
class Edit:
    """`back` counts questions from the newest."""

    back: int


@frozen
class Name:
    """Whoever spoke last in a place without the bot's name adds it."""

    place: str
    whom: str = "helper"


@frozen
class Delete:
    back: int


@frozen
class React:
    back: int


@frozen
class Command:
    author: str
    place: str
    text: str
    whom: str = "helper"


@frozen
class DeleteBotPost:
    """Somebody deletes the bot's newest post in a place."""

    place: str
    whom: str = "helper"


@frozen
class PostForeign:
    """Another gateway posts as our bot: `how` is "marked" with its own installation, "unmarked", or "same key" as our
    newest post in that place.
    """

    place: str
    how: str


@frozen
class Kick:
    place: str
    whom: str = "helper"


@frozen
class Invite:
    place: str
    whom: str = "helper"


@frozen
class Arrive:
    """A place comes to be: a newcomer opens a direct chat with each bot, or a channel is made with everybody in it."""

    place: str


@frozen
class ChangeFaultRates:
    fault_rates: FaultRates


@frozen
class CutSockets:
    pass


@frozen
class FreezeSockets:
    pass


@frozen
class RestartServer:
    seconds: float


@frozen
class Crash:
    """Now, where `operations` is 0, else after so many half operations; back up after `down` seconds."""

    operations: int
    down: float
    process: int = 0


@frozen
class Drain:
    down: float
    process: int = 0


@frozen
class BadDisk:
    """For so many seconds that share of the journal's transactions fails, and that one is committed unanswered."""

    seconds: float
    share: float
    process: int = 0
    unanswered: float = 0.0


# Of several processes.
ALL = -1


@frozen
class Pause:
    """Nothing of that process proceeds for so many seconds: from now, or after so many half operations."""

    process: int
    operations: int
    seconds: float


@frozen
class LoseDatabase:
    """One process, or ALL, does not reach the database: all fails at once, or nobody answers (`hangs`)."""

    process: int
    seconds: float
    hangs: bool


@frozen
class LoseNotices:
    """For so many seconds a process gets no notices of the database."""

    process: int
    seconds: float


@frozen
class Call:
    """Somebody uses a slash command."""

    author: str
    place: str
    text: str


@frozen
class Hook:
    """A program calls the hook of that kind, agent or deliver."""

    kind: str
    place: str


@frozen
class Press:
    """Somebody presses one of the bot's buttons, so many times at once."""

    author: str
    place: str
    times: int


Intent = (
    Ask
    | Call
    | Press
    | Hook
    | Stop
    | Edit
    | Name
    | Arrive
    | Delete
    | React
    | Command
    | DeleteBotPost
    | PostForeign
    | Kick
    | Invite
    | ChangeFaultRates
    | CutSockets
    | FreezeSockets
    | RestartServer
    | Crash
    | Drain
    | BadDisk
    | Pause
    | LoseDatabase
    | LoseNotices
)


# The one minute mark that each run reaches: it begins at 22:13:20.
JOBS_DUE_SECONDS = 40.0


@frozen
class Plan:
    """Intents in the order of their times (seconds); the rest chooses configuration and model behaviour."""

    intents: tuple[tuple[float, Intent], ...]
    queue: str
    reply_to: str
    mode: str
    throttle_ms: int
    drain_seconds: int
    trouble: float
    slow: float
    has_network_faults: bool
    has_blocks: bool = False
    is_wordy: bool = False
    has_bad_disk: bool = False
    has_files: bool = False
    has_calls: bool = False
    has_hooks: bool = False
    poison: Poison | None = None
    has_second_bot: bool = False
    has_one_agent: bool = False
    model_fault_rate: float = 0.0
    # The model's server streams what it says, beside so many other answers.
    other_streams: int | None = None
    # Messages that may wait behind a turn, and which gives way to another; 0 for what is the rule.
    cap: int = 0
    drop: str = ""
    has_foreign_posts: bool = False
    has_jobs: bool = False
    # Gateways on one journal. Of each: milliseconds that its wall clock is off, and how much faster its local one runs.
    processes: int = 1
    # A pooler is between them and the database, so that there are no notices.
    has_pooler: bool = False
    clocks: tuple[tuple[int, float], ...] = ((0, 0.0),)

    @property
    def skew_ms(self) -> int:
        """How far two of the wall clocks are apart at most, the server's among them."""
        offsets = [0, *(offset for offset, _ in self.clocks)]
        return max(offsets) - min(offsets)

    @property
    def end(self) -> float:
        """When the last intent is carried out."""
        return max((at for at, _ in self.intents), default=0.0)


# What breaks something for whoever is at work in that moment.
Break = BadDisk | Crash | CutSockets | Drain | RestartServer | Pause | LoseDatabase


def in_order(intents: Iterable[tuple[float, Intent]]) -> tuple[tuple[float, Intent], ...]:
    """By their times; intents of one moment as they were drawn."""
    return tuple(sorted(intents, key=lambda intent: intent[0]))
