"""`oc-trio explain`: the history of one post from the journal: what was decided, why, and what became of it."""

import json
import re
from typing import TYPE_CHECKING, Any

import click

from oc_trio.cli.journal import EXIT_CODES, account_id, fail, print_json, shared_options, when, with_journal

if TYPE_CHECKING:
    from oc_trio.store.explain import PostLife


@click.command("explain", epilog=EXIT_CODES)
@click.argument("post")
@shared_options
def command(post: str, config_path: str | None, account: str | None, *, as_json: bool) -> None:
    """Say what was decided about POST and why: its id, or a permalink to it.

    Takes messages from people, answers of the bot, and the ids that the log names (turn, outbox). Works beside a
    running gateway.
    """
    post_id = id_of(post)
    if not post_id:
        raise click.BadParameter("give a post's id, or its permalink (https://chat.example.com/team/pl/<id>)")
    life = with_journal(config_path, lambda store, _loaded: store.explain(post_id, account_id(account)))
    if life is None:
        fail(f"{post_id} never reached this gateway, or is beyond retention")
    elif as_json:
        print_json(plain(life))
    else:
        click.echo("\n".join(story(life)))


def id_of(post: str) -> str:
    """The id in a permalink (`https://chat.example.com/team/pl/<id>`); an id is taken as it is. Empty for neither."""
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


def story(life: "PostLife") -> list[str]:
    """The same for people: what happened, in order of time."""
    moments = sorted(_moments(life), key=lambda moment: moment[0])
    inbound = "a message to the bot" if life.obligations else "a message that the bot does not answer"
    lines = [f"{life.post_id}: {'a post of the bot' if life.ours else inbound}; times are UTC"]
    lines += [f"  {when(at)}  {text}" for at, text in moments]
    if life.turn is not None and life.turn.outcome is None:
        lines.append("  the turn has not ended")
    lines += [
        f"  {used.model or 'the model'} used {used.input_tokens} tokens in, {used.output_tokens} out"
        for used in life.usage
    ]
    return lines


def _moments(life: "PostLife") -> list[tuple[int, str]]:
    moments: list[tuple[int, str]] = []
    for seen in life.seen:
        where = f"channel {seen.channel_id}" + (f", thread {seen.root_id}" if seen.root_id else "")
        moments.append((seen.create_at, f"{seen.trigger} written by {seen.user_id} in {where}"))
        moments.append(
            (seen.at, f"account {seen.account} saw it ({seen.source.value}): {seen.decision}, {seen.reason}")
        )
    for obligation in life.obligations:
        state = "owes an answer" if not obligation.state.is_terminal else "owed an answer"
        tries = (
            f", {obligation.attempts} attempt{'s' if obligation.attempts != 1 else ''}" if obligation.attempts else ""
        )
        moments.append((obligation.admitted_at, f"{obligation.account} {state} in session {obligation.session}{tries}"))
        if obligation.state.is_terminal and life.turn is None:
            moments.append(
                (
                    obligation.ended_at,
                    _outcome(obligation.state.value, obligation.outcome_posts, obligation.outcome_reason),
                )
            )
    moments += [
        (row.created_at, _row(row.kind.value, row.state.value, row.post_id, row.attempts, row.error))
        for row in life.outbox
    ]
    turn = life.turn
    if turn is not None:
        drafts = f", shown in {', '.join(turn.drafts)}" if turn.drafts else ""
        moments.append((turn.begun_at, f"turn {turn.id} began{drafts}"))
        if turn.final:
            moments.append((turn.ended_at or turn.begun_at, f"its end was decided: {_decided(turn.final)}"))
        if turn.outcome is not None:
            outcome = turn.outcome
            moments.append((turn.ended_at, _outcome(outcome.state.value, outcome.posts, outcome.reason)))
    return moments


def _row(kind: str, state: str, post_id: str | None, attempts: int, error: str) -> str:
    return (
        f"{kind} post {post_id or '(no id yet)'}: {state}"
        + (f" after {attempts} attempts" if attempts > 1 else "")
        + (f", {error}" if error else "")
    )


def _outcome(state: str, posts: tuple[str, ...], reason: str) -> str:
    return state + (f" as {', '.join(posts)}" if posts else "") + (f": {reason}" if reason else "")


def _decided(final: str) -> str:
    """State and reason of the recorded turn result."""
    decision = json.loads(final)
    return ", ".join(f"{key} {value}" for key, value in decision.items() if key in ("state", "reason") and value)
