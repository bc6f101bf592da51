"""The differences between two views lead a reader from one to the other; the values of the status become cells."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oc_trio.admin.page_html import ago
from oc_trio.admin.status_tables import status_view, words
from oc_trio.admin.tables import (
    TEXT_CHARS,
    TEXT_STEP,
    Cell,
    PageHeadline,
    PageView,
    Table,
    TableRow,
    changes,
    facts_of,
    newest_text,
)

HEADLINE = PageHeadline("1", "serving", "good", 1, 1)
_ROWS = st.dictionaries(st.sampled_from("abc"), st.tuples(st.text(max_size=3), st.none() | st.text(max_size=6)))
_VIEWS = st.dictionaries(st.sampled_from(("turns", "queues", "pairing")), _ROWS)


def view_of(tables: dict[str, dict[str, tuple[str, str | None]]]) -> PageView:
    return PageView(
        HEADLINE,
        tuple(
            Table(
                name,
                name,
                ("What",),
                tuple(TableRow(key, (Cell(cell),), text=text) for key, (cell, text) in rows.items()),
            )
            for name, rows in tables.items()
        ),
    )


@settings(max_examples=30)
@given(st.lists(_VIEWS, min_size=1, max_size=3))
def test_changes_lead_from_view_to_view(views: list[dict[str, Any]]) -> None:
    """A reader who applies every event shows what a fresh snapshot would show."""
    first, *later = map(view_of, views)
    parts, texts = first.parts(), first.texts()
    shown, written = dict(parts), dict(texts)
    for view in later:
        for name, data in changes(parts, texts, view):
            if name == "parts":
                shown |= {part["id"]: part for part in data["parts"]}
            elif name == "gone":
                for part in data["ids"]:
                    del shown[part]
            else:
                written[data["row"]] = data["text"] if "text" in data else written[data["row"]] + data["append"]
        parts, texts = view.parts(), view.texts()
        assert shown == parts
        assert {row: written[row] for row in texts} == texts
    assert changes(parts, texts, view_of(views[-1])) == ()


@given(st.integers(0, 3 * TEXT_CHARS), st.integers(0, TEXT_STEP))
def test_the_newest_of_a_long_text(length: int, more: int) -> None:
    """It is bounded and ends as the text does; most of the time, what is longer only adds to it."""
    text = "".join(chr(0x4E00 + number % 9973) for number in range(length + more))
    short, long = newest_text(text[:length]), newest_text(text)
    assert len(long) <= TEXT_CHARS + 2
    assert long.removeprefix("… ") == text[len(text) - len(long.removeprefix("… ")) :]
    steps = {max(0, -(-(size - TEXT_CHARS) // TEXT_STEP)) for size in (length, length + more)}
    assert long.startswith(short) is (len(steps) == 1)


def status_of(account: dict[str, Any], **more: Any) -> dict[str, Any]:
    known = {
        "account": "default",
        "state": "live",
        "detail": "",
        "bot": "bot",
        "since": 5,
        "last_live_at": 0,
        "last_event_at": 0,
        "notes": (),
    }
    return {
        "version": "1",
        "pid": 7,
        "now": 1,
        "phase": "serving",
        "startedAt": 1,
        "ready": True,
        "accounts": [known | account],
        "pauses": [],
        "stuck": [],
        "journal": {"size": 2_621_440, "open_obligations": 1234, "error": ""},
        **more,
    }


def rows_of(view: PageView, table: str) -> list[tuple[str, ...]]:
    found = next(each for each in view.tables if each.id == table)
    return [tuple(f"at {cell.at}" if cell.at else cell.text for cell in row.cells) for row in found.rows]


def test_a_status_with_more_facts_than_are_known() -> None:
    """Whatever an account's status has is shown, nested or not, without a change here."""
    slash = {"registered": 10, "wanted": 12, "teams": [{"name": "town", "why": "no right"}]}
    view = status_view(
        status_of({"slash_commands": slash, "empty": [], "callbacksReachedAt": 1_700_000_000_000}, listener="lo")
    )
    assert rows_of(view, "account-default") == [
        ("slash commands: registered", "10"),
        ("slash commands: wanted", "12"),
        ("slash commands: teams: 1: name", "town"),
        ("slash commands: teams: 1: why", "no right"),
        ("callbacks reached at", "at 1700000000000"),
    ]
    assert rows_of(view, "facts") == [("listener", "lo")]
    assert rows_of(view, "accounts") == [("default", "@bot", "live", "at 5", "never", "never", "")]
    assert rows_of(view, "journal")[:2] == [("size", "2.5 MiB"), ("open obligations", "1,234")]


def test_what_is_wrong_stands_out() -> None:
    """Errors and a second gateway's signs are red, what is missing is yellow; without more facts there is no table."""
    second = [{"sign": "copy", "text": "another gateway has this journal"}]
    facts = {"catch_up": {"error": "502", "posts": 3}, "commands": {"missing": ["no right"]}, "second_gateway": second}
    account, *_ = [table for table in status_view(status_of(facts)).tables if table.id == "account-default"]
    tones = {row.key: row.cells[1].tone for row in account.rows if row.cells[1].tone}
    assert tones == {"catch_up.error": "bad", "commands.missing": "mild", "second_gateway.1.text": "bad"}
    assert [table.id for table in status_view(status_of({})).tables] == ["accounts", "journal"]


def test_a_reload_has_a_table() -> None:
    """Once there was one: what kept the file from being used is red; before there is none."""
    reload = {"begun": 0, "ended": 0, "at": 0, "problems": [], "changed": []}
    assert "reload" not in [table.id for table in status_view(status_of({}, reload=reload)).tables]
    refused = {**reload, "begun": 2, "ended": 1, "at": 1_700_000_000_000, "problems": ["gateway.port: is no port"]}
    view = status_view(status_of({}, reload=refused))
    assert rows_of(view, "reload") == [("at", "at 1700000000000"), ("problems", "gateway.port: is no port")]
    (table,) = [table for table in view.tables if table.id == "reload"]
    assert [row.cells[1].tone for row in table.rows] == ["", "bad"]


def test_processes_are_a_table_of_their_own() -> None:
    """Who runs where and serves what, without what changes at each look."""
    process = {
        "version": "1",
        "startedAt": 1_700_000_000_000,
        "me": False,
        "alive": True,
        "draining": False,
        "lag": 0.4,
    }
    processes = [
        {**process, "id": "a", "host": "one", "pid": 11, "me": True, "serves": ["default", "second"]},
        {**process, "id": "b", "host": "two", "pid": 12, "draining": True, "serves": []},
        {**process, "id": "c", "host": "three", "pid": 13, "alive": False, "serves": []},
    ]
    membership = {"problem": "", "processes": processes, "leases": []}
    (table,) = [each for each in status_view(status_of({}, membership=membership)).tables if each.id == "processes"]
    assert [(row.cells[0].text, row.cells[1].text, row.cells[1].tone, row.cells[4].text) for row in table.rows] == [
        ("one (11), this one", "running", "good", "default, second"),
        ("two (12)", "draining", "mild", ""),
        ("three (13)", "gone", "bad", ""),
    ]
    membership["problem"] = "postgres: away"
    titles = [table.title for table in status_view(status_of({}, membership=membership)).tables]
    assert "Processes: the database does not answer" in titles


def test_facts_are_bounded() -> None:
    """A status of any size makes a page of a readable one."""
    assert len(facts_of({"many": [{"a": number} for number in range(1000)]})) == 200


@pytest.mark.parametrize(
    ("state", "more", "phase", "tone"),
    [
        ("live", {}, "serving, ready", "good"),
        ("live", {"ready": False}, "serving, not ready", "bad"),
        ("live", {"stuck": ["listener"]}, "stuck: listener", "bad"),
    ],
)
def test_the_headline(state: str, more: dict[str, Any], phase: str, tone: str) -> None:
    """The headline names the most serious trouble, and its tone says whether all is well."""
    headline = status_view(status_of({"state": state}, **more)).headline
    assert (headline.phase, headline.tone) == (phase, tone)


@pytest.mark.parametrize(
    ("now", "at", "text"),
    [(5_000, 4_000, "1 s ago"), (180_000, 0, "3 min ago"), (0, 7_200_000, "in 2 h"), (86_400_000 * 3, 1, "2 d ago")],
)
def test_how_long_ago(now: int, at: int, text: str) -> None:
    """A duration is shown in the largest unit that fits."""
    assert ago(now, at) == text


def test_names_become_words() -> None:
    """Names in camel case and in snake case become words."""
    assert words("openObligations.last_live_at") == "open obligations: last live at"
