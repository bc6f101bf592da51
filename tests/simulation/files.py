"""Files in questions and answers: which an answer has, the server that they are fetched from, and the checks.

Which files belong to an answer depends on the questions alone, as its text does.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import trio
from attrs import define, field

from oc_trio.core.turn_events import Media
from tests.simulation.crash import PowerSwitch
from tests.simulation.intents import RestartServer
from tests.simulation.model_output import heads
from tests.simulation.transcript import RunTranscript

if TYPE_CHECKING:
    from tests.simulation.observations import ObligationRow, Observations

# What people read of a file that could not be sent.
NOTE = re.compile(r"\n*⚠️ The file `([^`]*)` could not be attached: [^\n]*")
_SHOWN = re.compile(r"words of (q\d+\.\d+)")
_UNAVAILABLE = "unavailable]"
_MISSING = "missing"


def media_of(seed: int, tokens: tuple[str, ...]) -> tuple[Media, ...]:
    """The files of the answer to these questions; a few are not where they should be."""
    rng = random.Random(f"files {seed} {tokens}")
    count = rng.choice((0, 0, 1, 1, 2, 3, 12))
    names = [f"{'-'.join(tokens)}.{number}{'.' + _MISSING * (rng.random() < 0.1)}" for number in range(count)]
    return tuple(Media(url=f"https://files.test/{name.rstrip('.')}.txt") for name in names)


def name_of(media: Media) -> str:
    return media.url.rpartition("/")[2]


def enclosed(number: int, count: int) -> list[tuple[str, bytes]]:
    """The files of a question, by name and content."""
    return [(f"q{number}.{at}.txt", f"words of q{number}.{at}".encode()) for at in range(count)]


@define(eq=False)
class FileServer:
    """Serves the files of answers; `failed` are those that it refused although they exist."""

    rng: random.Random
    transcript: RunTranscript
    failed: set[str] = field(factory=set)

    def seen_by(self, power: PowerSwitch) -> httpx.AsyncBaseTransport:
        """The transport by which one incarnation of the gateway fetches them."""

        async def fetch(request: httpx.Request) -> httpx.Response:
            name = request.url.path.lstrip("/")
            power.before(f"a fetch of {name}")
            await trio.sleep(self.rng.choice((0.0, 0.05, 2.0)))
            power.after(f"a fetch of {name}")
            if _MISSING in name:
                return httpx.Response(404)
            if self.rng.random() < 0.05:
                self.failed.add(name)
                return httpx.Response(503)
            return httpx.Response(200, content=name.encode())

        return httpx.MockTransport(fetch)


@define(eq=False)
class Readings:
    """What the model got to read of questions' files: contents by name, and whether some could not be had."""

    shown: set[str] = field(factory=set)
    has_gaps: bool = False

    def note(self, text: str) -> None:
        self.shown.update(_SHOWN.findall(text))
        self.has_gaps = self.has_gaps or _UNAVAILABLE in text


def files(observed: "Observations") -> Iterator[str]:
    """Each answer has its files, each once, or says which are missing; nothing else has any; and no question's file
    was left unread.
    """
    for trigger, obligation in observed.obligations.items():
        if obligation.state == "delivered" and observed.plan.has_files and not observed.has_model_fault(obligation):
            yield from _of_answer(observed, trigger, obligation)
    owned = {post for obligation in observed.obligations.values() for post in obligation.posts}
    for post in observed.posts:
        if post.file_ids and not post.delete_at and post.id not in owned:
            yield f"a post that is no answer has files: {post.message[:60]!r}"
    yield from _read(observed)


def _of_answer(observed: "Observations", trigger: str, obligation: "ObligationRow") -> Iterator[str]:
    answer_posts = [observed.by_id[post] for post in obligation.posts if post in observed.by_id]
    answered = tuple(dict.fromkeys(head for post in answer_posts for head in heads(post.message)))
    if not answer_posts or any(post.delete_at for post in answer_posts) or not answered:
        return
    wanted = [name_of(media) for head in answered for media in media_of(observed.model.seed, head)]
    carried = [observed.scenario.world.files.get(file_id).name for post in answer_posts for file_id in post.file_ids]
    noted = [name for post in answer_posts for name in NOTE.findall(post.message)]
    if Counter(carried + noted) != Counter(wanted):
        yield f"{trigger} should have the files {wanted}, it has {carried} and says that it lacks {noted}"
    for name in noted:
        is_refused = _MISSING in name or name in observed.process.file_server.failed
        if not is_refused and _is_steady(observed):
            yield f"{trigger} lacks {name} although nothing was wrong with it"
    # A crash may take the answer to one upload of each turn with it, and no more: the gateway writes down what it got.
    uploads = [name for name in _uploads(observed) if name in wanted]
    there = [name for name in wanted if _MISSING not in name]
    if len(uploads) > len(there) + observed.process.incarnations - 1 and _is_sound(observed):
        yield f"{len(uploads)} files were uploaded for the {len(there)} of {trigger}"


def _uploads(observed: "Observations") -> list[str]:
    return [
        info.name for info in observed.scenario.world.files._by_id.values() if info.user_id == observed.scenario.bot.id
    ]


def _is_sound(observed: "Observations") -> bool:
    """Whether no request was lost or refused, and no row lost, but for crashes."""
    is_restarted = any(isinstance(intent, RestartServer) for _, intent in observed.plan.intents)
    return _is_steady(observed) and not is_restarted


def _is_steady(observed: "Observations") -> bool:
    """The same, but for restarts of the server, too."""
    return not (observed.plan.has_network_faults or observed.plan.has_bad_disk or observed.scenario.kicks)


def _read(observed: "Observations") -> Iterator[str]:
    for question in observed.scenario.questions:
        names = {name.removesuffix(".txt") for name, _ in enclosed(question.number, question.files)}
        is_answered = any(token.startswith(f"q{question.number}v") for token in observed.model.said_at)
        left = names - observed.model.readings.shown
        if is_answered and left and not (observed.model.readings.has_gaps and not _is_steady(observed)):
            yield f"the model answered #{question.number} and never read {sorted(left)}"
