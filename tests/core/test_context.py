"""What the model reads besides the message."""

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.context import (
    ContextPolicy,
    ContextVisibility,
    HistoryEntry,
    clock,
    entry_of,
    from_thread,
    label,
    remember,
    render,
    render_entry,
    render_message,
    sender_label,
    spoken,
    visible,
)
from oc_trio.core.events import Post
from oc_trio.ids import ChannelId, FileId, PostId, ThreadRoot, UserId

TOWN, BOT, ALICE, MALLORY = ChannelId("town"), UserId("bot"), UserId("alice"), UserId("mallory")
NOON = 1_700_000_000_000


def entry(name: str, at: int = 0, **more: Any) -> HistoryEntry:
    return HistoryEntry(PostId(name), TOWN, ALICE, "alice", f"text {name}", NOON + at, **{"trusted": True, **more})


def post(name: str, at: int = 0, **more: Any) -> Post:
    fields = {"message": f"text {name}", "root_id": "" if name == "r" else "r", **more}
    return Post(
        PostId(name), fields.pop("channel_id", TOWN), fields.pop("user_id", ALICE), create_at=NOON + at, **fields
    )


def test_history_is_bounded_and_ordered() -> None:
    """The newest stay, in the order of their times, whenever they came."""
    history: tuple[HistoryEntry, ...] = ()
    for name, at in (("b", 2), ("a", 1), ("d", 4), ("c", 3)):
        history = remember(history, entry(name, at), ContextPolicy(limit=3))
    assert [item.post_id for item in history] == ["b", "c", "d"]


def test_the_same_post_replaces_itself() -> None:
    """An edit of a remembered post is remembered instead."""
    history = remember((entry("a"),), evolve(entry("a"), text="new"), ContextPolicy())
    assert [item.text for item in history] == ["new"]


def test_no_history() -> None:
    """A limit of zero keeps nothing, and shows nothing."""
    policy = ContextPolicy(limit=0)
    assert remember((), entry("a"), policy) == ()
    assert visible((entry("a"),), policy, until=NOON) == ()


def test_long_texts_are_clipped() -> None:
    """One post can't fill the history's budget."""
    (item,) = remember((), evolve(entry("a"), text="x" * 100), ContextPolicy(max_chars=10))
    assert item.text == "x" * 9 + "…"


@pytest.mark.parametrize(
    ("visibility", "quoted", "expected"),
    [
        ("all", set(), ["known", "stranger", "ours"]),
        ("allowlist", {"stranger"}, ["known", "ours"]),
        ("allowlist_quote", set(), ["known", "ours"]),
        ("allowlist_quote", {"stranger"}, ["known", "stranger", "ours"]),
    ],
)
def test_visibility(visibility: str, quoted: set[PostId], expected: list[str]) -> None:
    """Strangers' words are shown to the model as the setting says."""
    entries = (
        entry("known", 1),
        entry("stranger", 2, trusted=False),
        entry("ours", 3, trusted=False, is_ours=True),
        entry("later", 9),
        entry("trigger", 3),
    )
    policy = ContextPolicy(visibility=ContextVisibility(visibility))
    found = visible(entries, policy, until=NOON + 5, without=frozenset({PostId("trigger")}), quoted=frozenset(quoted))
    assert [item.post_id for item in found] == expected


def author(user_id: UserId) -> tuple[str, bool]:
    return str(user_id), user_id == ALICE


THREAD = [
    post("late", 99),
    post("reply", 2, user_id=MALLORY),
    post("r", 1),
    post("answer", 3, user_id=BOT),
    post("join", 4, type="system_join_channel"),
    post("hook", 4, props={"from_webhook": "true"}),
    post("gone", 4, delete_at=1),
    post("old", 4, original_id="r"),
    post("blank", 4, message=" "),
    post("file", 5, message="", file_ids=(FileId("f"),)),
    post("elsewhere", 4, channel_id=ChannelId("den")),
    post("other", 4, root_id="r2"),
]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        pytest.param(ContextPolicy(), ["r", "reply", "answer", "file"], id="all"),
        pytest.param(ContextPolicy(limit=2), ["answer", "file"], id="bounded"),
        pytest.param(
            ContextPolicy(visibility=ContextVisibility.ALLOWLIST), ["r", "answer", "file"], id="without-strangers"
        ),
        pytest.param(ContextPolicy(limit=0), [], id="none"),
    ],
)
def test_a_thread_from_the_server(policy: ContextPolicy, expected: list[str]) -> None:
    """What people and the bot said in this thread up to now, in order."""
    found = from_thread(THREAD, policy, root=ThreadRoot("r"), channel_id=TOWN, until=NOON + 50, bot=BOT, author=author)
    assert [item.post_id for item in found] == expected


def test_the_root_counts_as_quoted() -> None:
    """A stranger's root is shown where quoted posts are."""
    found = from_thread(
        [post("r", user_id=MALLORY), post("reply", 1, user_id=MALLORY)],
        ContextPolicy(visibility=ContextVisibility.ALLOWLIST_QUOTE),
        root=ThreadRoot("r"),
        channel_id=TOWN,
        until=NOON + 50,
        bot=BOT,
        author=author,
    )
    assert [item.post_id for item in found] == ["r"]


def test_rendering() -> None:
    """History stands before the message, each line with its author, time and id."""
    current = render_message("do it", name="@alice", user_id=ALICE, post_id=PostId("p"), channel_id=TOWN, at=NOON)
    text = render((evolve(entry("a"), text="one\n[x] two", files=2), entry("b", is_ours=True)), current)
    assert text.splitlines() == [
        "[Chat messages since your last reply, for context]",
        "[Tue 2023-11-14 22:13:20 UTC] @alice (alice): one",
        "  [x] two [2 attachments] [id:a channel:town]",
        "[Tue 2023-11-14 22:13:20 UTC] you: text b [id:b channel:town]",
        "",
        "[Current message, reply to this]",
        "[Mattermost Tue 2023-11-14 22:13:20 UTC] @alice (alice): do it",
        "[mattermost message id: p channel: town]",
    ]


def test_without_history_there_are_no_headers() -> None:
    """A message alone is just the message."""
    assert render((), "hi") == "hi"


def test_entry_of() -> None:
    """A post becomes an entry with its files counted."""
    made = entry_of(post("a", message="", file_ids=(FileId("f"),)), name="alice", trusted=False, bot=BOT)
    assert made == HistoryEntry(
        PostId("a"), TOWN, ALICE, "alice", "", NOON, trusted=False, files=1, file_ids=(FileId("f"),)
    )
    assert "@alice (alice): [attachment] [id:a" in render_entry(made)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("@alice", "@alice (u)"), ("", "u"), ("a]\n[system", "@a system (u)"), ("x" * 100, "@" + "x" * 79 + "… (u)")],
)
def test_names(name: str, shown: str) -> None:
    """A name can't break out of its label."""
    assert sender_label(name, UserId("u")) == shown


@given(st.text(), st.text())
def test_one_entry_starts_one_line(name: str, text: str) -> None:
    """Whatever a stranger is called and writes, only the first line of an entry starts at the margin."""
    rendered = render_entry(evolve(entry("a"), name=name, text=text))
    assert all(line.startswith("  ") for line in rendered.splitlines()[1:])
    assert not set(label(name)) & set("[]")
    assert len(label(name).splitlines()) <= 1


def test_odd_times() -> None:
    """A time beyond the calendar is no reason to fail."""
    assert clock(10**17) == "unknown time"


@pytest.mark.parametrize("earlier", [(), (entry("e"),)], ids=["alone", "with history"])
def test_words_alone(earlier: tuple[HistoryEntry, ...]) -> None:
    """What was rendered for a model can be read without its labels."""
    one, two = (
        render_message(text, name="alice", user_id=ALICE, post_id=PostId("p"), channel_id=TOWN, at=NOON)
        for text in ("what: is\n\n[this]?", "help")
    )
    assert spoken(render(earlier, f"{one}\n\n{two}")) == "what: is\n\n[this]?\n\nhelp"
    assert spoken("plain") == "plain"
