"""`oc-trio explain`: the history of one post from the journal: what was decided, why, and what became of it."""

import os
import re
from typing import TYPE_CHECKING, Any

import click

from oc_trio.cli.edge import harmless
from oc_trio.cli.journal import EXIT_CODES, account_id, fail, print_json, shared_options, with_journal

if TYPE_CHECKING:
    from oc_trio.config.load import Loaded
    from oc_trio.core.second_gateway import Installation
    from oc_trio.ids import AccountId
    from oc_trio.runtime.operator.explain.explain_facts import ServerFacts
    from oc_trio.store.explain import PostLife
    from oc_trio.store.store import Store


@click.command("explain", epilog=EXIT_CODES)
@click.argument("post")
@click.option("--offline", is_flag=True, help="Don't ask Mattermost for names and memberships.")
@shared_options
def command(post: str, config_path: str | None, account: str | None, *, as_json: bool, offline: bool) -> None:
    """Say what was decided about POST and why: its id, or a permalink to it.

    Takes messages from people, answers of the bot, and the ids that the log names (turn, outbox). Works beside a
    running gateway. Mattermost is asked for names, and of a post that never came whether the bot is in its channel.
    """
    from oc_trio.cli.explain_lines import decisions, story

    post_id = id_of(post)
    if not post_id:
        raise click.BadParameter("give a post's id, or its permalink (https://chat.example.com/team/pl/<id>)")
    only = account_id(account)

    async def read(store: "Store", loaded: "Loaded") -> "tuple[PostLife | None, Installation | None, Loaded]":
        return await store.explain(post_id, only), await store.installation.get(), loaded

    # Read without the secrets; `_online` loads them, since asking the server needs the token.
    life, installation, loaded = with_journal(config_path, read)
    online = None if offline else _online(config_path)
    if life is None:
        why = _why_unseen(online, post_id, only, installation)
        fail("; ".join((f"{post_id} never reached this gateway, or is beyond retention", *why)))
    facts = _facts(online, life)
    decided = decisions(life, loaded, facts)
    if as_json:
        sentences = [{"account": seen.account, "sentence": sentence} for seen, sentence in decided]
        print_json({**plain(life), "decisions": sentences, "names": facts.names})
    else:
        click.echo(harmless("\n".join(story(life, decided, facts))))


def _online(config_path: str | None) -> "Loaded | None":
    """The configuration with its tokens; None where they can't be had: then nobody is asked."""
    from oc_trio.config.load import load
    from oc_trio.errors import ConfigError

    try:
        return load(config_path, os.environ, isolate=True)
    except ConfigError:
        return None


def _why_unseen(
    online: "Loaded | None", post_id: str, only: "AccountId | None", installation: "Installation | None"
) -> tuple[str, ...]:
    import trio

    from oc_trio.runtime.operator.explain.explain_facts import look_up_unseen

    if online is None:
        return ()
    accounts = [only] if only is not None else [*online.accounts]
    facts = trio.run(look_up_unseen, online, accounts, post_id, installation)
    return (*facts.unseen, *([facts.problem] if facts.problem else []))


def _facts(online: "Loaded | None", life: "PostLife") -> "ServerFacts":
    import trio

    from oc_trio.runtime.operator.explain.explain_facts import ServerFacts, look_up_names

    if online is None or not life.seen:
        return ServerFacts()
    accounts = dict.fromkeys(seen.account for seen in life.seen)
    users = dict.fromkeys(str(seen.user_id) for seen in life.seen)
    channels = dict.fromkeys(str(seen.channel_id) for seen in life.seen)
    return trio.run(look_up_names, online, accounts, users, channels)


def id_of(post: str) -> str:
    """The id in a permalink (`https://chat.example.com/team/pl/<id>`); an id is taken as it is. Empty for neither."""
    # A permalink may have been copied with a query or a fragment.
    words = re.split(r"[?#]", post.strip())[0].rstrip("/").split("/")
    is_link = len(words) > 2 and words[-2] == "pl"
    return words[-1] if (is_link or len(words) == 1) and re.fullmatch(r"[\w.:-]+", words[-1]) else ""


def plain(life: "PostLife") -> dict[str, Any]:
    """As JSON values. Bodies of posts are left out: the chat server has them."""
    from enum import Enum

    from attrs import asdict

    def readable(_owner: type, _field: object, value: Any) -> Any:
        return value.value if isinstance(value, Enum) else value

    whole = asdict(life, value_serializer=readable)
    for row in whole["outbox"]:
        del row["body"]
    for obligation in whole["obligations"]:
        del obligation["payload"]
    if whole["turn"]:
        del whole["turn"]["final"]
    return whole
