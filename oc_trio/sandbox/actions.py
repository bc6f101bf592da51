"""Handles the actions that a client sends over its websocket (ping, typing, statuses); replies have no `seq`."""

from collections.abc import Mapping
from typing import Any

from oc_trio.sandbox.channels import Channels
from oc_trio.sandbox.clock import SandboxClock
from oc_trio.sandbox.hub import Broadcast, Hub, WebConn
from oc_trio.sandbox.settings import VERSION
from oc_trio.sandbox.users import Users

Reply = dict[str, Any]


def failure(seq: int, status: int, code: str, message: str) -> Reply:
    error = {"id": code, "message": message, "detailed_error": "", "status_code": status}
    # `seq_reply` is left out where the action had no usable `seq` (contract scenario ws_actions).
    return {"status": "FAIL", **({"seq_reply": seq} if seq else {}), "error": error}


class Actions:
    """Answers websocket actions."""

    def __init__(self, clock: SandboxClock, users: Users, channels: Channels, hub: Hub) -> None:
        self._clock = clock
        self._users = users
        self._channels = channels
        self._hub = hub

    def reply(self, connection: WebConn, message: Mapping[str, Any]) -> Reply | None:
        """The reply to one action; None for a second authentication challenge, which gets no reply."""
        seq, action = message.get("seq", 0), message.get("action", "")
        if not action:
            return failure(seq, 400, "api.web_socket_router.no_action.app_error", "No websocket action.")
        if seq <= 0:
            return failure(0, 400, "api.web_socket_router.bad_seq.app_error", "Invalid sequence for WebSocket message.")
        # Whoever is authenticated already gets no reply to a second challenge (contract scenario ws_challenge).
        if action == "authentication_challenge":
            return None
        # The connection stays open when its token is revoked; its actions fail and its events stop (contract scenarios
        # ws_token_revoked and ws_bot_disabled).
        if connection.session.revoked:
            return failure(seq, 401, "api.web_socket_router.not_authenticated.app_error", "Not authenticated.")
        data = message.get("data") or {}
        match action:
            case "ping":
                pong = {"text": "pong", "version": VERSION, "server_time": self._clock.now(), "node_id": ""}
                return {"status": "OK", "seq_reply": seq, "data": pong}
            case "user_typing":
                return self._typing(connection, seq, data)
            case "get_statuses":
                return self._statuses(seq, [user.id for user in self._users.all()])
            case "get_statuses_by_ids":
                return self._statuses(seq, data.get("user_ids"))
        # 500 for a mistake of the client, as recorded (contract scenario ws_actions).
        return failure(seq, 500, "api.web_socket_router.bad_action.app_error", "Unknown WebSocket action.")

    def _typing(self, connection: WebConn, seq: int, data: Mapping[str, Any]) -> Reply:
        channel_id, parent_id = str(data.get("channel_id", "")), str(data.get("parent_id", ""))
        # 400 here, and 403 for the same over REST.
        if not self._channels.is_member(connection.user_id, channel_id):
            code = "api.websocket_handler.invalid_param.app_error"
            return failure(seq, 400, code, "Invalid channel_id parameter.")
        self.publish_typing(connection.user_id, channel_id, parent_id)
        return {"status": "OK", "seq_reply": seq}

    def publish_typing(self, user_id: str, channel_id: str, parent_id: str) -> None:
        data = {"parent_id": parent_id, "user_id": user_id}
        # The person who types is not sent the event (contract scenarios typing_rest and typing_ws).
        self._hub.publish("typing", data, Broadcast(channel_id=channel_id, omit_users=(user_id,)))

    def _statuses(self, seq: int, user_ids: object) -> Reply:
        if not isinstance(user_ids, list):
            return failure(seq, 400, "api.websocket_handler.invalid_param.app_error", "Invalid user_ids parameter.")
        known = (self._users.find(str(user_id)) for user_id in user_ids)
        return {"status": "OK", "seq_reply": seq, "data": {user.id: user.status for user in known if user is not None}}
