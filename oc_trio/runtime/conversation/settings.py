"""Loads the settings of one conversation, as `/model`, `/queue` and others have changed them."""

from oc_trio.core.chat_commands import MAX_DEBOUNCE, MAX_QUEUED
from oc_trio.core.queueing import DropRule, QueueMode, QueueRules
from oc_trio.ids import SessionKey
from oc_trio.runtime.agents import SessionSettings
from oc_trio.store.damage import reading
from oc_trio.store.store import Store

# As `route_message` in `core.routing` builds the key of a thread's session.
_THREAD = ":thread:"


def channel_session(session: SessionKey) -> SessionKey:
    """The conversation of the channel that a thread's conversation is in; any other is its own."""
    return SessionKey(session.partition(_THREAD)[0])


async def load_settings(store: Store, session: SessionKey) -> SessionSettings:
    """What holds for a conversation: its own settings, and its channel's where it has none. Raises StoreError."""
    channel = channel_session(session)
    if channel == session:
        return (await own_settings(store, session)).over(SessionSettings())
    own, general = await store.sessions.settings_of(session, channel)
    return _read(session, own).over(_read(channel, general))


async def own_settings(store: Store, session: SessionKey) -> SessionSettings:
    """The settings that commands have changed in a conversation. Raises StoreError."""
    return _read(session, await store.sessions.settings(session))


def _read(session: SessionKey, settings: str) -> SessionSettings:
    with reading("sessions", f"key {session}"):
        return SessionSettings.from_json(settings)


def queue_rules(configured: QueueRules, settings: SessionSettings) -> QueueRules:
    """The conversation's queue rules: the configured ones with the changes of `/queue`."""
    changes = dict(settings.queue)
    return QueueRules(
        mode=QueueMode(str(changes.get("mode", configured.mode.value))),
        # Bounded when they are read: settings of an earlier release may be beyond the limits of today.
        cap=min(int(str(changes.get("cap", configured.cap))), MAX_QUEUED),
        drop=DropRule(str(changes.get("drop", configured.drop.value))),
        debounce=min(float(str(changes.get("debounce", configured.debounce))), MAX_DEBOUNCE),
    )
