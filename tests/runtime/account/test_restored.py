"""After a restored backup: nothing is answered twice, and nothing that was asked since is lost."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
import trio

from oc_trio.agent.scripted import Pause, Say
from tests.runtime.harness import Harness


@pytest.fixture
def backup() -> Iterator[sqlite3.Connection]:
    """A journal that a backup is copied into."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        yield connection


async def restore(harness: Harness, backup: sqlite3.Connection) -> None:
    """Stop, as `oc-trio restore` asks for, and go back to the backup."""
    await harness.stop()
    backup.backup(harness.journal)
    await harness.store.restored.mark(harness.now_ms())


async def test_what_was_answered_since_is_not_answered_again(harness: Harness, backup: sqlite3.Connection) -> None:
    """In threads and flat in a direct channel; a question without an answer, and one that came later, get theirs."""
    await harness.start()
    harness.script = [Say("done", delay=0.1)]
    harness.say("@helper before")
    await harness.settled()
    harness.journal.backup(backup)
    first = harness.say("@helper in a thread")
    harness.say("hello", channel=harness.direct())
    await harness.settled()
    harness.say("@helper again", root=first)
    await harness.settled()
    posts = len(harness.ours()), len(harness.ours(harness.direct()))
    await restore(harness, backup)
    late = harness.say("@helper while it was down")
    await harness.start()
    await harness.settled()
    assert (len(harness.ours()), len(harness.ours(harness.direct()))) == (posts[0] + 1, posts[1])
    assert harness.ours()[-1].root_id == late.id
    assert await harness.state(late) == "delivered"
    after = harness.say("@helper and now")
    await harness.settled()
    assert harness.ours()[-1].root_id == after.id


async def test_what_was_open_in_the_backup_and_answered_since(harness: Harness, backup: sqlite3.Connection) -> None:
    """Its turn ends, and the post with the answer stays as it is."""
    await harness.start()
    harness.script = [Say("one two three four", delay=1.0)]
    question = harness.say("@helper count")
    await harness.until(lambda: any("two" in text for text in harness.answers()))
    harness.journal.backup(backup)
    await harness.settled()
    [answer] = harness.ours()
    await restore(harness, backup)
    harness.script = [Say("something else")]
    await harness.start()
    await harness.settled()
    assert [(post.id, post.message) for post in harness.ours(deleted=True)] == [(answer.id, "one two three four")]
    assert await harness.state(question) == "delivered"
    assert len(harness.agent.requests) == 1


async def test_a_draft_without_words_is_no_answer(harness: Harness, backup: sqlite3.Connection) -> None:
    """Who waited when the journal was lost is answered by the next start."""
    await harness.start(agents={"defaults": {"maxConcurrent": 1}})
    harness.script = [Pause(60), Say("done")]
    harness.journal.backup(backup)
    harness.say("@helper first")
    second = harness.say("@helper second")
    await trio.sleep(10)
    assert any("Waiting" in text for text in harness.answers())
    await harness.crash()
    backup.backup(harness.journal)
    await harness.store.restored.mark(harness.now_ms())
    harness.script = [Say("done")]
    await harness.start()
    await harness.settled()
    assert await harness.state(second) == "delivered"
    assert [post.message for post in harness.ours() if post.root_id == second.id and post.message == "done"] == ["done"]
