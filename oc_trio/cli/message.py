"""`oc-trio message`: sends, edits, deletes, reacts and reads as an account's bot, whether the gateway runs or not."""

import json
from typing import TYPE_CHECKING, Any

import click

from oc_trio.cli.edge import EXIT_CODES, run, shared_options, standard_input, text_argument
from oc_trio.cli.exits import EX_FAILED, EX_PARTIAL
from oc_trio.cli.message_change import delete, edit, pin, react, unpin
from oc_trio.cli.message_options import target_option
from oc_trio.cli.message_read import pins, reactions, read, search
from oc_trio.cli.spellings import SpelledGroup

if TYPE_CHECKING:
    from oc_trio.config.load import Loaded
    from oc_trio.core.presentation import Presentation
    from oc_trio.runtime.delivery.compose import Attachment, MessageRequest, OutboundClient, SentPosts
    from oc_trio.runtime.delivery.targets import Place


@click.group(name="message", cls=SpelledGroup, epilog=EXIT_CODES)
def command() -> None:
    """Send, edit, delete, react, pin, search and read as the bot."""


for _each in (edit, delete, react, pin, unpin, read, pins, search, reactions):
    command.add_command(_each)


@command.command(epilog=EXIT_CODES)
@target_option
@click.option("-m", "--message", metavar="TEXT", help="The text; - is standard input.")
@click.option("--media", multiple=True, metavar="FILE|URL", help="A file to attach; may be repeated.")
@click.option("--buttons", metavar="JSON", help='Rows of buttons: [[{"text": "Yes", "callback_data": "yes"}]].')
@click.option("--presentation", metavar="JSON", help='Blocks: {"blocks": [{"type": "text", "text": "..."}]}.')
@click.option("--reply-to", "--thread-id", default="", metavar="POST", help="Reply in the thread of this post.")
@click.option("--pin", "pin_it", is_flag=True, help="Pin the message; of several posts, the first.")
@click.option("--allow-partial", is_flag=True, help="A message of which a part was refused counts as done.")
@click.option("--dry-run", is_flag=True, help="Resolve and check everything, send nothing.")
@shared_options
def send(
    target: str,
    message: str | None,
    media: tuple[str, ...],
    buttons: str | None,
    presentation: str | None,
    reply_to: str,
    config_path: str | None,
    account: str | None,
    *,
    pin_it: bool,
    allow_partial: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send a message; long texts and many files continue in further posts."""
    from oc_trio.runtime.delivery.compose import MessageRequest

    presented = _presentation(buttons, presentation)
    request = MessageRequest(text_argument(message), media, presented, reply_to)

    async def main(loaded: "Loaded") -> int:
        from oc_trio.runtime.account.outbound_client import dependencies_for, open_outbound_client, pick_account

        selected = pick_account(loaded, account)
        async with open_outbound_client(loaded, selected, await dependencies_for(selected)) as outbound:
            place = await outbound.targets.resolve(target)
            if dry_run:
                return await _dry_run(outbound, place, request, as_json=as_json)
            return await _send(outbound, place, request, as_json=as_json, allow_partial=allow_partial, pinned=pin_it)

    run(config_path, main)


async def _send(
    outbound: "OutboundClient",
    place: "Place",
    message: "MessageRequest",
    *,
    as_json: bool,
    allow_partial: bool,
    pinned: bool,
) -> int:
    from oc_trio.cli.uploads import bars_for_terminal

    # From disk: who types the command may read these files, which a model's message may not name.
    composed = await outbound.compose(place, message, from_disk=True, on_progress=bars_for_terminal())
    sent = await outbound.post_now(composed)
    if pinned and sent.posts:
        await outbound.api.posts.pin(sent.posts[0])
    # A script has to tell a message that is partly there from one that it may send again.
    code = 0 if sent.is_complete else EX_PARTIAL if sent.posts else EX_FAILED
    if code == EX_PARTIAL and allow_partial:
        code = 0
    if as_json:
        click.echo(json.dumps(_sent_fields(sent, ok=code == 0), ensure_ascii=False))
        return code
    if sent.posts:
        click.echo(f"posted in {place} ({sent.channel_id}): {' '.join(sent.posts)}")
    for each in sent.attachments:
        click.echo(f"  {_attachment_line(each)}", err=bool(each.problem))
    for problem in sent.problems:
        click.echo(f"oc-trio: {problem}", err=True)
    return code


async def _dry_run(outbound: "OutboundClient", place: "Place", message: "MessageRequest", *, as_json: bool) -> int:
    """Check everything without writing: target, root of the reply, files on disk with their sizes, the split text."""
    from oc_trio.core.final_plan import split_reply
    from oc_trio.runtime.delivery.attachments import is_address
    from oc_trio.runtime.delivery.compose import Attachment, EmptyMessage
    from oc_trio.runtime.delivery.fetch import MediaRefused

    presentation = message.presentation
    text = "\n\n".join(part for part in (message.text, presentation.text) if part.strip())
    if not (text or message.media or presentation.rows or presentation.menus):
        raise EmptyMessage("The message is empty.")
    # A person who was never written to has no channel yet, and so no thread to check.
    if message.reply_to and place.channel_id:
        await outbound.thread_root(message.reply_to, place.channel_id)
    limit, attachments = await outbound.uploader.files.size_limit(), list["Attachment"]()
    for source in message.media:
        # Nothing is fetched: a dry run looks at files on this machine only.
        if is_address(source):
            attachments.append(Attachment(source))
            continue
        try:
            file = await outbound.uploader.media.open(source, from_disk=True)
        except MediaRefused as refusal:
            attachments.append(Attachment(source, problem=str(refusal)))
            continue
        too_large = f"it has {file.size} bytes, the server takes {limit}" if file.size > limit else ""
        attachments.append(Attachment(source, file.name, file.size, problem=too_large))
    texts = split_reply(text, outbound.rules, prefix=False)
    refused = any(each.problem for each in attachments)
    if as_json:
        fields = {
            "ok": not refused,
            "dryRun": True,
            "account": outbound.account,
            "target": str(place),
            "channelId": place.channel_id,
            "userId": place.user_id,
            "texts": list(texts),
            "buttons": sum(map(len, presentation.rows)) + len(presentation.menus),
            "attachments": [_attachment_fields(each) for each in attachments],
        }
        click.echo(json.dumps(fields, ensure_ascii=False))
    else:
        where = place.channel_id or f"direct message to {place.user_id}"
        click.echo(f"would post to {place} ({where}) as @{outbound.user.username}: {max(1, len(texts))} text(s)")
        for each in attachments:
            click.echo(f"  {_attachment_line(each)}", err=bool(each.problem))
    return EX_PARTIAL if refused else 0


def _presentation(buttons: str | None, presentation: str | None) -> "Presentation":
    from oc_trio.core.json_body import BadJson, read_json
    from oc_trio.core.presentation import BadPresentation, Presentation, read_buttons, read_presentation

    merged = Presentation()
    for text, hint, reader in (
        (presentation, "--presentation", read_presentation),
        (buttons, "--buttons", read_buttons),
    ):
        if text is None:
            continue
        try:
            read_one = reader(read_json((standard_input() if text == "-" else text).encode()))
        except (BadPresentation, BadJson) as problem:
            raise click.BadParameter(str(problem), param_hint=hint) from None
        merged = merged.joined(read_one)
    return merged


def _sent_fields(sent: "SentPosts", *, ok: bool) -> dict[str, Any]:
    return {
        "ok": ok,
        "account": sent.account,
        "channelId": sent.channel_id,
        "rootId": sent.root_id,
        "messageId": sent.posts[0] if sent.posts else "",
        "postIds": list(sent.posts),
        "attachments": [_attachment_fields(each) for each in sent.attachments],
        "problems": list(sent.problems),
    }


def _attachment_fields(each: "Attachment") -> dict[str, Any]:
    status = "refused" if each.problem else "sent" if each.file_id else "checked"
    fields = {"source": each.source, "name": each.name, "size": each.size, "status": status, "fileId": each.file_id}
    return {**fields, "problem": each.problem} if each.problem else fields


def _attachment_line(each: "Attachment") -> str:
    name = each.name or each.source
    return f"not sent: {name}: {each.problem}" if each.problem else f"{name} ({each.size} bytes)"
