"""`oc-trio message edit | delete | react | pin | unpin`: what is done to one post."""

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from oc_trio.cli.edge import EXIT_CODES, run, shared_options, text_argument
from oc_trio.cli.message_options import dry_run_option, place_option, post_option

if TYPE_CHECKING:
    from oc_trio.config.load import Loaded
    from oc_trio.runtime.delivery.compose import OutboundClient

_Act = Callable[["OutboundClient"], Awaitable[dict[str, Any]]]


@click.command(epilog=EXIT_CODES)
@post_option
@place_option
@click.option("-m", "--message", required=True, metavar="TEXT", help="The new text; - is standard input.")
@dry_run_option
@shared_options
def edit(
    post_id: str,
    target: str | None,
    message: str,
    config_path: str | None,
    account: str | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Change the text of one of the bot's posts; its files and buttons stay."""
    text = text_argument(message)

    async def act(outbound: "OutboundClient") -> dict[str, Any]:
        from oc_trio.ids import PostId

        post = await outbound.edit(PostId(post_id), text)
        return {"channelId": post.channel_id, "message": post.message}

    _change(config_path, account, post_id, target, act, "edited {}", dry_run=dry_run, as_json=as_json)


@click.command(epilog=EXIT_CODES)
@post_option
@place_option
@dry_run_option
@shared_options
def delete(
    post_id: str, target: str | None, config_path: str | None, account: str | None, *, dry_run: bool, as_json: bool
) -> None:
    """Delete one of the bot's posts."""

    async def act(outbound: "OutboundClient") -> dict[str, Any]:
        from oc_trio.ids import PostId

        await outbound.api.posts.delete(PostId(post_id))
        return {}

    _change(config_path, account, post_id, target, act, "deleted {}", dry_run=dry_run, as_json=as_json)


@click.command(epilog=EXIT_CODES)
@post_option
@place_option
@click.option("--emoji", required=True, metavar="EMOJI", help="A name, :name: or the character.")
@click.option("--remove", is_flag=True, help="Take the reaction off.")
@dry_run_option
@shared_options
def react(
    post_id: str,
    target: str | None,
    emoji: str,
    config_path: str | None,
    account: str | None,
    *,
    remove: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put a reaction on a post, or take it off."""
    from oc_trio.core.emoji import UnknownEmoji, emoji_name

    try:
        name = emoji_name(emoji)
    except UnknownEmoji as problem:
        raise click.BadParameter(str(problem), param_hint="--emoji") from None

    async def act(outbound: "OutboundClient") -> dict[str, Any]:
        from oc_trio.ids import PostId

        verb = outbound.api.reactions.remove if remove else outbound.api.reactions.add
        await verb(outbound.user.id, PostId(post_id), name)
        return {"emoji": name, "removed": remove}

    done = f"removed reaction :{name}: from {{}}" if remove else f"reacted with :{name}: on {{}}"
    _change(config_path, account, post_id, target, act, done, dry_run=dry_run, as_json=as_json)


@click.command(epilog=EXIT_CODES)
@post_option
@place_option
@dry_run_option
@shared_options
def pin(
    post_id: str, target: str | None, config_path: str | None, account: str | None, *, dry_run: bool, as_json: bool
) -> None:
    """Pin a post in its channel."""

    async def act(outbound: "OutboundClient") -> dict[str, Any]:
        from oc_trio.ids import PostId

        await outbound.api.posts.pin(PostId(post_id))
        return {"pinned": True}

    _change(config_path, account, post_id, target, act, "pinned {}", dry_run=dry_run, as_json=as_json)


@click.command(epilog=EXIT_CODES)
@post_option
@place_option
@dry_run_option
@shared_options
def unpin(
    post_id: str, target: str | None, config_path: str | None, account: str | None, *, dry_run: bool, as_json: bool
) -> None:
    """Take a post's pin off."""

    async def act(outbound: "OutboundClient") -> dict[str, Any]:
        from oc_trio.ids import PostId

        await outbound.api.posts.unpin(PostId(post_id))
        return {"pinned": False}

    _change(config_path, account, post_id, target, act, "unpinned {}", dry_run=dry_run, as_json=as_json)


def _change(
    config_path: str | None,
    account: str | None,
    post_id: str,
    target: str | None,
    act: _Act,
    done: str,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Do it as the account's bot, and print `done`, in which `{}` is the post, or JSON."""

    async def main(loaded: "Loaded") -> int:
        from oc_trio.runtime.account.outbound_client import dependencies_for, open_outbound_client, pick_account

        chosen = pick_account(loaded, account)
        async with open_outbound_client(loaded, chosen, await dependencies_for(chosen)) as outbound:
            # The post is looked up only where that decides something: the change itself needs the id alone.
            if target or dry_run:
                await _require_post(outbound, post_id, target)
            fields = {"dryRun": True} if dry_run else await act(outbound)
        result = {"ok": True, "account": chosen.id, "postId": post_id, **fields}
        text = done.format(post_id)
        click.echo(json.dumps(result, ensure_ascii=False) if as_json else f"would have {text}" if dry_run else text)
        return 0

    run(config_path, main)


async def _require_post(outbound: "OutboundClient", post_id: str, target: str | None) -> None:
    """Raises UnknownTarget where the post is not in the place named, MattermostRejected where there is none."""
    from oc_trio.errors import UnknownTarget
    from oc_trio.ids import PostId

    post = await outbound.api.posts.get(PostId(post_id))
    if target is None:
        return
    place = await outbound.targets.resolve(target)
    if await outbound.channel_id(place) != post.channel_id:
        raise UnknownTarget(f"The post {post_id} is not in {place}; it is in channel:{post.channel_id}.")
