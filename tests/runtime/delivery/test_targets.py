"""Every form of a target against the embedded server: what it names, and what is told when it names nothing."""

from collections.abc import Callable

import pytest
import trio

from oc_trio.errors import AmbiguousTarget, MattermostRejected, MattermostUnavailable, UnknownTarget
from oc_trio.runtime.delivery.targets import refusal_text
from oc_trio.sandbox.faults import Faults
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from tests.runtime.outbound_world import OutboundWorld, in_no_time, open_outbound_world


@pytest.mark.parametrize(
    ("spelled", "named"),
    [
        pytest.param(lambda p: f"channel:{p.square.id}", "square", id="channel:<id>"),
        pytest.param(lambda p: f"Channel:{p.square.id}", "square", id="prefix in any case"),
        pytest.param(lambda p: "channel:square", "square", id="channel:<name>"),
        pytest.param(lambda p: "#square", "square", id="#name"),
        pytest.param(lambda p: "square", "square", id="bare name"),
        pytest.param(lambda p: "~square", "square", id="~name"),
        pytest.param(lambda p: "town/square", "square", id="team/name"),
        pytest.param(lambda p: f"group:{p.square.id}", "square", id="group:<id>"),
        pytest.param(lambda p: f"user:{p.alice.id}", "@alice", id="user:<id>"),
        pytest.param(lambda p: f"mattermost:{p.alice.id}", "@alice", id="mattermost:<id>"),
        pytest.param(lambda p: "@alice", "@alice", id="@username"),
        pytest.param(lambda p: "@Alice", "@alice", id="@username in capitals"),
        pytest.param(lambda p: p.alice.id, "@alice", id="bare id of a user"),
        pytest.param(lambda p: p.square.id, "square", id="bare id of a channel"),
        pytest.param(lambda p: f"{p.bot.id}__{p.alice.id}", "@alice", id="name of a direct channel"),
    ],
)
@in_no_time
async def test_each_form_of_a_target(spelled: Callable[[OutboundWorld], str], named: str) -> None:
    """A message for the target lands where it names: the channel, or the person's direct channel."""
    from oc_trio.runtime.delivery.compose import MessageRequest

    async with open_outbound_world() as place:
        found = await place.outbound.targets.resolve(spelled(place))
        sent_posts = await place.outbound.post_now(await place.outbound.compose(found, MessageRequest("hi")))
        wanted = place.world.direct(place.alice, place.bot) if named == "@alice" else place.square
        assert sent_posts.channel_id == wanted.id
        assert [entry.message for entry in place.world.transcript(wanted)] == ["hi"]


@pytest.mark.parametrize(
    ("spelled", "error_text"),
    [
        pytest.param("", "A recipient is required", id="empty"),
        pytest.param("#nowhere", "no channel nowhere in any team", id="no such name"),
        pytest.param("plains/square", "not in team plains; its teams: hills, town", id="foreign team"),
        pytest.param("hills/square", "no channel square in team hills", id="not in that team"),
        pytest.param("@nobody", "no user @nobody", id="no such username"),
        pytest.param("channel:" + "z" * 26, "/invite @helper", id="unknown channel is 403"),
        pytest.param("user:" + "z" * 26, "no user with the id", id="unknown user"),
        pytest.param("z" * 26, "neither a user nor a channel", id="unknown bare id"),
        pytest.param("channel:" + "a" * 26, "@helper may not see it", id="foreign private channel"),
    ],
)
@in_no_time
async def test_what_names_nothing_is_told_in_words(spelled: str, error_text: str) -> None:
    """An unknown or forbidden target is an UnknownTarget that says what to do, never a bare 403."""
    async with open_outbound_world() as place:
        hidden = place.world.create_channel(place.team, "hidden", place.alice, private=True)
        with pytest.raises(UnknownTarget) as refusal:
            await place.outbound.targets.resolve(spelled.replace("a" * 26, hidden.id))
        assert error_text in str(refusal.value)


@in_no_time
async def test_a_name_in_two_teams_lists_the_candidates() -> None:
    """Ambiguity is an error whose candidates can be used as they are."""
    async with open_outbound_world() as place:
        twin = place.world.create_channel(place.other, "square", place.alice, place.bot)
        with pytest.raises(AmbiguousTarget) as refusal:
            await place.outbound.targets.resolve("#square")
        assert refusal.value.candidates == ("hills/square", "town/square")
        found = await place.outbound.targets.resolve(refusal.value.candidates[0])
        assert found.channel_id == twin.id


@in_no_time
async def test_the_kind_of_a_bare_id_is_remembered_for_five_minutes() -> None:
    """A channel's id costs the question for a user once, and again when the memory is old."""
    async with open_outbound_world() as place:

        def lookups() -> int:
            return sum(logged.path.endswith(f"/users/{place.square.id}") for logged in place.world.requests)

        for _ in range(3):
            await place.outbound.targets.resolve(place.square.id)
        assert lookups() == 1
        await trio.sleep(301)
        await place.outbound.targets.resolve(place.square.id)
        assert lookups() == 2


class _Down(Faults):
    is_down = False

    async def before(self, request: SandboxRequest) -> SandboxResponse | None:
        return SandboxResponse(503, (), b"") if self.is_down else None


@in_no_time
async def test_a_server_that_is_away_is_no_answer() -> None:
    """While it can't be asked nothing is concluded: a bare id is not taken for a channel."""
    faults = _Down()
    async with open_outbound_world(faults=faults) as place:
        faults.is_down = True
        with pytest.raises(MattermostUnavailable):
            await place.outbound.targets.resolve(place.alice.id)
        faults.is_down = False
        assert str(await place.outbound.targets.resolve(place.alice.id)) == "@alice"


@in_no_time
async def test_a_channel_of_which_the_bot_is_no_member() -> None:
    """A public channel can be named; that writing is refused is told with what to do."""
    from oc_trio.runtime.delivery.compose import MessageRequest

    async with open_outbound_world() as place:
        place.world.create_channel(place.team, "open", place.alice)
        found = await place.outbound.targets.resolve("#open")
        sent_posts = await place.outbound.post_now(await place.outbound.compose(found, MessageRequest("hi")))
        assert sent_posts.posts == ()
        assert "/invite @helper" in sent_posts.problems[0]
        assert "#open" in refusal_text(MattermostRejected("no", status=403), found, place.outbound.user)
