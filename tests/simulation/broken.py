"""Mutants: gateways that are wrong in one place each, to prove that the simulation notices."""

import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import httpx
import trio
from attrs import evolve, frozen

from oc_trio.core.entities import Channel
from oc_trio.core.events import Post
from oc_trio.core.ledger import OutboxRow, Outcome, Source
from oc_trio.core.preview import Create, Edit, WriteResult, write_ended, write_started
from oc_trio.errors import MattermostRejected, MattermostUnavailable, StoreError
from oc_trio.ids import AccountId, ChannelId, ObligationId, OutboxId, PostId, SessionKey, ThreadRoot, TurnId
from oc_trio.runtime.account.catchup import CatchUp
from oc_trio.runtime.conversation.mailbox import Job
from oc_trio.runtime.error_boundary import ErrorBoundary
from oc_trio.runtime.turn.previewer import WRITE_SECONDS, Previewer
from oc_trio.store.admission import Admission, AdmissionResult, Admissions
from oc_trio.store.cron import Cron, CronRun
from oc_trio.store.engine import Engine
from oc_trio.store.obligations import Obligations
from oc_trio.store.outbox import Outbox
from oc_trio.store.participation import Participation
from oc_trio.store.store import Store, open_store
from oc_trio.store.transcripts import Transcripts
from oc_trio.store.turns import TurnEnd, Turns
from oc_trio.store.watermarks import Watermarks
from tests.simulation.broken_fleet import LooksWhenTold, ShortLeases, Unfenced, Unguarded
from tests.simulation.gateway_process import Parts, SmallSession, StoreOf
from tests.simulation.invariants import NO_KEY
from tests.simulation.network import SimTransport
from tests.simulation.run import simulate


class NoOverlap(CatchUp):
    """Catch-up reads nothing again: what a lagging replica hid behind the watermark is lost."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._policy = evolve(self._policy, overlap_ms=0)


class IgnoresMissedEdits(CatchUp):
    """Catch-up passes over posts that were seen before, also where they were edited meanwhile."""

    async def _admit(self, channel: Channel, posts: tuple[Post, ...]) -> None:
        seen_ids = await self.services.store.admission.seen(self.services.account, [post.id for post in posts])
        await super()._admit(channel, tuple(post for post in posts if post.id not in seen_ids))


class LeastOverlap(NoOverlap):
    """Catch-up reads as little again as possible. Where watermarks are right, a crash loses nothing by that."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._policy = evolve(self._policy, tie_ms=-(10**12))


class Unshielded(Previewer):
    """Cancelling the turn's writer cancels its request too: the server may apply it after the final text."""

    async def _write(self, step: Create | Edit) -> None:
        self.state = write_started(self.state, step)
        how, post_id = WriteResult.UNAVAILABLE, None
        with trio.move_on_after(WRITE_SECONDS):
            try:
                if isinstance(step, Create):
                    post_id = await self._create(self.number, step.text)
                    await self._record_draft(post_id)
                else:
                    await self._edit(step.post_id, step.text)
                how = WriteResult.OK
            except (MattermostRejected, MattermostUnavailable):
                pass
            finally:
                self.state = write_ended(self.state, how, trio.current_time(), self._rules, post_id)


class NoMarker(SimTransport):
    """Posts are created without the marker in their props, so that none can be found again. Not wrong for as long as
    the server remembers the key: what the next class is measured by.
    """

    dropped: tuple[str, ...] = ()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and request.url.path.endswith("/posts"):
            body = json.loads(await request.aread())
            body.get("props", {}).pop("oc_trio", None)
            for key in self.dropped:
                body.pop(key, None)
            headers = {"Authorization": request.headers["Authorization"]}
            request = httpx.Request("POST", request.url, headers=headers, json=body)
        return await super().handle_async_request(request)


class NoPendingId(NoMarker):
    """Neither marker nor idempotency key: a repeat after a lost answer makes a second post."""

    dropped = ("pending_post_id",)


class WatermarkFirst(Admissions):
    """The watermark moves in a transaction of its own, before the message is admitted."""

    async def admit(self, admission: Admission) -> AdmissionResult:
        marks = Watermarks(self._engine)
        if admission.watermark:
            post = PostId(admission.trigger)
            await marks.advance(admission.account, admission.channel_id, post, admission.create_at)
        return await super().admit(admission)


class IgnoresJournalErrors(Admissions):
    """A message that the journal fails to admit is passed over, as if it had been seen before."""

    async def admit(self, admission: Admission) -> AdmissionResult:
        try:
            return await super().admit(admission)
        except StoreError:
            return AdmissionResult(fresh=False)


class AdmitsCallsTwice(Admissions):
    """A call that is delivered twice is admitted twice."""

    async def admit_soon(self, admission: Admission, seconds: float) -> AdmissionResult:
        admitted = await super().admit_soon(admission, seconds)
        if admitted.fresh or admission.source not in (Source.BUTTON, Source.COMMAND):
            return admitted
        return await super().admit_soon(evolve(admission, trigger=f"{admission.trigger}:{admission.at}"), seconds)


class SeenByAnyAccount(Admissions):
    """A post that one account has seen counts as seen by all accounts."""

    async def admit(self, admission: Admission) -> AdmissionResult:
        row = await self._engine.run(lambda tx: tx.one("SELECT 1 FROM seen WHERE trigger = ?", admission.trigger))
        return AdmissionResult(fresh=False) if row else await super().admit(admission)


class ShowsRunningTurns(Transcripts):
    """A conversation's transcript holds what another account's running turn was asked."""

    async def load(self, session: SessionKey, limit: int, *, without: TurnId | None = None) -> tuple[str, ...]:
        own = await self.of_turn(without) if without else ()
        return tuple(entry for entry in await super().load(session, limit) if entry not in own)


class ForgetsAnswers(Turns):
    """Answers are not written to the transcript: the next turn of the conversation does not know of them."""

    async def finish(self, ended: TurnEnd) -> None:
        await super().finish(evolve(ended, last_entry=lambda _rows: ""))


class IgnoresOpenThreads(Participation):
    """The bot takes part in a thread only once an answer there is complete: replies to its draft are not heard."""

    async def active(self, account: AccountId, channel: ChannelId, root: ThreadRoot, since: int) -> bool:
        sql = "SELECT 1 FROM participation WHERE account = ? AND channel_id = ? AND root_id = ? AND at >= ?"
        return await self._engine.run(lambda tx: tx.one(sql, account, channel, root, since)) is not None


class PostsBeforeClosing(Obligations):
    """The notice about messages that found no room is posted before their obligations are closed."""

    async def close_with_notice(self, ids: Iterable[ObligationId], outcome: Outcome, at: int, notice: OutboxRow) -> int:
        ended = tuple(ids)
        _WAITING.setdefault(self._engine, {})[notice.id] = (ended, outcome)
        await Outbox(self._engine).put([notice])
        return len(ended)


class ClosesWhenPosted(Outbox):
    """Closes those obligations when the notice is posted: the other half of `PostsBeforeClosing`."""

    async def confirm(self, outbox: OutboxId, post: PostId, at: int) -> PostId | None:
        ids, outcome = _WAITING.get(self._engine, {}).get(outbox, ((), None))
        if outcome is not None:
            await Obligations(self._engine).close(ids, evolve(outcome, posts=(post,)), at)
        return await super().confirm(outbox, post, at)


_WAITING: "WeakKeyDictionary[Engine, dict[OutboxId, tuple[tuple[ObligationId, ...], Outcome]]]" = WeakKeyDictionary()


class LeavesSecondPost(Outbox):
    """Our own posts, as events show them, confirm their rows; that one of them exists twice is not reported."""

    async def acknowledge(
        self, account: AccountId, posts: Sequence[Post], at: int, *, are_read: bool = False
    ) -> tuple[OutboxRow | None, ...]:
        await super().acknowledge(account, posts, at, are_read=are_read)
        return (None,) * len(posts)


class ForgetsUploads(Turns):
    """The uploads of an answer are not written down: a restart uploads them all again."""

    async def set_final(self, turn: TurnId, final: str) -> None:
        await super().set_final(turn, json.dumps({**json.loads(final), "files": []}))


class ForgetsUncertainEdits(Previewer):
    """An edit whose request got no answer is taken for one that never arrived."""

    async def _write(self, step: Create | Edit) -> None:
        self._edit_uncertain = _do_nothing
        await super()._write(step)


async def _do_nothing(_post_id: PostId) -> None:
    return


class ContainsNothing(ErrorBoundary):
    """What one turn raises ends the account: the error boundary contains nothing."""

    async def contain(self, work: Callable[[], Awaitable[object]], *_about: Any, **_passing: Any) -> Exception | None:
        await work()
        return None


class ForgetsLastRuns(Cron):
    """Each look at the scheduled jobs counts from itself: nothing is ever due."""

    async def all(self) -> tuple[CronRun, ...]:
        await super().all()
        return ()


class DropsOverflow(SmallSession):
    """Messages that don't fit into the mailbox are dropped, not left to the journal."""

    def enqueue(self, job: Job, *, is_of_command: bool = False) -> None:
        if len(self._mailbox) < self.mailbox:
            super().enqueue(job, is_of_command=is_of_command)


@frozen
class OtherStore(StoreOf):
    """A journal of which some families, by their names in `Store`, are of classes of their own."""

    families: Mapping[str, Callable[[Engine], object]]

    def __call__(self, _location: str | sqlite3.Connection) -> AbstractAsyncContextManager[Store]:
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Store]:
        async with open_store(self.connection) as store:
            others: dict[str, Any] = {name: family(store._engine) for name, family in self.families.items()}
            yield evolve(store, **others)


def journal(**families: Callable[[Engine], object]) -> Callable[[sqlite3.Connection], StoreOf]:
    """For `Parts.store`."""
    return partial(OtherStore, families=families)


@frozen
class Broken:
    """A broken gateway, the one that it is measured by, and the kinds of trouble that tell them apart soonest.

    Where the gateway has a second line of defence against a mistake, `sound` does without it as well; what that alone
    shows is `beside` the point. `first` is the seed that the search begins at: the one that found it last, as most find
    nothing.
    """

    parts: Parts
    kinds: tuple[str, ...]
    sound: Parts = Parts()
    beside: tuple[str, ...] = ()
    first: int = 0

    def is_found_out(self, seed: int) -> bool:
        """Whether this run breaks a promise that the sound gateway keeps in it."""

        def broken(parts: Parts) -> bool:
            return any(problem not in self.beside for problem in simulate(seed, parts=parts, kinds=self.kinds).problems)

        return broken(self.parts) and not broken(self.sound)


BROKEN: dict[str, Broken] = {
    "no overlap in catch-up": Broken(Parts(catch_up=NoOverlap), ("lag", "server"), first=3),
    "unshielded write": Broken(Parts(previewer=Unshielded), ("rest", "cancel"), first=52),
    "no pending id": Broken(Parts(transport=NoPendingId), ("rest",), Parts(transport=NoMarker), (NO_KEY,), 8),
    "watermark before commit": Broken(
        Parts(store=journal(admission=WatermarkFirst), catch_up=LeastOverlap),
        ("blackout",),
        Parts(catch_up=LeastOverlap),
    ),
    "second post left": Broken(Parts(store=journal(outbox=LeavesSecondPost)), ("rest",), first=5),
    "late edit left": Broken(Parts(previewer=ForgetsUncertainEdits), ("rest", "threads", "lag"), first=53),
    "calls taken in twice": Broken(Parts(store=journal(admission=AdmitsCallsTwice)), ("http",), first=2),
    "uploads forgotten": Broken(Parts(store=journal(turns=ForgetsUploads)), ("files", "crash"), first=7),
    "journal errors ignored": Broken(
        Parts(store=journal(admission=IgnoresJournalErrors)), ("disk", "people"), first=42
    ),
    "one account's messages taken for all": Broken(
        Parts(store=journal(admission=SeenByAnyAccount)), ("accounts",), first=1
    ),
    "another account's question told": Broken(
        Parts(store=journal(transcripts=ShowsRunningTurns)), ("accounts", "cancel"), first=5
    ),
    "answers not remembered": Broken(Parts(store=journal(turns=ForgetsAnswers)), ("drain",)),
    "replies to a beginning unheard": Broken(
        Parts(store=journal(participation=IgnoresOpenThreads)), ("threads",), first=6
    ),
    "names added in a gap overlooked": Broken(
        Parts(catch_up=IgnoresMissedEdits), ("names", "server", "socket"), first=2
    ),
    "defects not contained": Broken(Parts(boundary=ContainsNothing), ("model_faults",)),
    "refused before it is ended": Broken(
        Parts(store=journal(obligations=PostsBeforeClosing, outbox=ClosesWhenPosted)), ("crowded", "crash"), first=21
    ),
    "last runs of jobs forgotten": Broken(Parts(store=journal(cron=ForgetsLastRuns)), ("jobs",)),
    "mailbox overflow dropped": Broken(Parts(session=DropsOverflow), ("people",), first=6),
    "no check of the epoch": Broken(Parts(store=Unfenced), ("fleet",), first=12),
    "lease longer than believed": Broken(
        Parts(leases=lambda engine, _notices: ShortLeases(engine)), ("fleet",), first=3
    ),
    "writes after the deadline": Broken(Parts(lease=Unguarded), ("fleet",), first=33),
    "notices without looking": Broken(Parts(leases=LooksWhenTold), ("fleet",), first=7),
}
