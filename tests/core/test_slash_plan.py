from attrs import evolve

from oc_trio.core.entities import SlashCommand
from oc_trio.core.slash import CommandSpec
from oc_trio.core.slash_plan import (
    MARK,
    CreateCommand,
    DeleteCommand,
    RecreateCommand,
    Registrar,
    ReuseCommand,
    SkipForeign,
    UpdateCommand,
    clean_up,
    plan_team,
)
from oc_trio.ids import CommandId, TeamId, UserId

TEAM = TeamId("t1")
BOT = UserId("bot")
URL = "https://gw.example.com/api/channels/mattermost/command"
US = Registrar(BOT, URL)
STATUS = CommandSpec("oc_status", "status", "Show status")
NEW = CommandSpec("oc_new", "new", "Start anew", "[x]")


def stored(spec: CommandSpec, id_: str, *, token: str = "tok") -> SlashCommand:
    """The command as the server would hold it after we made it."""
    return evolve(US.command(TEAM, spec), id=CommandId(id_), token=token)


def test_nothing_there_is_created() -> None:
    assert plan_team(TEAM, [], [], [STATUS, NEW], US) == (
        CreateCommand(US.command(TEAM, STATUS)),
        CreateCommand(US.command(TEAM, NEW)),
    )


def test_a_second_start_changes_nothing() -> None:
    present = [stored(STATUS, "k1"), stored(NEW, "k2")]
    assert plan_team(TEAM, present, [], [STATUS, NEW], US) == (ReuseCommand(present[0]), ReuseCommand(present[1]))


def test_any_drift_is_updated_and_the_token_kept() -> None:
    for drifted in (
        evolve(stored(STATUS, "k1"), url="http://old"),
        evolve(stored(STATUS, "k1"), method="G"),
        evolve(stored(STATUS, "k1"), description="old words"),
        evolve(stored(STATUS, "k1"), display_name=""),
    ):
        assert plan_team(TEAM, [drifted], [], [STATUS], US) == (UpdateCommand(stored(STATUS, "k1")),)


def test_a_foreign_command_is_never_touched() -> None:
    foreign = evolve(stored(STATUS, "k1"), creator_id=UserId("alice"))
    assert plan_team(TEAM, [foreign], [], [STATUS], US) == (SkipForeign("oc_status", CommandId("k1")),)


def test_of_ours_and_a_foreign_one_ours_is_used() -> None:
    foreign = evolve(stored(STATUS, "k1"), creator_id=UserId("alice"))
    ours = stored(STATUS, "k2")
    assert plan_team(TEAM, [foreign, ours], [], [STATUS], US) == (ReuseCommand(ours),)


def test_what_is_no_longer_wanted_is_deleted() -> None:
    gone = stored(CommandSpec("oc_skill", "skill", "gone"), "k3")
    assert plan_team(TEAM, [stored(STATUS, "k1"), gone], [], [STATUS], US) == (
        ReuseCommand(stored(STATUS, "k1")),
        DeleteCommand(gone, "no longer wanted"),
    )


def test_another_programs_commands_of_the_same_bot_are_left_alone() -> None:
    theirs = evolve(stored(CommandSpec("oc_ping", "ping", "p"), "k4"), url="http://other", display_name="")
    other_prefix = evolve(stored(CommandSpec("deploy", "deploy", "d"), "k5"), display_name="")
    assert plan_team(TEAM, [theirs, other_prefix], [], [], US) == ()


def test_a_duplicate_of_ours_goes_and_the_one_with_a_token_stays() -> None:
    blind, known = stored(STATUS, "k1", token=""), stored(STATUS, "k2")
    assert plan_team(TEAM, [blind, known], [], [STATUS], US) == (
        ReuseCommand(known),
        DeleteCommand(blind, "no longer wanted"),
    )


def test_a_hidden_token_comes_from_memory() -> None:
    hidden = stored(STATUS, "k1", token="")
    assert plan_team(TEAM, [hidden], [stored(STATUS, "k1")], [STATUS], US) == (ReuseCommand(stored(STATUS, "k1")),)


def test_a_token_nobody_knows_means_making_it_again() -> None:
    hidden = stored(STATUS, "k1", token="")
    assert plan_team(TEAM, [hidden], [], [STATUS], US) == (RecreateCommand(CommandId("k1"), US.command(TEAM, STATUS)),)


def remembered(spec: CommandSpec, id_: str) -> SlashCommand:
    """The command as the ledger keeps it: without texts."""
    whole = stored(spec, id_)
    return SlashCommand(whole.id, TEAM, whole.trigger, url=whole.url, token=whole.token, creator_id=BOT)


def test_without_the_right_to_list_memory_stands_in() -> None:
    """What we made before is written again, which also shows whether it is still there; the rest is created."""
    gone = remembered(CommandSpec("oc_skill", "skill", "gone"), "k3")
    assert plan_team(TEAM, None, [remembered(STATUS, "k1"), gone], [STATUS, NEW], US) == (
        UpdateCommand(stored(STATUS, "k1")),
        CreateCommand(US.command(TEAM, NEW)),
        DeleteCommand(gone, "no longer wanted"),
    )


def test_a_remembered_command_is_ours_to_clean_up_wherever_it_points() -> None:
    old = evolve(remembered(NEW, "k2"), url="http://old-host")
    assert plan_team(TEAM, [old], [old], [], US) == (DeleteCommand(old, "no longer wanted"),)


def test_other_teams_and_deleted_commands_do_not_count() -> None:
    elsewhere = evolve(stored(STATUS, "k1"), team_id=TeamId("t2"))
    deleted = evolve(stored(STATUS, "k2"), delete_at=7)
    assert plan_team(TEAM, [elsewhere, deleted], [], [STATUS], US) == (CreateCommand(US.command(TEAM, STATUS)),)


def test_clean_up_takes_all_of_ours_and_only_ours() -> None:
    ours = stored(STATUS, "k1")
    moved = evolve(stored(NEW, "k2"), url="http://old-host")
    foreign = evolve(stored(NEW, "k3"), creator_id=UserId("alice"))
    assert moved.display_name == MARK
    assert clean_up([ours, moved, foreign], US, reason="switched off") == (
        DeleteCommand(ours, "switched off"),
        DeleteCommand(moved, "switched off"),
    )
