"""The status (what `/status.json` has) as tables of the status page. Pure; keys unknown to it are shown, too."""

import re
from collections.abc import Mapping
from typing import Any

from oc_trio.admin.tables import Cell, PageHeadline, PageView, Table, TableRow, cells, facts_of

_TONES = {"live": "good"} | dict.fromkeys(
    ("starting", "connecting", "catching_up", "reconnecting", "stopped", "standby"), "mild"
)
_SHOWN_OF_ACCOUNT = frozenset({"account", "state", "detail", "bot", "since", "last_live_at", "last_event_at", "notes"})
_SHOWN = frozenset(
    {
        *("version", "pid", "now", "phase", "startedAt", "ready", "accounts", "pauses", "stuck", "journal", "reload"),
        "membership",
    }
)
_TIME_NAME = re.compile(r"(?:^|[._])(?:since|at)$|At$")
_TONES_OF_FACTS = (
    (re.compile(r"(?:^|\.)error$|^second_gateway\.\d+\.text$|^problems$"), "bad"),
    (re.compile(r"(?:^|\.)(?:missing|refused)$"), "mild"),
)
# In 2001: a smaller number is no time in milliseconds, whatever its name.
_EARLIEST_TIME_MS = 1_000_000_000_000


def status_view(status: Mapping[str, Any]) -> PageView:
    """The page for readers who may not see what people and models write."""
    tables = [_accounts(status["accounts"])]
    for account in status["accounts"]:
        name, facts = account["account"], {key: account[key] for key in account if key not in _SHOWN_OF_ACCOUNT}
        tables.append(_facts(f"account-{name}", f"Account {name}", facts))
    if "membership" in status:
        tables.append(_processes(status["membership"]))
    shared = {key: status[key] for key in status if key not in _SHOWN}
    tables.append(_facts("facts", "Shared by all accounts", shared))
    if status.get("reload", {}).get("ended"):
        reload = {key: value for key, value in status["reload"].items() if key not in ("begun", "ended")}
        tables.append(_facts("reload", "Configuration, read again", reload))
    if status["pauses"]:
        tables.append(_pauses(status["pauses"]))
    tables.append(_facts("journal", "Journal", status["journal"]))
    return PageView(_headline(status), tuple(table for table in tables if table.rows or not table.are_facts))


def _headline(status: Mapping[str, Any]) -> PageHeadline:
    is_well = status["ready"] and not status["stuck"]
    phase = f"{status['phase']}, {'ready' if status['ready'] else 'not ready'}"
    if status["stuck"]:
        phase = f"stuck: {', '.join(status['stuck'])}"
    return PageHeadline(status["version"], phase, "good" if is_well else "bad", status["pid"], status["startedAt"])


def _accounts(accounts: list[Mapping[str, Any]]) -> Table:
    rows = []
    for one in accounts:
        state = Cell(words(one["state"]), _TONES.get(one["state"], "bad"))
        detail = "; ".join(filter(None, (one["detail"], *one.get("notes", ()))))
        bot = f"@{one['bot']}" if one["bot"] else ""
        times = map(_time, (one["since"], one["last_live_at"], one["last_event_at"]))
        row = cells(one["account"], bot, state, *times, detail)
        rows.append(TableRow(one["account"], row))
    columns = ("Account", "Bot", "State", "Since", "Last live", "Last event", "Detail")
    return Table("accounts", "Accounts", columns, tuple(rows), "no account is configured")


def _processes(membership: Mapping[str, Any]) -> Table:
    rows = []
    for one in membership["processes"]:
        state = "draining" if one["draining"] else "running" if one["alive"] else "gone"
        tone = {"running": "good", "draining": "mild"}.get(state, "bad")
        place = f"{one['host']} ({one['pid']})" + (", this one" if one["me"] else "")
        serves = ", ".join(one["serves"])
        row = (*cells(place), Cell(state, tone), _time(one["startedAt"]), *cells(one["version"], serves))
        rows.append(TableRow(one["id"], row))
    title = "Processes" + (": the database does not answer" if membership["problem"] else "")
    return Table("processes", title, ("Process", "State", "Since", "Version", "Serves"), tuple(rows), "none is known")


def _pauses(pauses: list[Mapping[str, Any]]) -> Table:
    rows = tuple(TableRow(one["what"], cells(one["what"], f"{one['seconds']:.0f} s")) for one in pauses)
    return Table("pauses", "Not asked for a while", ("What", "For"), rows)


def _facts(table_id: str, title: str, facts: Mapping[str, Any]) -> Table:
    rows = tuple(TableRow(name, (Cell(words(name)), _fact(name, text))) for name, text in facts_of(facts) if text)
    return Table(table_id, title, ("Fact", "Value"), rows, are_facts=True)


def _fact(name: str, text: str) -> Cell:
    if name == "size" and text.isdecimal():
        return Cell(f"{int(text) / 1048576:.1f} MiB")
    if text.isdecimal() and _TIME_NAME.search(name):
        return _time(int(text)) if int(text) == 0 or int(text) > _EARLIEST_TIME_MS else Cell(text)
    tone = next((tone for pattern, tone in _TONES_OF_FACTS if pattern.search(name)), "")
    return Cell(f"{int(text):,}" if text.isdecimal() else text, tone)


def _time(at: int) -> Cell:
    return Cell(at=at) if at else Cell("never")


def words(name: str) -> str:
    """`open_obligations` and `openObligations` as words; the parts of a name with dots stay apart."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.replace("_", " ").replace(".", ": "))
    return spaced if spaced.isupper() else re.sub(r"\b[A-Z](?=[a-z])", lambda match: match[0].lower(), spaced)
