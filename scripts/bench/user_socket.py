"""The websocket of a person whose client a benchmark plays."""

from contextlib import AbstractAsyncContextManager

import trio_websocket


def open_user_socket(base: str, token: str) -> AbstractAsyncContextManager[trio_websocket.WebSocketConnection]:
    """Connect to the chat server at `base` (http or https) by `token`; events come from its first message on."""
    return trio_websocket.open_websocket_url(
        base.replace("http", "ws", 1) + "/api/v4/websocket",
        extra_headers=[(b"Authorization", f"Bearer {token}".encode())],
        message_queue_size=4096,
        receive_buffer_size=65536,
    )
