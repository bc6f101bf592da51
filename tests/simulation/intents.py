"""What can happen in a plan, as frozen values; `deeds` carries them out."""

from attrs import frozen

from tests.simulation.climate import Climate


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
class Vandalise:
    """Somebody deletes the bot's newest post in a place."""

    place: str
    whom: str = "helper"


@frozen
class Kick:
    place: str
    whom: str = "helper"


@frozen
class Invite:
    place: str
    whom: str = "helper"


@frozen
class Weather:
    climate: Climate


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


@frozen
class Drain:
    down: float


@frozen
class BadDisk:
    """For so many seconds that share of the journal's transactions fails."""

    seconds: float
    share: float


@frozen
class Call:
    """Somebody uses a slash command."""

    author: str
    place: str
    text: str


@frozen
class Press:
    """Somebody presses one of the bot's buttons, so many times at once."""

    author: str
    place: str
    times: int


Deed = (
    Ask
    | Call
    | Press
    | Stop
    | Edit
    | Delete
    | React
    | Command
    | Vandalise
    | Kick
    | Invite
    | Weather
    | CutSockets
    | FreezeSockets
    | RestartServer
    | Crash
    | Drain
    | BadDisk
)
