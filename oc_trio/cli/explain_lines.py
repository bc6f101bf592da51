"""Writes the life of a post for people: a timeline, with what was decided and why in sentences."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from oc_trio.cli.journal import when

if TYPE_CHECKING:
    from oc_trio.config.load import Loaded
    from oc_trio.core.ledger import Obligation, OutboxRow
    from oc_trio.runtime.operator.explain.explain_facts import ServerFacts
    from oc_trio.store.admission import Seen
    from oc_trio.store.explain import PostLife

    Decisions = Sequence[tuple[Seen, str]]

_SOURCES = {
    "live": "by event",
    "catchup": "by catch-up",
    "edit": "as an edit",
    "button": "as a click",
    "command": "as a slash command",
    "hook": "as a hook",
    "cron": "as a scheduled job",
}


def decisions(life: "PostLife", loaded: "Loaded", facts: "ServerFacts") -> "list[tuple[Seen, str]]":
    """Each decision about the message, with its sentence."""
    from oc_trio.runtime.operator.explain.decision_sentences import Decided, decision_sentence

    return [
        (
            seen,
            decision_sentence(
                Decided(
                    seen,
                    loaded,
                    facts.named(seen.user_id),
                    facts.named(seen.channel_id),
                    facts.bots.get(seen.account, "bot"),
                )
            ),
        )
        for seen in life.seen
    ]


def story(life: "PostLife", decided: "Decisions", facts: "ServerFacts") -> list[str]:
    """What happened, in order of time, each line with the seconds since the first one."""
    moments = sorted(_moments(life, decided, facts), key=lambda moment: moment[0])
    inbound = "a message to the bot" if life.obligations else "a message that the bot does not answer"
    lines = [f"{life.post_id}: {'a post of the bot' if life.ours else inbound}; times are UTC"]
    began = next((at for at, _ in moments if at), 0)
    lines += [f"  {when(at)}  {_since(began, at)}  {text}" for at, text in moments]
    if life.turn is not None and life.turn.outcome is None:
        lines.append("  the turn has not ended")
    lines += [
        f"  {used.model or 'the model'} used {used.input_tokens} tokens in, {used.output_tokens} out"
        for used in life.usage
    ]
    if facts.problem:
        lines.append(f"  names are missing: {facts.problem}")
    return lines


def _since(began: int, at: int) -> str:
    return f"{f'+{(at - began) / 1000:.1f} s':>9}" if at else " " * 9


def _moments(life: "PostLife", decided: "Decisions", facts: "ServerFacts") -> list[tuple[int, str]]:
    moments: list[tuple[int, str]] = []
    for seen, sentence in decided:
        thread = f", thread {seen.root_id}" if seen.root_id else ""
        where = f"{facts.named(seen.channel_id)}{thread}"
        # Accounts may share a message; it was posted once.
        if seen is decided[0][0] or seen.trigger != decided[0][0].trigger:
            moments.append((seen.create_at, f"posted: {seen.trigger} by {facts.named(seen.user_id)} in {where}"))
        how = _SOURCES.get(seen.source.value, seen.source.value)
        moments.append((seen.at, f"seen by account {seen.account}, {how}: {sentence}"))
    for obligation in life.obligations:
        moments.append((obligation.admitted_at, _admitted(obligation)))
        # Where there is a turn, its end says the same.
        if obligation.state.is_terminal and life.turn is None:
            outcome = _outcome(obligation.state.value, obligation.outcome_posts, obligation.outcome_reason)
            moments.append((obligation.ended_at, outcome))
    first = _first_text(life)
    if first is not None:
        moments.append((first.sending_at, f"first text, in post {first.post_id or '(no id yet)'}"))
    moments += [(row.sending_at or row.created_at, _row(row)) for row in life.outbox if row is not first]
    moments += _of_turn(life)
    return moments


def _admitted(obligation: "Obligation") -> str:
    state = "owes an answer" if not obligation.state.is_terminal else "owed an answer"
    count = obligation.attempts
    tries = f", {count} attempt{'s' if count != 1 else ''}" if count else ""
    open_ = "" if obligation.state.is_terminal else ": it is being answered, or waits for that or for the next start"
    return f"admitted: {obligation.account} {state} in session {obligation.session}{tries}{open_}"


def _first_text(life: "PostLife") -> "OutboxRow | None":
    """The row of the turn's first post, where it was sent."""
    sent = [row for row in life.outbox if row.turn is not None and row.sending_at and row.post_id]
    return min(sent, key=lambda row: row.sending_at, default=None)


def _of_turn(life: "PostLife") -> list[tuple[int, str]]:
    turn = life.turn
    if turn is None:
        return []
    drafts = f", shown in {', '.join(turn.drafts)}" if turn.drafts else ""
    moments = [(turn.begun_at, f"turn {turn.id} began{drafts}")]
    # When is not recorded: only that it was after the beginning.
    if turn.final and turn.outcome is None:
        moments.append((turn.begun_at, f"its end was decided: {_decided(turn.final)}"))
    if turn.outcome is not None:
        outcome = turn.outcome
        moments.append((turn.ended_at, _outcome(outcome.state.value, outcome.posts, outcome.reason)))
    return moments


def _row(row: "OutboxRow") -> str:
    again = f" after {row.attempts} attempts" if row.attempts > 1 else ""
    error = f", {row.error}" if row.error else ""
    return f"{row.kind.value} post {row.post_id or '(no id yet)'}: {row.state.value}{again}{error}"


def _outcome(state: str, posts: tuple[str, ...], reason: str) -> str:
    return f"final: {state}" + (f" as {', '.join(posts)}" if posts else "") + (f": {reason}" if reason else "")


def _decided(final: str) -> str:
    """State and reason of the recorded turn result."""
    decision = json.loads(final)
    return ", ".join(f"{key} {value}" for key, value in decision.items() if key in ("state", "reason") and value)
