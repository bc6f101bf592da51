"""Asks people questions for agents, and for approval of tool calls: posts buttons and waits, with a deadline.

The first click, dialog or message is the answer; it is claimed in the journal (`store.claims`), so that it counts once.
A click on a question that nobody waits for any more, as after a restart, becomes a message to the agent instead; on an
approval it does nothing.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import trio
from attrs import field

from oc_trio.agent.port import ToolCall
from oc_trio.agent.toolbox import ApprovalResult, Approve
from oc_trio.classes import define, frozen
from oc_trio.core import questions
from oc_trio.core.approvals import MAX_TOOL_NAME, ApprovalPrompt, Approvers, CallTooLarge, approval_prompt
from oc_trio.core.chat import Sender
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.interactions import EXPIRED, Click, ephemeral_reply, selected_reply
from oc_trio.core.ledger import OutboxKind
from oc_trio.core.post_marker import KEY, MARKER
from oc_trio.core.questions import Answer, DialogAnswer, Question
from oc_trio.core.turn_events import Button
from oc_trio.errors import MattermostError
from oc_trio.ids import ChannelId, FileId, OutboxId, PostId, SessionKey, ThreadRoot
from oc_trio.mattermost.files import from_bytes
from oc_trio.runtime.delivery.buttons import LIFETIME_MS, ButtonMaker
from oc_trio.runtime.delivery.outbox_message import OutboxMessage
from oc_trio.runtime.journal_write import finish_write
from oc_trio.runtime.services import AccountServices
from oc_trio.telemetry.log import get_logger

log = get_logger(part="questions")

# Long enough for somebody to come back to the screen; the turn and its slot in the limiter wait meanwhile.
ASK_SECONDS = 600.0
# A stop waits for this; buttons that stay are harmless, for the claim makes them void.
CLOSE_SECONDS = 5.0
# A call has a million characters at most, which may take long on a slow line.
ATTACH_SECONDS = 120.0
# Each belongs to a turn that waits; more than this is an agent that asks in a loop.
MAX_WAITING = 1000
APPROVAL = "oc_approval"
DIALOG = "oc_dialog"
GONE = "This is no longer waiting for an answer."
NO_ANSWER = "Nobody answered in time."
NOT_YOURS = "You may not approve or deny this call. The question stays open for those who may."
CALL_FILE = "tool-call.json"


@frozen
class QuestionPlace:
    """Where a question is asked: the conversation whose turn waits for the answer."""

    session: SessionKey
    channel_id: ChannelId
    root_id: str = ""


@define(eq=False)
class _Waiting:
    question: Question
    place: QuestionPlace
    approvers: Approvers | None = None  # None for questions: whoever may use the bot may answer them
    answered: trio.Event = field(factory=trio.Event)
    answer: Answer | None = None
    by: str = ""
    is_shown: bool = False  # the response to the click has already put the answer into the post

    def take(self, answer: Answer, by: str, *, is_shown: bool) -> bool:
        if self.answer is not None:
            return False
        self.answer, self.by, self.is_shown = answer, by, is_shown
        self.answered.set()
        return True


@define(eq=False)
class Questions:
    """One account's open questions."""

    services: AccountServices
    buttons: ButtonMaker
    # By the question's id, for as long as its turn waits.
    _waiting: dict[str, _Waiting] = field(init=False, factory=dict)
    _is_kept_open: bool = field(init=False, default=False)

    async def ask(
        self,
        question: Question,
        place: QuestionPlace,
        *,
        seconds: float = ASK_SECONDS,
        files: tuple[FileId, ...] = (),
        approvers: Approvers | None = None,
    ) -> Answer | None:
        """Post the question and wait; None when nobody answered within `seconds`. Raises MattermostError at posting."""
        services = self.services
        if len(self._waiting) >= MAX_WAITING:
            log.warning("too many open questions", account=services.account)
            return None
        # Before the post: a click can be here sooner than the answer to our request.
        waiting = self._waiting[question.id] = _Waiting(question, place, approvers)
        post: PostId | None = None
        is_over = False
        try:
            with trio.move_on_after(seconds):
                post = await services.delivery.post_or_abandon(self._question_post(question, place, files))
                if place.root_id and not question.clicks_only:
                    # A message in its thread may be the answer, and nobody mentions the bot to whom it has just spoken.
                    await services.store.participation.record(
                        services.account, place.channel_id, ThreadRoot(place.root_id), services.clock.now_ms()
                    )
                await waiting.answered.wait()
            is_over = True
        finally:
            # A click that comes from now on finds nobody who waits; the claim decides whether it still counts.
            del self._waiting[question.id]
            is_shown = post is not None and waiting.answer is None and not question.clicks_only
            is_kept = self._is_kept_open and is_shown and not is_over
            # Without a sure lease the turn goes on at whoever serves the account next, and waits at this very post.
            if services.api.transport.lease.is_sure and not is_kept:
                # Shielded, so that a turn that is stopped leaves no buttons which look as if somebody waited for them.
                with trio.move_on_after(CLOSE_SECONDS, shield=True):
                    await self._close(waiting, post)
        return waiting.answer

    def keep_open(self) -> None:
        """The account ends, and its turns go on after the next start: from now on a question whose turn is cancelled is
        not closed, for that turn will wait at the same post. Approvals are closed: a run approves its own calls.
        """
        self._is_kept_open = True

    def approver(
        self, place: QuestionPlace, *, seconds: float = ASK_SECONDS, approvers: Callable[[], Approvers] = Approvers
    ) -> Approve:
        """A function that asks people about each tool call; no answer and a failure to ask refuse it.

        `approvers` is called for each tool call: people who join the turn later can't approve an earlier call.
        """

        async def approve(call: ToolCall) -> ApprovalResult:
            allowed_people = approvers()
            if allowed_people.is_nobody:
                return _refused(call, "only who asked may approve it, and no person started this turn")
            try:
                shown = approval_prompt(call.name, call.arguments)
                files = await self._attached(shown, place)
                question = questions.approval(self.services.clock.new_id(), shown.text)
                answer = await self.ask(question, place, seconds=seconds, files=files, approvers=allowed_people)
            except CallTooLarge as problem:
                log.warning("a call can't be shown to be approved", tool=call.name)
                return _refused(call, str(problem))
            except _NotAttached as problem:
                log.warning("a call could not be attached to be approved", tool=call.name, problem=str(problem))
                return _refused(call, "it is too long for a message, and the file with all of it could not be uploaded")
            except MattermostError as problem:
                log.warning("an approval could not be asked for", tool=call.name, problem=str(problem))
                return _refused(call, "the question could not be posted")
            allowed = answer is not None and answer.option == questions.APPROVE
            log.info("tool approval", tool=call.name, allowed=allowed, answered=answer is not None)
            return ApprovalResult(allowed, "" if allowed else _denied(call, answer))

        return approve

    async def _attached(self, shown: ApprovalPrompt, place: QuestionPlace) -> tuple[FileId, ...]:
        """Upload the complete call where the question shortens it. Raises `_NotAttached`."""
        if shown.file is None:
            return ()
        try:
            with trio.fail_after(ATTACH_SECONDS):
                file = from_bytes(CALL_FILE, shown.file)
                return (await self.services.uploader.upload(place.channel_id, file),)
        except (MattermostError, trio.TooSlowError) as problem:
            raise _NotAttached(str(problem) or f"not done within {ATTACH_SECONDS:g} s") from problem

    async def click(self, click: Click, sender: Sender) -> Mapping[str, Any] | None:
        """The response to a click on a question by `sender`, who may use the bot there.

        None if nobody waits for the answer any more, and the click is to become a message.
        """
        callback, services = click.callback, self.services
        id_ = questions.question_of(callback.context)
        assert id_ is not None, "the caller knows that it is a question"
        waiting = self._waiting.get(id_)
        if waiting is None:
            # An approval of a call that nobody waits for must not become a message that reads like a consent.
            if callback.context.get(APPROVAL) is True:
                return ephemeral_reply(GONE)
            # By the click: one that was claimed and then not admitted, as by a journal that failed, can be repeated.
            # Whether it was admitted is its admission's to say.
            _, holder = await self._claim(id_, click.trigger)
            return None if holder == click.trigger else ephemeral_reply(questions.ANSWERED)
        if waiting.approvers is not None and not waiting.approvers.include(sender, services.policies.access):
            log.info("who clicked may not approve", account=services.account, user=sender.user_id)
            return ephemeral_reply(NOT_YOURS)
        if callback.context.get(DIALOG) is True:
            return await self._open_dialog(waiting.question, click)
        answer = questions.answer_of_click(waiting.question, callback.context, callback.selected)
        if answer is None:
            return ephemeral_reply(questions.FAILED)
        # The claim first: it decides between two clicks, and between a click and the time limit.
        if not await self._claim_and_take(waiting, answer, callback.user_name, is_shown=True):
            return ephemeral_reply(questions.ANSWERED)
        log.info("question answered", account=services.account, by=callback.user_name, how="click")
        return {**selected_reply(click), **ephemeral_reply(questions.SUBMITTED)}

    async def dialog(self, dialog_answer: DialogAnswer, user_name: str) -> Mapping[str, Any]:
        """The response to a submitted dialog: empty closes it, an error is shown in it."""
        waiting = self._waiting.get(dialog_answer.answer.question)
        if dialog_answer.cancelled:
            return {}
        if waiting is None or waiting.question.clicks_only or waiting.place.channel_id != dialog_answer.channel_id:
            return {"error": GONE}
        if not dialog_answer.answer.text:
            return {"errors": {"answer": "Please write an answer."}}
        if not await self._claim_and_take(waiting, dialog_answer.answer, user_name, is_shown=False):
            return {"error": questions.ANSWERED}
        log.info("question answered", account=self.services.account, by=user_name, how="dialog")
        return {}

    def take_text(self, message: InboundMessage) -> bool:
        """Whether a message is the answer that its conversation waits for; then it gets no turn of its own."""
        for waiting in self._waiting.values():
            if waiting.place.session == message.session and waiting.answer is None:
                answer = questions.answer_of_text(waiting.question, message.text)
                if answer is not None:
                    return waiting.take(answer, message.user_name, is_shown=False)
        return False

    async def id_for(self, name: str) -> str:
        """The id of the question named `name`: the name itself, so that a turn that is run again after a crash waits at
        the existing post; a new id once that question was answered or timed out.
        """
        services = self.services
        is_over = await services.store.claims.is_taken(self._scope, name, services.clock.now_ms())
        return services.clock.new_id() if is_over or name in self._waiting else name

    async def _claim_and_take(self, waiting: _Waiting, answer: Answer, by: str, *, is_shown: bool) -> bool:
        """Whether it is the answer that counts."""
        # It is finished even if the caller hangs up: a question that is claimed and not answered would wait in vain.
        is_first, _ = await finish_write(partial(self._claim, answer.question, answer.text))
        return is_first and waiting.take(answer, by, is_shown=is_shown)

    async def _claim(self, id_: str, value: str) -> tuple[bool, str]:
        """As `Claims.claim`."""
        now = self.services.clock.now_ms()
        return await self.services.store.claims.claim(self._scope, id_, now, now + LIFETIME_MS, value)

    @property
    def _scope(self) -> str:
        return f"question:{self.services.account}"

    async def _open_dialog(self, question: Question, click: Click) -> Mapping[str, Any]:
        callback, services = click.callback, self.services
        request = questions.dialog_request(
            question,
            trigger_id=callback.trigger_id,
            callback_url=self.buttons.url,
            channel_id=callback.channel_id,
            bot_token=self.buttons.bot_token(),
        )
        try:
            await services.api.dialogs.open(request["trigger_id"], request["url"], request["dialog"])
        except MattermostError as problem:
            log.warning("a dialog could not be opened", account=services.account, problem=str(problem))
            return ephemeral_reply(questions.FAILED)
        return {}

    def _question_post(self, question: Question, place: QuestionPlace, files: tuple[FileId, ...] = ()) -> OutboxMessage:
        shown = questions.show(question)
        rows, contexts = shown.rows, dict(shown.contexts)
        if question.free_text:
            other = Button("Other…" if question.options else "Answer", id="questiondialog")
            rows = (*rows, (other,))
            contexts["questiondialog"] = {questions.MARK: True, questions.QUESTION_ID: question.id, DIALOG: True}
        extra = {APPROVAL: True} if question.clicks_only else {}
        return OutboxMessage(
            id=_outbox_id(question),
            channel_id=place.channel_id,
            message=question.text,
            kind=OutboxKind.MESSAGE,
            root_id=place.root_id,
            props=self.buttons.props(
                place.channel_id, rows, shown.menus, single_use=False, extra=extra, custom=contexts
            ),
            file_ids=files,
        )

    async def _close(self, waiting: _Waiting, post: PostId | None) -> None:
        """Remove the buttons, unless the response to the click did, and make late clicks void."""
        if waiting.answer is None:
            await self._claim(waiting.question.id, "")
        if post is None:
            # Not posted, and nobody waits any more: the next start must not post it.
            await self.services.delivery.retract(_outbox_id(waiting.question))
        if post is None or waiting.is_shown:
            return
        line = f"✓ **{waiting.answer.text[:80]}** answered by @{waiting.by}" if waiting.answer else f"_{EXPIRED}_"
        # Without its key in the props the post would not be recognised as ours after a restart.
        props = {"attachments": [{"text": line}], MARKER: {KEY: _outbox_id(waiting.question)}}
        try:
            await self.services.api.posts.patch(post, props=props)
        except MattermostError as problem:
            log.info("a question keeps its buttons", post=post, problem=str(problem))


def _outbox_id(question: Question) -> OutboxId:
    return OutboxId(f"q.{question.id}")


class _NotAttached(Exception):
    """The file with a call could not be uploaded; str() says why, for the log."""


def _refused(call: ToolCall, why: str) -> ApprovalResult:
    return ApprovalResult(False, f"{call.name[:MAX_TOOL_NAME]} was not approved: {why}.")


def _denied(call: ToolCall, answer: Answer | None) -> str:
    if answer is None:
        return f"{call.name} was not approved: nobody answered in time."
    return f"{call.name} was denied by a person."
