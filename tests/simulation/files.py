"""Files in questions and answers: what an answer carries, where it is fetched from, and what must have become of it.

Which files belong to an answer depends on the questions alone, as its words do.
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
    from tests.simulation.observations import Observations, Owed

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
class Shelf:
    """Where answers' files lie; `failed` are those that could not be had although they are there."""

    rng: random.Random
    chronicle: RunTranscript
    failed: set[str] = field(factory=set)

    def seen_by(self, power: PowerSwitch) -> httpx.AsyncBaseTransport:
        """An incarnation's way to them."""

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


def files(found: "Observations") -> Iterator[str]:
    """Each answer has its files, each once, or says which are missing; nothing else has any; and no question's file
    was left unread.
    """
    for trigger, owed in found.owed.items():
        if owed.state == "delivered" and found.plan.has_files and not found.is_betrayed(owed):
            yield from _of_answer(found, trigger, owed)
    owned = {post for owed in found.owed.values() for post in owed.posts}
    for post in found.posts:
        if post.file_ids and not post.delete_at and post.id not in owned:
            yield f"a post that is no answer has files: {post.message[:60]!r}"
    yield from _read(found)


def _of_answer(found: "Observations", trigger: str, owed: "Owed") -> Iterator[str]:
    shown = [found.by_id[post] for post in owed.posts if post in found.by_id]
    answered = tuple(dict.fromkeys(head for post in shown for head in heads(post.message)))
    if not shown or any(post.delete_at for post in shown) or not answered:
        return
    wanted = [name_of(media) for head in answered for media in media_of(found.model.seed, head)]
    carried = [found.town.world.files.get(file_id).name for post in shown for file_id in post.file_ids]
    noted = [name for post in shown for name in NOTE.findall(post.message)]
    if Counter(carried + noted) != Counter(wanted):
        yield f"{trigger} should have the files {wanted}, it has {carried} and says that it lacks {noted}"
    for name in noted:
        if _MISSING not in name and name not in found.house.shelf.failed and _is_sound(found):
            yield f"{trigger} lacks {name} although nothing was wrong with it"
    # A crash may take the answer to one upload of each turn with it, and no more: what was told is remembered.
    uploads = [name for name in _uploads(found) if name in wanted]
    there = [name for name in wanted if _MISSING not in name]
    if len(uploads) > len(there) + found.house.incarnations - 1 and _is_sound(found):
        yield f"{len(uploads)} files were uploaded for the {len(there)} of {trigger}"


def _uploads(found: "Observations") -> list[str]:
    return [info.name for info in found.town.world.files._by_id.values() if info.user_id == found.town.bot.id]


def _is_sound(found: "Observations") -> bool:
    """Whether no request was lost or refused, and no row lost, but for crashes."""
    is_restarted = any(isinstance(deed, RestartServer) for _, deed in found.plan.deeds)
    return not (found.plan.is_stormy or found.plan.has_bad_disk or is_restarted or found.town.kicks)


def _read(found: "Observations") -> Iterator[str]:
    for question in found.town.questions:
        names = {name.removesuffix(".txt") for name, _ in enclosed(question.number, question.files)}
        is_answered = any(token.startswith(f"q{question.number}v") for token in found.model.said_at)
        left = names - found.model.readings.shown
        if is_answered and left and not (found.model.readings.has_gaps and not _is_sound(found)):
            yield f"the model answered #{question.number} and never read {sorted(left)}"
