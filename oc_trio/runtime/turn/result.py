"""The decided end of a turn as a value, and its delivery, which can be repeated after a restart.

A `TurnResult` is recorded in the journal before anything of it is sent. Delivering it twice changes nothing: each fresh
post has an outbox id of its own, and an edit to the same text shows people no difference.
"""

import json
from collections.abc import Awaitable, Callable

import msgspec
from attrs import evolve

from oc_trio.classes import frozen
from oc_trio.core.chunking import SERVER_LIMIT
from oc_trio.core.final_plan import EditInPlace, FinalPlan, FreshPosts, NoPost
from oc_trio.core.ledger import ObligationState, OutboxKind, Outcome
from oc_trio.core.turn_events import Final, Media
from oc_trio.errors import MattermostRejected
from oc_trio.ids import ChannelId, FileId, OutboxId, PostId, TurnId
from oc_trio.mattermost.files import MAX_PER_POST
from oc_trio.mattermost.post_creator import WAS_DELETED
from oc_trio.runtime.delivery.buttons import ButtonProps
from oc_trio.runtime.delivery.delivery import Delivery
from oc_trio.runtime.delivery.fallback import ANSWER, send_with_fallback
from oc_trio.runtime.delivery.outbox_message import OutboxMessage
from oc_trio.runtime.delivery.post_parts import post_parts
from oc_trio.runtime.delivery.uploads import SentFile

_CHOOSE = "Please choose:"

FinalWritten = Callable[[PostId, str], Awaitable[None]]


@frozen
class TurnResult:
    """`edit` is the draft that gets `texts[0]`; without it all `texts` become fresh posts. `delete` is a draft to
    delete once everything is posted. `props` (buttons) and the first of the `media` belong to the first fresh post;
    `files` says what became of as many of the `media` as were dealt with. `rest` is the whole of an answer that is cut,
    for a file at its last post; its entry in `files` is behind those of the `media`. `blocks` are posts of this turn
    that stay, `stale` those that are no part of the answer.
    """

    state: ObligationState
    texts: tuple[str, ...] = ()
    edit: str = ""
    unchanged: bool = False
    delete: str = ""
    reason: str = ""
    props: str = ""
    media: tuple[Media, ...] = ()
    said: str = ""
    blocks: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    files: tuple[SentFile, ...] = ()
    rest: str = ""

    def to_json(self) -> str:
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> "TurnResult":
        fields = json.loads(text)
        fields["state"] = ObligationState(fields["state"])
        for name in ("texts", "blocks", "stale"):
            fields[name] = tuple(fields.get(name, ()))
        fields["media"] = tuple(Media(**each) for each in fields["media"])
        # Fields that came later have defaults: a journal may hold results of an older release.
        fields["files"] = tuple(SentFile(**each) for each in fields.get("files", ()))
        return cls(**fields)


def result_of(
    plan: FinalPlan,
    *,
    failure: str = "",
    said: str = "",
    props: str = "",
    media: tuple[Media, ...] = (),
    rest: str = "",
) -> TurnResult:
    """The plan as a journal entry; `failure` is the operator's reason when the turn failed."""
    state = ObligationState.FAILED if failure else ObligationState.DELIVERED
    match plan:
        case EditInPlace():
            texts = (plan.text, *plan.then)
            return TurnResult(state, texts, plan.post_id, plan.unchanged, reason=failure, said=said, rest=rest)
        case FreshPosts():
            result = TurnResult(state, plan.texts, delete=plan.delete_preview or "", reason=failure, said=said)
            return evolve(result, props=props, media=media, rest=rest)
        case NoPost():
            if plan.is_in_blocks:
                return TurnResult(state, delete=plan.delete_preview or "", reason=failure, said=said)
            silent = ObligationState.FAILED if failure else ObligationState.SILENT
            return TurnResult(silent, delete=plan.delete_preview or "", reason=failure or plan.reason, said=said)


def with_buttons(end: Final, props_of: ButtonProps, channel_id: ChannelId) -> tuple[Final, str]:
    """The answer and its post's props. Links become text, and so do all buttons where clicks can't be received."""
    if not end.buttons:
        return end, ""
    clickable = tuple(kept for row in end.buttons if (kept := tuple(button for button in row if not button.url)))
    lines = [f"- [{button.label}]({button.url})" for row in end.buttons for button in row if button.url]
    props = props_of(channel_id, clickable) if clickable else ""
    if clickable and not props:
        lines += [f"- {button.label}" for row in clickable for button in row]
    text = "\n\n".join(part for part in (end.text.rstrip(), "\n".join(lines)) if part)
    return evolve(end, text=text or _CHOOSE, buttons=clickable if props else ()), props


@frozen
class ReplyTarget:
    """Where a turn's posts go."""

    turn: TurnId
    channel_id: ChannelId
    root_id: str
    answers: tuple[PostId, ...] = ()


async def deliver_result(
    result: TurnResult,
    target: ReplyTarget,
    delivery: Delivery,
    earlier: tuple[PostId, ...],
    final_written: FinalWritten,
    *,
    is_repeated: bool = True,
) -> Outcome:
    """Deliver `result`, whose files are on the server; returns the outcome of the turn's obligations.

    `earlier` are finished posts of the turn; `final_written` is called with the draft that has its final text.
    `is_repeated`: an earlier delivery may have begun. A permanent refusal (the bot was removed, the channel archived)
    is an outcome, too: failed, with the server's message.
    """
    posts, problem = list(earlier), ""
    try:
        # Once the server has refused the edit, the answer is a fresh post: a later delivery must not make it two.
        is_fresh = not result.edit or (is_repeated and await delivery.exists(OutboxId(f"{target.turn}.0")))
        is_edited = not is_fresh and await _edited(result, delivery)
        if is_edited:
            posts.append(PostId(result.edit))
            # Before the other posts: while those are delivered, a late edit may already land.
            await final_written(PostId(result.edit), result.texts[0])
        messages, begun = _messages(result, target, is_edited=is_edited), None
        for message, following in zip(messages, (*messages[1:], None)):
            sent = await send_with_fallback(
                delivery, message, ANSWER, begun=begun, following=following, is_repeated=is_repeated
            )
            begun = sent.begun
            posts.append(sent.post_id)
            if sent.problem:
                # The following parts make no sense without this one.
                problem = f"not delivered: {sent.problem}"
                break
    except MattermostRejected as refusal:
        # The draft is kept: it may be all that people ever get to read.
        return not_delivered(refusal, *posts)
    has_begun = len(posts) - len(earlier) > bool(problem)
    # The answer is posted before the draft that it replaces is deleted: a failure in between leaves both, never none.
    replaced = result.edit if result.edit and not is_edited and posts else result.delete
    # Beside a fallback notice for the whole answer the draft is kept, too.
    if replaced and (has_begun or not problem):
        await delivery.delete_quietly(PostId(replaced))
        posts = [post for post in posts if post != replaced]
    if problem:
        return Outcome(ObligationState.FAILED, tuple(posts), problem)
    if result.state is ObligationState.DELIVERED and not posts:
        return Outcome(ObligationState.SILENT, reason=result.reason or "there was nothing to post")
    return Outcome(result.state, tuple(posts), result.reason)


def not_delivered(refusal: MattermostRejected, *posts: PostId) -> Outcome:
    """The outcome where the server refuses an answer for good; `posts` are the parts that were posted.

    An answer that somebody deleted before we knew that it was posted is that person's decision, not a failure.
    """
    if refusal.code == WAS_DELETED:
        return Outcome(ObligationState.CANCELLED, posts, "the answer was deleted")
    return Outcome(ObligationState.FAILED, posts, f"not delivered: {refusal}")


def _messages(result: TurnResult, target: ReplyTarget, *, is_edited: bool) -> list[OutboxMessage]:
    """The fresh posts. A text's outbox id is its position in the answer, whatever became of files and edits."""
    if result.state is ObligationState.CANCELLED:
        return []  # the text is the seal of a draft; without the draft there is nothing to post
    texts = _with_problems(result.texts, tuple(file.problem for file in result.files if file.problem))
    of_media, of_rest = result.files[: len(result.media)], result.files[len(result.media) :]
    file_ids = tuple(FileId(file.file_id) for file in of_media if file.file_id)
    rest_ids = tuple(FileId(file.file_id) for file in of_rest if file.file_id)
    props = json.loads(result.props) if result.props else {}
    if not texts and result.props:
        texts = (_CHOOSE,)
    elif not texts and file_ids:
        texts = ("",)
    # On the first post, unlike those of a single message: the draft of an edited answer is not among the fresh posts.
    parts = post_parts(texts, props, file_ids, main=0)
    kind = OutboxKind.FINAL if result.state is not ObligationState.FAILED else OutboxKind.NOTICE
    blank = OutboxMessage(OutboxId(""), target.channel_id, "", kind, target.root_id, target.turn)
    blank = evolve(blank, answers=target.answers)
    messages = [
        evolve(
            blank,
            id=OutboxId(f"{target.turn}.{index}"),
            message=part.text,
            seq=index,
            props=part.props,
            file_ids=part.file_ids,
        )
        for index, part in enumerate(parts[: len(texts)])
    ]
    messages = messages[1:] if is_edited else messages
    if messages and len(messages[-1].file_ids) + len(rest_ids) <= MAX_PER_POST:
        messages[-1] = evolve(messages[-1], file_ids=(*messages[-1].file_ids, *rest_ids))
        rest_ids = ()
    further = [part.file_ids for part in parts[len(texts) :]]
    if rest_ids:
        further.append(rest_ids)
    return [
        *messages,
        *(
            evolve(blank, id=OutboxId(f"{target.turn}.f{at}"), file_ids=file_ids, seq=len(texts) + at)
            for at, file_ids in enumerate(further, 1)
        ),
    ]


def _with_problems(texts: tuple[str, ...], problems: tuple[str, ...]) -> tuple[str, ...]:
    """`texts` with the files that could not be sent, below the last one."""
    if not problems:
        return texts
    note = "\n".join(f"⚠️ {problem}" for problem in problems)
    if not texts:
        return (note,)
    joined = f"{texts[-1]}\n\n{note}"
    return (*texts[:-1], joined) if len(joined) <= SERVER_LIMIT else (*texts, note)


async def _edited(result: TurnResult, delivery: Delivery) -> bool:
    """True if the draft carries the final text; False if it can't be written any more."""
    if result.unchanged:
        return True
    try:
        await delivery.edit_until_done(PostId(result.edit), result.texts[0])
    except MattermostRejected:
        return False
    return True
