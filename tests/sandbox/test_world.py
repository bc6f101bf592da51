"""The plain API of a world, and what it keeps for the reader."""

import random
from itertools import pairwise

from oc_trio.sandbox.demo import seed
from oc_trio.sandbox.world import World
from oc_trio.sandbox.writing import Change
from tests.sandbox.conftest import SandboxClients


def test_equal_seeds_make_equal_worlds() -> None:
    """Clock and randomness come from outside, so ids and tokens repeat."""
    one, other = (seed(World(lambda: 1_800_000_000_000, random.Random(3))) for _ in range(2))
    assert one.bot == other.bot
    assert one.town_square.id == other.town_square.id


def test_the_transcript_keeps_every_version(sandbox: SandboxClients) -> None:
    """Each edit is kept with its time, in order; a deletion is marked and takes nothing away."""
    world, channel = sandbox.world, sandbox.demo.town_square
    post = world.post_as(sandbox.demo.bot, channel, "partial")
    world.writing.apply(post, Change("final"))
    world.writing.delete(world.users.get(sandbox.demo.bot.id), post.id)
    (entry,) = world.transcript(channel)
    assert entry.messages == ("partial", "final")
    assert entry.versions[0][0] < entry.versions[1][0] < entry.deleted_at
    assert entry.username == "bot"


def test_posts_of_one_millisecond_keep_their_order(sandbox: SandboxClients) -> None:
    """Creation times are strictly later one after another under a clock that stands still."""
    times = [sandbox.world.post_as(sandbox.demo.alice, sandbox.demo.town_square, str(n)).create_at for n in range(50)]
    assert all(earlier < later for earlier, later in pairwise(times))


def test_an_edit_moves_its_channel(sandbox: SandboxClients) -> None:
    """As on the real server, `last_post_at` is the time of the last write, not of the last new post."""
    post = sandbox.world.post_as(sandbox.demo.alice, sandbox.demo.town_square, "first")
    sandbox.world.writing.apply(post, Change(message="second"))
    assert sandbox.demo.town_square.last_post_at == post.edit_at > post.create_at


def test_secrets_are_not_shown(sandbox: SandboxClients) -> None:
    """Passwords and tokens stay out of the repr of records."""
    user = sandbox.world.users.find_name("alice")
    (access,) = sandbox.world.users.tokens_of(sandbox.demo.bot.id)
    assert "Passw0rd!x" not in repr(user)
    assert sandbox.demo.bot.token not in repr(access)
