"""What operators see on the status page beyond the status: running turns, queues, people who wait, what came lately.

Reads the running accounts and the journal, and only when asked: nobody asks while nobody watches. What can be done
about it is in `operator_actions`.
"""

from collections.abc import Callable
from typing import TypeVar

import trio
from attrs import field

from oc_trio.admin.tables import Action, Cell, Chart, Table, TableRow, cells, newest_text
from oc_trio.classes import define
from oc_trio.core.draft_view import DraftView
from oc_trio.core.inbound import InboundMessage
from oc_trio.errors import OcTrioError
from oc_trio.ids import ChannelId
from oc_trio.runtime.account.live_accounts import LiveAccount, LiveAccounts
from oc_trio.runtime.conversation.session import Session
from oc_trio.runtime.process.operator_actions import APPROVE, DISMISS, NOTIFY, STOP
from oc_trio.store.pairing import PairingRow
from oc_trio.store.recent import MINUTE_MS, EndedMessage, RecentRows, TurnMinute
from oc_trio.store.store import Store
from oc_trio.telemetry.minute_counts import MINUTES, MinuteCounts

# The journal is read at most so often, and after every action.
READ_EVERY_MS = 2_000
# What was read last stays on the page where the journal takes longer.
READ_SECONDS = 2.0
# More turns than that nobody reads; the table says how many more there are.
MAX_TURNS = 50
MAX_WAITING = 100

_TONES = {"delivered": "good", "silent": "", "failed": "bad", "cancelled": "mild"}
T = TypeVar("T")


@define(eq=False)
class LiveView:
    """Get the tables and charts from `read`. `shows_text` is `gateway.admin.showText`."""

    accounts: LiveAccounts
    store: Store
    edits: MinuteCounts
    now_ms: Callable[[], int]
    shows_text: bool = True
    _read_at: int = field(init=False, default=0)
    _rows: tuple[RecentRows, tuple[PairingRow, ...]] | None = field(init=False, default=None)
    _problem: str = field(init=False, default="")

    def forget(self) -> None:
        """Read the journal anew at the next `read`."""
        self._read_at = 0

    async def read(self) -> tuple[tuple[Table, ...], tuple[Chart, ...]]:
        """The tables and charts as they are now; a journal that fails is said in a table, and fails nothing."""
        await self._read_journal()
        tables = [await _turns(self.accounts, shows_text=self.shows_text), _queues(self.accounts)]
        if self._problem:
            row = TableRow("problem", (Cell(self._problem, "bad"),))
            tables.append(Table("trouble", "The journal can't be read", ("Problem",), (row,)))
        if self._rows is None:
            return tuple(tables), ()
        recent, requests = self._rows
        tables += [_pairing(requests), _waiting(recent, self.accounts), _ended(recent.ended, self.accounts)]
        tables.append(_refused(recent, self.accounts))
        return tuple(tables), _charts(recent.minutes, self.edits, self._read_at)

    async def _read_journal(self) -> None:
        await trio.lowlevel.checkpoint()
        now = self.now_ms()
        if self._read_at and 0 <= now - self._read_at < READ_EVERY_MS:
            return
        # Before the read: it holds where the deadline ends that, and keeps other watchers from a read of their own.
        self._read_at, self._problem = now, f"no answer within {READ_SECONDS:g} s"
        with trio.move_on_after(READ_SECONDS):
            try:
                recent = await self.store.recent.read(_first_minute(now) - 1)
                self._rows = recent, await self.store.pairing.pending(None, now)
                self._problem = ""
            except OcTrioError as problem:
                self._problem = str(problem)


async def _turns(accounts: LiveAccounts, *, shows_text: bool) -> Table:
    running = [(live, session) for live in accounts for session in live.dispatcher if session.running]
    rows = []
    for live, session in running[:MAX_TURNS]:
        # A long text takes milliseconds to prepare, and other tasks shall not wait for all of them.
        await trio.lowlevel.checkpoint()
        if session.running:
            rows.append(_turn(accounts, live, session, shows_text=shows_text))
    title = "Answers being written" + (f" ({MAX_TURNS} of {len(running)})" if len(running) > MAX_TURNS else "")
    columns = ("For", "Account", "Conversation", "Asked", "State")
    return Table("turns", title, columns, tuple(rows), "nothing is being answered")


def _turn(accounts: LiveAccounts, live: LiveAccount, session: Session, *, shows_text: bool) -> TableRow:
    jobs, view = session.running, live.drafts.view_of(session.key)
    message = jobs[0].inbound
    names = ", ".join(dict.fromkeys(_person(job.inbound) for job in jobs))
    state = Cell("stopping", "mild") if session.is_ending else Cell(_state(view), "good" if view else "mild")
    action = Action(
        STOP, "Stop", f"the answer to {names}, and what waits behind it", {"account": live.id, "session": session.key}
    )
    text = newest_text(view.streamed_reply()) if view is not None and shows_text else None
    return TableRow(
        f"{live.id}/{session.key}",
        cells(
            names,
            live.id,
            f"{_place(message, accounts)}: {session.key}",
            Cell(at=jobs[0].obligation.admitted_at),
            state,
        ),
        () if session.is_ending else (action,),
        text,
    )


def _state(view: DraftView | None) -> str:
    """What the agent does now. A turn without a view prepares, waits for its turn, or is being delivered."""
    if view is None:
        return "preparing or delivering"
    open_calls = [row.name for row in view.work.rows if row.status is None]
    if view.working:
        return f"using {open_calls[-1]}" if open_calls else "working"
    if view.streamed_text.has_words:
        return "writing"
    return "thinking" if view.thinking else "waiting for the model"


def _queues(accounts: LiveAccounts) -> Table:
    rows = []
    for live in accounts:
        for session in live.dispatcher:
            waiting = session.waiting
            if not waiting and not session.has_spilled:
                continue
            names = ", ".join(dict.fromkeys(_person(job.inbound) for job in waiting[:10]))
            oldest = Cell(at=min(job.obligation.admitted_at for job in waiting)) if waiting else Cell()
            count = f"{len(waiting)}" + (" and more in the journal" if session.has_spilled else "")
            row = cells(count, names, live.id, session.key, oldest)
            rows.append(TableRow(f"{live.id}/{session.key}", row))
    columns = ("Waiting", "From", "Account", "Conversation", "Oldest")
    return Table("queues", "Messages that wait for an answer", columns, tuple(rows[:MAX_WAITING]), "none waits")


def _pairing(requests: tuple[PairingRow, ...]) -> Table:
    rows = []
    for request in requests[:MAX_WAITING]:
        who, fields = f"@{request.name}", {"account": request.account, "code": request.code}
        actions = (
            Action(
                APPROVE, "Approve", f"let {who} write to account {request.account}", fields, ((NOTIFY, "tell them"),)
            ),
            Action(DISMISS, "Dismiss", f"the request of {who} to account {request.account}", fields),
        )
        times = Cell(at=request.requested_at), Cell(at=request.expires_at)
        row = cells(who, request.user_id, request.account, request.code, *times)
        rows.append(TableRow(f"{request.account}/{request.user_id}", row, actions))
    columns = ("Who", "User id", "Account", "Code", "Asked", "Void")
    return Table("pairing", "People who ask to be let in", columns, tuple(rows), "nobody asks to be let in")


def _waiting(recent: RecentRows, accounts: LiveAccounts) -> Table:
    rows = tuple(
        TableRow(
            post.outbox,
            cells(
                post.kind,
                post.account,
                _named("~", accounts.name_of(post.account, ChannelId(post.channel_id)), post.channel_id),
                f"{post.attempts}",
                post.error or "no answer yet",
                Cell(at=post.created_at),
            ),
        )
        for post in recent.waiting
    )
    columns = ("Post", "Account", "Channel", "Attempts", "Last error", "Written")
    return Table("retries", "Posts that are tried again", columns, rows, "none had to be tried again")


def _ended(ended: tuple[EndedMessage, ...], accounts: LiveAccounts) -> Table:
    rows = tuple(
        TableRow(
            each.obligation,
            cells(
                Cell(at=each.ended_at),
                _person(each.message) if each.message else "",
                each.account,
                f"{_place(each.message, accounts)}: {each.session}" if each.message else each.session,
                Cell(each.state, _TONES.get(each.state, "")),
                each.reason,
                f"{max(0, each.ended_at - each.admitted_at) / 1000:.1f} s",
            ),
        )
        for each in ended
    )
    columns = ("When", "For", "Account", "Conversation", "Outcome", "Reason", "Took")
    return Table("outcomes", "Recent outcomes", columns, rows, "nothing was answered yet")


def _refused(recent: RecentRows, accounts: LiveAccounts) -> Table:
    rows = tuple(
        TableRow(
            f"{each.account}/{each.trigger}",
            cells(
                Cell(at=each.at),
                _named("@", accounts.name_of(each.account, each.user_id), each.user_id),
                each.account,
                _named("~", accounts.name_of(each.account, each.channel_id), each.channel_id),
                each.reason,
                each.trigger,
            ),
        )
        for each in recent.refused
    )
    columns = ("When", "Who", "Account", "Channel", "Reason", "For oc-trio explain")
    return Table("refused", "Not answered in the last hour", columns, rows, "all who asked were answered")


def _charts(minutes: tuple[TurnMinute, ...], edits: MinuteCounts, now_ms: int) -> tuple[Chart, ...]:
    """Turns, edits and latency by the minute, for the last hour."""
    first = _first_minute(now_ms)
    begins = tuple(range(first, first + MINUTES * MINUTE_MS, MINUTE_MS))
    by_minute = {minute.at: minute for minute in minutes}
    found = [by_minute.get(at) for at in begins]
    edits_at = edits.since(first)
    edited = tuple(float(edits_at.get(at, 0)) for at in begins)
    answered = tuple(float(minute.turns - minute.failed) if minute else 0.0 for minute in found)
    failed = tuple(float(minute.failed) if minute else 0.0 for minute in found)
    mean = tuple(round(minute.mean_seconds, 2) if minute else None for minute in found)
    longest = tuple(round(minute.longest_seconds, 2) if minute else None for minute in found)
    times = tuple(at // 1000 for at in begins)
    turns = sum(minute.turns for minute in minutes)
    total = sum(minute.mean_seconds * minute.turns for minute in minutes)
    slowest = max((minute.longest_seconds for minute in minutes), default=0.0)
    seconds = f"{total / turns:.1f} s on average, {slowest:.1f} s at most" if turns else "none in the last hour"
    return (
        Chart(
            "chart-turns",
            "Turns per minute",
            f"{turns} in the last hour, {sum(map(int, failed))} failed",
            times,
            (("answered", answered), ("failed", failed)),
        ),
        Chart(
            "chart-edits", "Edits per minute", f"{sum(map(int, edited))} in the last hour", times, (("edits", edited),)
        ),
        Chart("chart-latency", "Seconds per turn", seconds, times, (("mean", mean), ("longest", longest)), False),
    )


def _first_minute(now_ms: int) -> int:
    """The begin of the first of the minutes that the charts show; the last one is the minute that runs."""
    return (now_ms // MINUTE_MS - MINUTES + 1) * MINUTE_MS


def _person(message: InboundMessage) -> str:
    return f"@{message.user_name}" if message.user_name else message.source.value


def _place(message: InboundMessage, accounts: LiveAccounts) -> str:
    """`direct message`, `~town-square`, or `thread in ~town-square`, as far as names are known."""
    if message.is_direct:
        return "direct message"
    name = accounts.name_of(message.account, message.channel_id)
    if not message.reply_root:
        return f"~{name}" if name else "channel"
    return f"thread in ~{name}" if name else "thread"


def _named(sign: str, name: str, identity: str) -> str:
    """A name with its id, or the id alone."""
    return f"{sign}{name} ({identity})" if name and "__" not in name else identity
