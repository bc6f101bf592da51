"""The scenarios by subject. Importing this package registers all of them, in this order."""

# ruff: noqa: I001
from tests.contract.mmcontract.scenarios import (
    system as system,
    users as users,
    channels as channels,
    posts_create as posts_create,
    posts_read as posts_read,
    posts_edit as posts_edit,
    posts_special as posts_special,
    reactions as reactions,
    files as files,
    buttons as buttons,
    dialogs as dialogs,
    commands as commands,
    ws_connect as ws_connect,
    ws_events as ws_events,
    ws_resume as ws_resume,
)
