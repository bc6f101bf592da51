"""What `/model`, `/queue` and the like have set for one conversation, and the configuration as far as they left it."""

from oc_trio.core.chat_commands import LONGEST_DEBOUNCE, MOST_QUEUED
from oc_trio.core.queueing import DropRule, QueueMode, QueueRules
from oc_trio.ids import SessionKey
from oc_trio.runtime.agents import SessionSettings
from oc_trio.store.damage import reading
from oc_trio.store.store import Store


async def load_settings(store: Store, session: SessionKey) -> SessionSettings:
    """What was set for a conversation by commands. Raises StoreError."""
    settings = await store.sessions.settings(session)
    with reading("sessions", f"key {session}"):
        return SessionSettings.from_json(settings)


def queue_rules(configured: QueueRules, settings: SessionSettings) -> QueueRules:
    """The conversation's queue rules: the configured ones, as far as `/queue` did not change them."""
    own = dict(settings.queue)
    return QueueRules(
        mode=QueueMode(str(own.get("mode", configured.mode.value))),
        cap=min(int(str(own.get("cap", configured.cap))), MOST_QUEUED),
        drop=DropRule(str(own.get("drop", configured.drop.value))),
        debounce=min(float(str(own.get("debounce", configured.debounce))), LONGEST_DEBOUNCE),
    )
