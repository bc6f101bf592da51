import os
from pathlib import Path
from typing import Any

import pytest
import trio

from oc_trio.errors import RowRefused, StoreError
from oc_trio.ids import TurnId
from oc_trio.store.store import Store, open_store
from tests.store.rows import ACCOUNT, SESSION, Location, admission


async def test_a_journal_is_there_when_it_is_opened_again(location: Location) -> None:
    """What was written is read by the next process."""
    async with open_store(location) as store:
        await store.admission.admit(admission("p1"))

    async with open_store(location) as store:
        assert [item.trigger for item in await store.obligations.open_for(ACCOUNT)] == ["p1"]


@pytest.mark.parametrize("location", ["sqlite"], indirect=True)
async def test_one_gateway_per_state(location: Location) -> None:
    """The second is refused with a message, a reader is let in, and afterwards the place is free."""
    async with open_store(location) as store:
        await store.cron.record_run("job", 1)
        with pytest.raises(StoreError, match="another gateway"):
            async with open_store(location):
                pytest.fail("opened twice")
        async with open_store(location, exclusive=False) as reader:
            assert (await reader.cron.all())[0].job == "job"
            await reader.pairing.revoke(ACCOUNT, admission("p").user_id)
        await store.cron.record_run("job", 2)

    async with open_store(location):
        pass


async def test_a_reader_makes_nothing(tmp_path: Path) -> None:
    """A mistyped path doesn't become an empty journal."""
    with pytest.raises(StoreError, match="no journal at"):
        async with open_store(tmp_path / "nowhere", exclusive=False):
            pytest.fail("opened nothing")

    assert os.listdir(tmp_path) == []


async def hold(store: Store, value: Any, turn: str = "t") -> None:
    """Put `value` where a row needs a text."""
    await store.transcripts.append(SESSION, TurnId(turn), [value], 1)


@pytest.mark.parametrize("value", [None, object(), {"a": 1}], ids=["nothing", "an object", "a table"])
async def test_a_row_that_can_not_be(store: Store, value: Any) -> None:
    """It is refused as such, on each database; neither is it taken for a failing one, nor does the next row suffer."""
    with pytest.raises(RowRefused, match="refuses what a row would hold"):
        await hold(store, value)
    await hold(store, "words")
    assert await store.transcripts.of_turn(TurnId("t")) == ("words",)


@pytest.mark.parametrize("value", ["nul \0 in it", "half an emoji \ud83d"], ids=["nul", "surrogate"])
async def test_text_that_nobody_cleaned(store: Store, value: str) -> None:
    """Whatever a database makes of it, it is no failure of the journal, and an error does not quote it."""
    problem: Exception | None = None
    try:
        await hold(store, value)
    except (RowRefused, UnicodeEncodeError) as refused:
        problem = refused
    assert "in it" not in str(problem)
    assert problem is None or problem.__cause__ is None
    await hold(store, "words")
    assert (await store.transcripts.of_turn(TurnId("t")))[-1] == "words"


async def test_one_refused_row_among_many(store: Store) -> None:
    """Rows that are written in the same moment are kept."""
    refused: list[int] = []

    async def one(number: int) -> None:
        try:
            await hold(store, None if number == 5 else "x", f"t{number}")
        except RowRefused:
            refused.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(one, number)
    assert refused == [5]
    entries_by_turn = [await store.transcripts.of_turn(TurnId(f"t{number}")) for number in range(10)]
    assert [bool(entries) for entries in entries_by_turn] == [number != 5 for number in range(10)]
