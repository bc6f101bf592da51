"""Options and output that the commands of `oc-trio message` share."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from oc_trio.cli.edge import harmless

if TYPE_CHECKING:
    from oc_trio.core.events import Post
    from oc_trio.ids import UserId

_TARGETS = "channel:<id>, #name, team/name, user:<id>, @username."

target_option = click.option("-t", "--target", required=True, metavar="TARGET", help=_TARGETS)
# For what concerns one post, its id is enough; as OpenClaw's commands name the place, too, it is checked.
place_option = click.option("-t", "--target", metavar="TARGET", help="Refuse unless the post is there.")
post_option = click.option("--post", "--message-id", "post_id", required=True, metavar="ID", help="The post's id.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Look everything up, change nothing.")


def print_posts(posts: "Sequence[Post]", names: "Mapping[UserId, str]") -> None:
    """Each post with its time, author, id and words, as they are given; nothing in them acts on a terminal."""
    from oc_trio.core.context import clock, label

    for post in posts:
        who = label(names.get(post.user_id, post.user_id))
        files = f" [{len(post.file_ids)} file(s)]" if post.file_ids else ""
        text = "\n    ".join(map(harmless, post.message.splitlines()))
        click.echo(f"{clock(post.create_at)}  @{who}  {post.id}{files}\n    {text}")
