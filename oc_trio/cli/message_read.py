"""`oc-trio message read | pins | search | reactions`: what stands in channels, for people and as JSON."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from oc_trio.cli.edge import EXIT_CODES, run, shared_options
from oc_trio.cli.message_options import place_option, post_option, print_posts, target_option

if TYPE_CHECKING:
    from oc_trio.config.load import Loaded
    from oc_trio.core.events import Post
    from oc_trio.ids import ChannelId, UserId
    from oc_trio.mattermost.client import Api

# A page of Mattermost's own, and its largest.
_limit = click.option("--limit", default=60, show_default=True, type=click.IntRange(1, 200), help="Posts at most.")


@click.command(epilog=EXIT_CODES)
@target_option
@_limit
@click.option("--before", default="", metavar="POST", help="Only older ones than this post.")
@click.option("--after", default="", metavar="POST", help="Only newer ones than this post.")
@click.option("--around", default="", metavar="POST", help="This post, older and newer ones.")
@click.option("--message-id", "--post", "post_id", default="", metavar="POST", help="Only this post.")
@click.option("--thread-id", default="", metavar="POST", help="The thread of this post.")
@shared_options
def read(
    target: str,
    limit: int,
    before: str,
    after: str,
    around: str,
    post_id: str,
    thread_id: str,
    config_path: str | None,
    account: str | None,
    *,
    as_json: bool,
) -> None:
    """Print the posts of a channel: oldest first, or as JSON in the server's order."""
    if sum(map(bool, (before, after, around, post_id, thread_id))) > 1:
        raise click.UsageError("Give one of --before, --after, --around, --message-id and --thread-id, not several.")

    async def main(loaded: "Loaded") -> int:
        from oc_trio.runtime.account.outbound_client import dependencies_for, open_outbound_client, pick_account
        from oc_trio.runtime.tools.channel_history import post_fields, read_page

        chosen = pick_account(loaded, account)
        async with open_outbound_client(loaded, chosen, await dependencies_for(chosen)) as outbound:
            channel_id = await outbound.channel_id(await outbound.targets.resolve(target))
            if post_id or thread_id:
                posts, has_more = await _one_or_thread(outbound.api, channel_id, post_id, thread_id, limit), False
                names = await _names(outbound.api, posts)
            else:
                page = await read_page(outbound.api, channel_id, limit=limit, before=before, after=after, around=around)
                posts, has_more, names = page.posts, page.has_more, page.names
        if as_json:
            shown = [post_fields(post, names.get(post.user_id, "")) for post in posts]
            fields = {"ok": True, "account": chosen.id, "channelId": channel_id, "messages": shown}
            click.echo(json.dumps({**fields, "hasMore": has_more}, ensure_ascii=False))
            return 0
        print_posts(posts[::-1], names)
        if has_more and posts:
            newer, older = f"--after {posts[0].id}", f"--before {posts[-1].id}"
            side = f"{older} or {newer}" if around else newer if after else older
            click.echo(f"there are more: {side}", err=True)
        return 0

    run(config_path, main)


@click.command(epilog=EXIT_CODES)
@target_option
@_limit
@shared_options
def pins(target: str, limit: int, config_path: str | None, account: str | None, *, as_json: bool) -> None:
    """Print the pinned posts of a channel: oldest first, or as JSON newest first."""

    async def main(loaded: "Loaded") -> int:
        from oc_trio.runtime.account.outbound_client import dependencies_for, open_outbound_client, pick_account
        from oc_trio.runtime.tools.channel_history import post_fields

        chosen = pick_account(loaded, account)
        async with open_outbound_client(loaded, chosen, await dependencies_for(chosen)) as outbound:
            channel_id = await outbound.channel_id(await outbound.targets.resolve(target))
            posts = _newest_first(await outbound.api.posts.pinned(channel_id))[:limit]
            names = await _names(outbound.api, posts)
        if as_json:
            shown = [post_fields(post, names.get(post.user_id, "")) for post in posts]
            fields = {"ok": True, "account": chosen.id, "channelId": channel_id, "messages": shown}
            click.echo(json.dumps(fields, ensure_ascii=False))
        else:
            print_posts(posts[::-1], names)
        return 0

    run(config_path, main)


@click.command(epilog=EXIT_CODES)
@click.option(
    "--query", required=True, metavar="TEXT", help="As in Mattermost's search box: words, from:, in:, before:."
)
@click.option(
    "--channel-id", "--channel-ids", "channel_ids", multiple=True, metavar="ID", help="Only there; may repeat."
)
@click.option("--author-id", "--author-ids", "author_ids", multiple=True, metavar="ID", help="Only theirs; may repeat.")
@_limit
@shared_options
def search(
    query: str,
    channel_ids: tuple[str, ...],
    author_ids: tuple[str, ...],
    limit: int,
    config_path: str | None,
    account: str | None,
    *,
    as_json: bool,
) -> None:
    """Search the channels that the bot is in, in all its teams: newest first."""

    async def main(loaded: "Loaded") -> int:
        from oc_trio.runtime.account.outbound_client import dependencies_for, open_outbound_client, pick_account
        from oc_trio.runtime.tools.channel_history import post_fields

        chosen = pick_account(loaded, account)
        async with open_outbound_client(loaded, chosen, await dependencies_for(chosen)) as outbound:
            posts_by_id: dict[str, Post] = {}
            # Mattermost searches one team at a time; direct channels are found in each, hence the dict.
            for team in await outbound.api.teams.mine():
                posts_by_id.update((post.id, post) for post in await outbound.api.posts.search(team.id, query))
            wanted = [
                post
                for post in _newest_first(list(posts_by_id.values()))
                if (not channel_ids or post.channel_id in channel_ids)
                and (not author_ids or post.user_id in author_ids)
            ]
            names = await _names(outbound.api, wanted[:limit])
        if as_json:
            rows = [
                {"channelId": post.channel_id, **post_fields(post, names.get(post.user_id, ""))}
                for post in wanted[:limit]
            ]
            fields = {"ok": True, "account": chosen.id, "query": query, "messages": rows}
            click.echo(json.dumps({**fields, "hasMore": len(wanted) > limit}, ensure_ascii=False))
            return 0
        print_posts(wanted[:limit], names)
        if len(wanted) > limit:
            click.echo(f"{len(wanted) - limit} more; see --limit", err=True)
        return 0

    run(config_path, main)


@click.command(epilog=EXIT_CODES)
@post_option
@place_option
@click.option("--limit", default=0, metavar="N", type=click.IntRange(0), help="Emoji at most; 0 prints all.")
@shared_options
def reactions(
    post_id: str, target: str | None, limit: int, config_path: str | None, account: str | None, *, as_json: bool
) -> None:
    """Print the reactions on a post, each with who put it there."""

    async def main(loaded: "Loaded") -> int:
        from oc_trio.ids import PostId
        from oc_trio.runtime.account.outbound_client import dependencies_for, open_outbound_client, pick_account

        chosen = pick_account(loaded, account)
        async with open_outbound_client(loaded, chosen, await dependencies_for(chosen)) as outbound:
            if target:
                channel_id = await outbound.channel_id(await outbound.targets.resolve(target))
                # For its refusal: the post has to be where --target says.
                await _one_or_thread(outbound.api, channel_id, post_id, "", 1)
            rows = await outbound.api.reactions.on(PostId(post_id))
            ids = sorted({user_id for _, user_id in rows})
            names = {user.id: user.username for user in await outbound.api.users.by_ids(ids)} if ids else {}
        by_emoji: dict[str, list[UserId]] = {}
        for emoji, user_id in rows:
            by_emoji.setdefault(emoji, []).append(user_id)
        shown = list(by_emoji.items())[: limit or None]
        if as_json:
            listed = [
                {
                    "emoji": emoji,
                    "count": len(users),
                    "users": [{"id": user, "username": names.get(user, "")} for user in users],
                }
                for emoji, users in shown
            ]
            fields = {"ok": True, "account": chosen.id, "postId": post_id, "reactions": listed}
            click.echo(json.dumps(fields, ensure_ascii=False))
            return 0
        for emoji, users in shown:
            who = ", ".join(f"@{names[user]}" if user in names else user for user in users)
            click.echo(f":{emoji}: {len(users)}  {who}")
        return 0

    run(config_path, main)


async def _one_or_thread(
    api: "Api", channel_id: "ChannelId", post_id: str, thread_id: str, limit: int
) -> "tuple[Post, ...]":
    """One post, or the newest `limit` of its thread, newest first. Raises UnknownTarget where it is elsewhere."""
    from oc_trio.ids import PostId
    from oc_trio.runtime.tools.channel_history import post_of

    post = await post_of(api, channel_id, PostId(post_id or thread_id))
    if post_id:
        return (post,)
    return (await api.posts.thread(PostId(post.root_id or post.id), limit=limit))[::-1]


async def _names(api: "Api", posts: "Sequence[Post]") -> "dict[UserId, str]":
    authors = sorted({post.user_id for post in posts})
    return {user.id: user.username for user in await api.users.by_ids(authors)} if authors else {}


def _newest_first(posts: "Sequence[Post]") -> "list[Post]":
    def age(post: "Post") -> tuple[Any, ...]:
        return post.create_at, post.id

    return sorted(posts, key=age, reverse=True)
