import os
from pathlib import Path

import pytest

from oc_trio.errors import StoreError
from oc_trio.store.store import open_store
from tests.store.rows import ACCOUNT, Location, admission


async def test_a_journal_is_there_when_it_is_opened_again(location: Location) -> None:
    """What was written is read by the next process."""
    async with open_store(location) as store:
        await store.admission.admit(admission("p1"))

    async with open_store(location) as store:
        assert [item.trigger for item in await store.obligations.open_for(ACCOUNT)] == ["p1"]


@pytest.mark.parametrize("location", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
async def test_one_gateway_per_state(location: Location) -> None:
    """The second is refused with a message, a reader is let in, and afterwards the place is free."""
    async with open_store(location) as store:
        await store.cron.ran("job", 1)
        with pytest.raises(StoreError, match="another gateway"):
            async with open_store(location):
                pytest.fail("opened twice")
        async with open_store(location, exclusive=False) as reader:
            assert (await reader.cron.all())[0].job == "job"
            await reader.pairing.revoke(ACCOUNT, admission("p").user_id)
        await store.cron.ran("job", 2)

    async with open_store(location):
        pass


async def test_a_reader_makes_nothing(tmp_path: Path) -> None:
    """A mistyped path doesn't become an empty journal."""
    with pytest.raises(StoreError, match="no journal at"):
        async with open_store(tmp_path / "nowhere", exclusive=False):
            pytest.fail("opened nothing")

    assert os.listdir(tmp_path) == []
