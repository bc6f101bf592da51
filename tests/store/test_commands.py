from attrs import evolve

from oc_trio.core.entities import SlashCommand
from oc_trio.ids import CommandId, TeamId, UserId
from oc_trio.store.store import Store
from tests.store.rows import ACCOUNT, OTHER

TEAM = TeamId("team")
ASK = SlashCommand(CommandId("c1"), TEAM, "ask", "P", "http://gateway/c", token="t0ken", creator_id=UserId("bot"))


async def test_a_command_is_kept_with_its_token(store: Store) -> None:
    """The server shows a token once; after a restart it is read from here."""
    await store.commands.save(ACCOUNT, ASK, 1)

    assert await store.commands.find(ACCOUNT, TEAM, "ask") == ASK
    assert await store.commands.all(ACCOUNT) == (ASK,)
    assert await store.commands.find(OTHER, TEAM, "ask") is None


async def test_a_new_registration_replaces_the_old(store: Store) -> None:
    """One command per account, team and trigger."""
    renewed = evolve(ASK, id=CommandId("c2"), token="n3w", url="http://gateway/d")
    for command in (ASK, renewed, evolve(ASK, id=CommandId("c3"), trigger="stop")):
        await store.commands.save(ACCOUNT, command, 1)

    assert [command.id for command in await store.commands.all(ACCOUNT)] == ["c2", "c3"]
    assert await store.commands.find(ACCOUNT, TEAM, "ask") == renewed


async def test_a_command_is_forgotten(store: Store) -> None:
    """A deleted command's token is worth nothing."""
    await store.commands.save(ACCOUNT, ASK, 1)

    assert await store.commands.forget(ACCOUNT, ASK.id)
    assert not await store.commands.forget(ACCOUNT, ASK.id)
    assert await store.commands.all(ACCOUNT) == ()
