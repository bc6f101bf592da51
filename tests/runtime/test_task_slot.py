"""The slot: one child at a time, and whoever ends it knows that it has ended, and why."""

import pytest
import trio
import trio.testing

from oc_trio.runtime.task_slot import TaskSlot


class RecordedChildren:
    """Children that write down what happens to them."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def stay(self, name: str, *, goodbye: float = 0.0) -> None:
        self.lines.append(f"{name} begins")
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(goodbye)
            self.lines.append(f"{name} ends")

    async def finish(self, name: str, after: float) -> None:
        await trio.sleep(after)
        self.lines.append(f"{name} is done")


@pytest.fixture
def children() -> RecordedChildren:
    return RecordedChildren()


async def test_another_child_begins_after_the_one_before_has_cleaned_up(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, children: RecordedChildren
) -> None:
    """Replacing waits for the clean-up of what it replaces."""
    slot = TaskSlot(nursery)
    await slot.start(lambda: children.stay("one", goodbye=3.0))
    await trio.testing.wait_all_tasks_blocked()
    await slot.start(lambda: children.stay("two"))
    assert trio.current_time() == 3.0
    await trio.testing.wait_all_tasks_blocked()
    assert children.lines == ["one begins", "one ends", "two begins"]
    await slot.cancel_and_join(reason="the end of the test")


async def test_joining_returns_when_the_clean_up_is_over(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, children: RecordedChildren
) -> None:
    """After `cancel_and_join` nothing of the child runs, and the reason is kept."""
    slot = TaskSlot(nursery)
    await slot.start(lambda: children.stay("one", goodbye=2.0))
    await trio.testing.wait_all_tasks_blocked()
    await slot.cancel_and_join(reason="enough")
    assert (children.lines, slot.is_busy, slot.reason) == (["one begins", "one ends"], False, "enough")


async def test_a_child_that_was_cancelled_before_its_first_step_is_joined_too(
    nursery: trio.Nursery, children: RecordedChildren
) -> None:
    """Cancelling at once leaves nobody waiting for ever."""
    slot = TaskSlot(nursery)
    await slot.start(lambda: children.stay("one"))
    with trio.fail_after(1):
        await slot.cancel_and_join(reason="at once")
    assert not slot.is_busy


async def test_the_first_reason_stays(nursery: trio.Nursery, children: RecordedChildren) -> None:
    """Who asked first is why it ended; the next child starts with no reason."""
    slot = TaskSlot(nursery)
    await slot.start(lambda: children.stay("one"))
    assert slot.cancel(reason="first")
    assert slot.cancel(reason="second")
    await slot.join()
    assert slot.reason == "first"
    assert not slot.cancel(reason="nobody is there")
    await slot.start(lambda: children.stay("two"), replacing="unused")
    assert slot.reason == ""
    await slot.cancel_and_join(reason="done")


async def test_an_empty_slot_is_joined_at_once(nursery: trio.Nursery) -> None:
    """Ending nothing is allowed, before the first child and after the last."""
    slot = TaskSlot(nursery)
    with trio.fail_after(1):
        await slot.join()
        await slot.cancel_and_join(reason="nothing there")
    assert slot.reason == ""


async def test_join_waits_for_the_end_that_a_child_finds_by_itself(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, children: RecordedChildren
) -> None:
    """A child that returns leaves the slot free."""
    slot = TaskSlot(nursery)
    await slot.start(lambda: children.finish("one", 5.0))
    assert slot.is_busy
    await slot.join()
    assert (trio.current_time(), children.lines, slot.is_busy) == (5.0, ["one is done"], False)


async def test_two_that_replace_at_once_leave_one_child(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, children: RecordedChildren
) -> None:
    """Starts queue up: each child ends before the next begins."""
    slot = TaskSlot(nursery)
    await slot.start(lambda: children.stay("first", goodbye=1.0))
    await trio.testing.wait_all_tasks_blocked()
    async with trio.open_nursery() as both:
        both.start_soon(slot.start, lambda: children.stay("a", goodbye=1.0))
        both.start_soon(slot.start, lambda: children.stay("b", goodbye=1.0))
    await trio.testing.wait_all_tasks_blocked()
    begun = sum(line.endswith("begins") for line in children.lines)
    ended = sum(line.endswith("ends") for line in children.lines)
    assert begun - ended == 1
    await slot.cancel_and_join(reason="done")


async def test_a_starter_that_is_cancelled_leaves_the_slot_empty(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, children: RecordedChildren
) -> None:
    """Giving up on a replacement starts nothing; the old child is ended all the same."""
    slot = TaskSlot(nursery)
    await slot.start(lambda: children.stay("old", goodbye=10.0))
    await trio.testing.wait_all_tasks_blocked()
    with trio.move_on_after(1.0) as patience:
        await slot.start(lambda: children.stay("new"))
    assert patience.cancelled_caught
    await slot.join()
    assert (children.lines, slot.is_busy) == (["old begins", "old ends"], False)


async def test_a_closed_nursery_leaves_the_slot_empty(children: RecordedChildren) -> None:
    """A start that is refused must not be waited for later."""
    async with trio.open_nursery() as closed:
        slot = TaskSlot(closed)
    with pytest.raises(RuntimeError, match="closed"):
        await slot.start(lambda: children.stay("late"))
    assert not slot.is_busy
    with trio.fail_after(1):
        await slot.cancel_and_join(reason="nothing there")


async def test_a_childs_error_ends_its_nursery_and_frees_the_slot() -> None:
    """Errors are the nursery's business; nobody who joins is left waiting."""

    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError("broken")

    with pytest.RaisesGroup(pytest.RaisesExc(ValueError, match="broken")):
        async with trio.open_nursery() as nursery:
            slot = TaskSlot(nursery)
            await slot.start(fail)
            with trio.CancelScope(shield=True), trio.fail_after(1):
                await slot.join()
            assert not slot.is_busy
