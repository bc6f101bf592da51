"""`oc-trio message` as an operator types it, against the embedded server on loopback."""

import json
from collections.abc import Generator
from pathlib import Path

import pytest

from oc_trio.sandbox.settings import Settings
from tests.cli.sandbox_server import Server, a_server

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server, None, None]:
    with a_server(tmp_path_factory.mktemp("message"), Settings(max_file_size=60 * MIB)) as found:
        yield found


def test_send_says_where_and_what(server: Server) -> None:
    """A text goes to a channel by name; the answer names channel and post."""
    output = server.json("message", "send", "-t", "#town-square", "-m", "hello")
    assert output["ok"] is True
    assert (output["account"], output["channelId"]) == ("default", server.demo.town_square.id)
    assert server.world.posts.live(output["messageId"]).message == "hello"


def test_standard_input_is_the_text_for_a_dash(server: Server) -> None:
    """`-m -` reads standard input, line breaks inside kept."""
    output = server.json("message", "send", "-t", "#town-square", "-m", "-", stdin="one\ntwo\n")
    assert server.world.posts.live(output["messageId"]).message == "one\ntwo"


def test_a_direct_message_by_username(server: Server) -> None:
    """`@alice` opens the direct channel and posts there."""
    output = server.json("message", "send", "-t", "@alice", "-m", "psst")
    direct = server.world.direct(server.demo.alice, server.demo.bot)
    assert output["channelId"] == direct.id
    assert server.texts(direct)[-1] == "psst"


def test_a_reply_to_a_reply_lands_in_its_thread(server: Server) -> None:
    """`--reply-to` takes any post of a thread, not only its root."""
    root = server.world.post_as(server.demo.alice, server.demo.town_square, "root")
    reply = server.world.post_as(server.demo.bob, server.demo.town_square, "reply", root_id=root.id)
    output = server.json("message", "send", "-t", "#town-square", "-m", "me too", "--reply-to", reply.id)
    assert output["rootId"] == root.id
    assert server.world.posts.live(output["messageId"]).root_id == root.id


def test_ten_files_go_in_one_message_and_the_eleventh_in_the_next(server: Server, tmp_path: Path) -> None:
    """Files are grouped by the server's limit; the text is on the first post."""
    args: list[str] = []
    for number in range(11):
        file = tmp_path / f"{number:02}.txt"
        file.write_text(f"file {number}")
        args += ["--media", str(file)]
    output = server.json("message", "send", "-t", "#town-square", "-m", "files", *args)
    posts = [server.world.posts.live(post_id) for post_id in output["postIds"]]
    assert [(post.message, len(post.file_ids)) for post in posts] == [("files", 10), ("", 1)]
    assert [each["status"] for each in output["attachments"]] == ["sent"] * 11


@pytest.mark.slow
def test_fifty_megabytes_go_up(server: Server, tmp_path: Path) -> None:
    """A large file is streamed from disk and arrives whole."""
    big = tmp_path / "big.bin"
    with big.open("wb") as file:
        file.truncate(50 * MIB)
    output = server.json("message", "send", "-t", "#town-square", "--media", str(big))
    post = server.world.posts.live(output["messageId"])
    assert len(server.world.files.get(post.file_ids[0]).data) == 50 * MIB


def test_a_refused_file_is_told_and_nothing_else_is_lost(server: Server, tmp_path: Path) -> None:
    """Text and good files are posted, the refused ones named; the exit code says partial unless that is allowed."""
    good, big = tmp_path / "good.txt", tmp_path / "big.bin"
    good.write_text("good")
    with big.open("wb") as file:
        file.truncate(61 * MIB)
    args = ("message", "send", "-t", "#town-square", "-m", "mixed", "--media", str(big), "--media", str(good))
    output = server.json(*args, "--media", str(tmp_path / "missing"), code=3)
    assert [each["status"] for each in output["attachments"]] == ["refused", "sent", "refused"]
    assert "the server takes" in output["attachments"][0]["problem"]
    assert output["attachments"][2]["problem"] == "there is no such file"
    post = server.world.posts.live(output["messageId"])
    assert (post.message, len(post.file_ids)) == ("mixed", 1)
    assert server.json(*args, "--allow-partial")["ok"] is True


def test_nothing_is_posted_when_no_file_could_be_sent(server: Server, tmp_path: Path) -> None:
    """Without a text, a message whose files were all refused is a failure."""
    before = len(server.texts())
    output = server.json("message", "send", "-t", "#town-square", "--media", str(tmp_path / "missing"), code=1)
    assert output["postIds"] == []
    assert len(server.texts()) == before


def test_private_addresses_are_not_fetched(server: Server) -> None:
    """The guard holds for media even where the chat server itself may be private."""
    output = server.json("message", "send", "-t", "#town-square", "-m", "x", "--media", f"{server.url}/x.png", code=3)
    assert output["attachments"][0]["problem"] == "it can't be fetched from a public address"


def test_buttons_by_json(server: Server) -> None:
    """Buttons are signed, bound to the channel, and call back to the gateway."""
    rows = json.dumps([[{"text": "Yes", "callback_data": "yes", "style": "primary"}]])
    output = server.json("message", "send", "-t", "#town-square", "-m", "Sure?", "--buttons", rows)
    [attachment] = server.world.posts.live(output["messageId"]).props["attachments"]
    [action] = attachment["actions"]
    assert (action["id"], action["name"], action["style"]) == ("yes", "Yes", "primary")
    assert action["integration"]["url"] == "http://localhost:18789/mattermost/interactions/default"
    assert action["integration"]["context"]["__openclaw_channel_id"] == server.demo.town_square.id
    for malformed, problem in (("[[{}]]", "needs a text"), ('[[{"text": "Yes"}]]', "needs a callback_data")):
        refused = server.run("message", "send", "-t", "#x", "--buttons", malformed)
        assert refused.exit_code == 2
        assert f"row 1, button 1 {problem}" in refused.stderr


def test_buttons_whose_clicks_would_not_arrive(server: Server) -> None:
    """Where nothing opens the gateway's port they are refused, with the key that opens it; nothing is posted."""
    before = server.texts()
    server.config.write_text(server.config.read_text().replace('capabilities = ["inlineButtons"]\n', ""))
    rows = json.dumps([[{"text": "Yes", "callback_data": "yes"}]])
    output = server.run("message", "send", "-t", "#town-square", "-m", "Sure?", "--buttons", rows)
    server.write_config()
    assert output.exit_code == 1
    assert 'Set channels.mattermost.capabilities = ["inlineButtons"]' in output.stderr
    assert server.texts() == before


def test_a_presentation_becomes_text_and_buttons(server: Server) -> None:
    """Title and text blocks go into the message, buttons below."""
    blocks = {"title": "Vote", "blocks": [{"type": "text", "text": "Now"}, {"type": "buttons", "buttons": ["x"]}]}
    blocks["blocks"][1] = {"type": "buttons", "buttons": [{"text": "A", "value": "a"}]}  # type: ignore[index]
    output = server.json("message", "send", "-t", "#town-square", "--presentation", json.dumps(blocks))
    post = server.world.posts.live(output["messageId"])
    assert post.message == "**Vote**\n\nNow"
    assert len(post.props["attachments"]) == 1


def test_a_dry_run_writes_nothing(server: Server, tmp_path: Path) -> None:
    """Target, text and files are checked; not even the direct channel is opened."""
    good = tmp_path / "good.txt"
    good.write_text("good")
    carol = server.world.create_user("carol", team=server.demo.team)
    posts = server.json("message", "send", "-t", "@carol", "-m", "x", "--media", str(good), "--dry-run")
    assert (posts["userId"], posts["channelId"], posts["texts"]) == (carol.id, "", ["x"])
    assert posts["attachments"][0]["status"] == "checked"
    assert not [request for request in server.world.requests if request.method == "POST" and carol.id in str(request)]
    assert server.run("message", "send", "-t", "#nowhere", "-m", "x", "--dry-run").exit_code == 1


def test_what_people_write_does_nothing_to_a_terminal(server: Server) -> None:
    """Neither a title nor a colour nor a turned direction gets through; JSON has escapes of its own."""
    post = server.world.post_as(
        server.demo.alice, server.demo.town_square, "\x1b]0;mine\x07 \x1b[31mred\n\x9b2J \u202etxt\tend"
    )
    shown = server.run("message", "read", "-t", "#town-square", "--limit", "1").output
    assert "\\x1b]0;mine\\x07 \\x1b[31mred\n    \\x9b2J \\u202etxt\tend" in shown
    assert post.id in shown


def test_edit_react_read_delete(server: Server) -> None:
    """A post is changed, reacted to, read back and removed."""
    post_id = server.json("message", "send", "-t", "#off-topic", "-m", "first")["messageId"]
    assert server.json("message", "edit", "--post", post_id, "-m", "second")["message"] == "second"
    assert server.json("message", "react", "--message-id", post_id, "--emoji", "👍")["emoji"] == "thumbsup"
    assert [r.emoji_name for r in server.world.reactions.of(post_id)] == ["thumbsup"]
    server.json("message", "react", "--post", post_id, "--emoji", ":thumbsup:", "--remove")
    assert server.world.reactions.of(post_id) == []
    read = server.json("message", "read", "-t", "#off-topic", "--limit", "1")
    assert [post["message"] for post in read["messages"]] == ["second"]
    assert read["messages"][0]["username"] == "bot"
    server.json("message", "delete", "--post", post_id)
    refused = server.run("message", "edit", "--post", post_id, "-m", "third")
    assert refused.exit_code == 1
    assert "was deleted" in refused.stderr


def test_pages_before_and_after(server: Server) -> None:
    """Both bounds are exclusive, and the output says on which side there is more."""
    channel = server.world.create_channel(server.demo.team, "pages", server.demo.alice, server.demo.bot)
    posts = [server.world.post_as(server.demo.alice, channel, str(number)) for number in range(5)]

    def page(*args: str) -> tuple[list[str], bool]:
        output = server.json("message", "read", "-t", f"channel:{channel.id}", *args)
        return [post["message"] for post in output["messages"] if not post.get("type")], output["hasMore"]

    assert page("--limit", "2") == (["4", "3"], True)
    assert page("--limit", "2", "--before", posts[3].id) == (["2", "1"], True)
    assert page("--limit", "2", "--after", posts[1].id) == (["3", "2"], True)
    assert page("--limit", "9", "--after", posts[2].id) == (["4", "3"], False)
    assert server.run("message", "read", "-t", "#pages", "--before", "a", "--after", "b").exit_code == 2


def test_posts_around_one(server: Server) -> None:
    """The post is in the middle; where one side ends, the other has more; more on any side is told."""
    channel = server.world.create_channel(server.demo.team, "around", server.demo.alice, server.demo.bot)
    for number in range(6):
        server.world.post_as(server.demo.alice, channel, str(number))

    def page(*args: str) -> tuple[list[str], bool]:
        output = server.json("message", "read", "-t", "#around", *args)
        return [post["id"] for post in output["messages"]], output["hasMore"]

    whole, _ = page()
    assert page("--around", whole[3], "--limit", "3") == (whole[2:5], True)
    assert page("--around", whole[3], "--limit", "4") == (whole[2:6], True)
    assert page("--around", whole[3], "--limit", "1") == (whole[3:4], True)
    assert page("--around", whole[0], "--limit", "3") == (whole[:3], True)
    assert page("--around", whole[-1], "--limit", "3") == (whole[-3:], True)
    assert page("--around", whole[-2], "--limit", str(len(whole))) == (whole, False)


def test_around_a_post_for_people(server: Server) -> None:
    """Oldest first, with how to go on in both directions; a post of another channel, or none, is said."""
    demo, world = server.demo, server.world
    channel = world.create_channel(demo.team, "between", demo.alice, demo.bot)
    posts = [world.post_as(demo.alice, channel, f"post {number}") for number in range(5)]
    output = server.run("message", "read", "-t", "#between", "--limit", "3", "--around", posts[2].id)
    assert [line.strip() for line in output.stdout.splitlines()[1::2]] == ["post 1", "post 2", "post 3"]
    assert f"there are more: --before {posts[1].id} or --after {posts[3].id}" in output.stderr
    elsewhere = server.run("message", "read", "-t", "#town-square", "--around", posts[2].id)
    assert elsewhere.exit_code == 1
    assert f"is in another channel: channel:{channel.id}" in elsewhere.stderr
    nowhere = server.run("message", "read", "-t", "#between", "--around", "x" * 26)
    assert nowhere.exit_code == 1
    assert f"There is no post {'x' * 26} that the bot may read: check the id." in nowhere.stderr
    assert server.run("message", "read", "-t", "#between", "--around", "a", "--after", "b").exit_code == 2


def test_no_other_identity_steps_in(server: Server) -> None:
    """An account that is not there is an error that names those that are."""
    refused = server.run("message", "send", "-t", "#town-square", "-m", "x", "--account", "alerts")
    assert refused.exit_code == 78
    assert "no such account" in refused.stderr
    assert "usable: default" in refused.stderr


def test_a_refused_token_has_its_own_exit_code(server: Server, tmp_path: Path) -> None:
    """77, one line, no traceback."""
    config = tmp_path / "bad.toml"
    config.write_text(server.config.read_text().replace(server.demo.bot.token, "x" * 26))
    from click.testing import CliRunner

    from oc_trio.cli.main import main

    refused = CliRunner().invoke(main, ["message", "read", "-t", "#a", "--config", str(config)])
    assert refused.exit_code == 77
    assert refused.stderr.count("\n") == 1
