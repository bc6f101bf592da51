"""The decided end of a turn as a value, and its delivery: the same after a restart as before.

A `Finale` is written to the journal before the first byte of it is sent. Delivering it twice changes nothing: each
fresh post has a name of its own, and an edit that is already there is skipped by the server's readers.
"""

import json

from attrs import asdict, frozen

from oc_trio.core.final_plan import EditInPlace, FinalPlan, FreshPosts, NothingVisible
from oc_trio.core.obligations import ObligationState, OutboxKind, Outcome
from oc_trio.errors import MattermostRejected
from oc_trio.ids import ChannelId, FileId, OutboxId, PostId, TurnId
from oc_trio.runtime.delivery import Delivery, Letter


@frozen
class Finale:
    """`edit` is the draft to finish with `texts[0]`; without it all `texts` go out fresh. `delete` is a preview to
    remove once everything is out. `props` (buttons) and `file_ids` belong to the first fresh post.
    """

    state: ObligationState
    texts: tuple[str, ...] = ()
    edit: str = ""
    unchanged: bool = False
    delete: str = ""
    reason: str = ""
    props: str = ""
    file_ids: tuple[str, ...] = ()
    said: str = ""

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "state": self.state.value}, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Finale":
        fields = json.loads(text)
        fields["state"] = ObligationState(fields["state"])
        fields["texts"] = tuple(fields["texts"])
        fields["file_ids"] = tuple(fields["file_ids"])
        return cls(**fields)


def finale_of(plan: FinalPlan, *, failure: str = "", said: str = "", props: str = "") -> Finale:
    """The plan as a journal entry; `failure` is the operator's reason when the turn failed."""
    state = ObligationState.FAILED if failure else ObligationState.DELIVERED
    match plan:
        case EditInPlace():
            texts = (plan.text, *plan.then)
            return Finale(state, texts, plan.post_id, plan.unchanged, reason=failure, said=said)
        case FreshPosts():
            return Finale(state, plan.texts, delete=plan.delete_preview or "", reason=failure, said=said, props=props)
        case NothingVisible():
            silent = ObligationState.FAILED if failure else ObligationState.SILENT
            return Finale(silent, delete=plan.delete_preview or "", reason=failure or plan.reason, said=said)


@frozen
class Address:
    """Where a turn's posts go."""

    turn: TurnId
    channel_id: ChannelId
    root_id: str


async def perform(finale: Finale, address: Address, delivery: Delivery, earlier: tuple[PostId, ...]) -> Outcome:
    """Deliver; `earlier` are blocks that stand already. Returns how the turn's obligations end.

    A refusal for good (the bot was removed, the channel archived) ends them as failed with the server's words.
    """
    posts = list(earlier)
    texts = list(enumerate(finale.texts))
    try:
        if finale.edit and await _edited(finale, delivery):
            posts.append(PostId(finale.edit))
            texts = texts[1:]
        if finale.state is ObligationState.CANCELLED:
            texts = []  # a seal belongs to its draft; without it there is nothing to say
        if not texts and finale.file_ids:
            texts = [(0, "")]
        for index, text in texts:
            first = not posts or (not finale.edit and index == 0)
            letter = Letter(
                id=OutboxId(f"{address.turn}.{index}"),
                channel_id=address.channel_id,
                message=text,
                kind=OutboxKind.FINAL if finale.state is not ObligationState.FAILED else OutboxKind.NOTICE,
                root_id=address.root_id,
                turn=address.turn,
                seq=index,
                props=json.loads(finale.props) if finale.props and first else {},
                file_ids=tuple(FileId(file_id) for file_id in finale.file_ids) if first else (),
            )
            posts.append(await delivery.post_until_done(letter))
    except MattermostRejected as refusal:
        # The preview is kept: it may be all that people ever get to read.
        return Outcome(ObligationState.FAILED, tuple(posts), f"not delivered: {refusal}")
    if finale.delete:
        await delivery.delete_quietly(PostId(finale.delete))
        posts = [post for post in posts if post != finale.delete]
    if finale.state is ObligationState.DELIVERED and not posts:
        return Outcome(ObligationState.SILENT, reason=finale.reason or "there was nothing to post")
    return Outcome(finale.state, tuple(posts), finale.reason)


async def _edited(finale: Finale, delivery: Delivery) -> bool:
    """True if the draft carries the final text; False if it can't be written any more."""
    if finale.unchanged:
        return True
    try:
        await delivery.edit_until_done(PostId(finale.edit), finale.texts[0])
    except MattermostRejected:
        return False
    return True
