"""What turns need of an account beside `AccountServices`: drafts, tools, and the reader of attachments."""

from collections.abc import Callable

from oc_trio.agent.image_bounds import ImageBounds
from oc_trio.classes import frozen
from oc_trio.runtime.conversation.attachments import AttachmentReader
from oc_trio.runtime.delivery.ack_reactions import AckReactions
from oc_trio.runtime.delivery.buttons import ButtonProps
from oc_trio.runtime.tools.turn_tools import TurnTools
from oc_trio.runtime.turn.edit_pacer import EditPacer
from oc_trio.runtime.turn.live_drafts import LiveDrafts
from oc_trio.runtime.turn.previewer import Previewer
from oc_trio.telemetry.tracing import NO_TRACER, Tracer


@frozen(eq=False)
class TurnServices:
    """One account's. `tools` and `reader` are None where agents have no tools, and get no files."""

    pacer: EditPacer
    live: LiveDrafts
    acks: AckReactions
    previewer: type[Previewer] = Previewer
    tracer: Tracer = NO_TRACER
    tools: TurnTools | None = None
    # Reads people's files for a model; the argument says which images it takes, None for none.
    reader: Callable[[ImageBounds | None], AttachmentReader] | None = None
    # Filled where clicks can be received; without it buttons become text.
    button_props: ButtonProps = lambda _channel, _rows: ""
