"""Answers as servers, programs and callers send them, shortened; the mutation starts from these."""

from typing import Any

from oc_trio.signing import sign_context

BOT_TOKEN = "test-bot-token"


def _chunk(delta: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **more}


def _call(index: int, **function: Any) -> dict[str, Any]:
    return {"index": index, "id": f"call_{index}", "type": "function", "function": function}


USAGE = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
OPENAI_STREAMS: tuple[list[Any], ...] = (
    [_chunk({"role": "assistant", "content": ""}), _chunk({"content": "Hel"}), _chunk({"content": "lo"}, "stop")],
    [
        _chunk({"reasoning_content": "Let me see. "}),
        _chunk({"content": "<think>hm</think>Hello"}),
        _chunk({}, "stop"),
        {"choices": [], "usage": USAGE},
    ],
    [
        _chunk({"content": "I look.", "tool_calls": [_call(0, name="look", arguments='{"where": ')]}),
        _chunk({"tool_calls": [{"index": 0, "function": {"arguments": '"here"}'}}]}),
        _chunk({"tool_calls": [_call(1, name="look", arguments="{}")]}, "tool_calls", usage=USAGE),
    ],
    [_chunk({"content": "Half"}), {"error": {"message": "Upstream idle timeout", "code": 502}}],
)
OPENAI_WHOLE: tuple[Any, ...] = (
    {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
        "usage": USAGE,
    },
    {"error": {"message": "no such model", "type": "invalid_request_error", "param": "model", "code": None}},
)


def _block(index: int, kind: str, **more: Any) -> list[Any]:
    begin = {"type": "content_block_start", "index": index, "content_block": {"type": kind, **more}}
    return [begin, {"type": "content_block_stop", "index": index}]


def _delta(index: int, kind: str, **more: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **more}}


_MESSAGE = {
    "type": "message_start",
    "message": {"id": "msg_1", "role": "assistant", "model": "m", "usage": {"input_tokens": 9, "output_tokens": 1}},
}


def _end(reason: str) -> list[Any]:
    usage = {"output_tokens": 7}
    return [{"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}, {"type": "message_stop"}]


_TEXT, _THINKING = _block(0, "text", text=""), _block(0, "thinking", thinking="", signature="")
_TOOL = _block(1, "tool_use", id="toolu_1", name="look", input={})
ANTHROPIC_STREAMS: tuple[list[Any], ...] = (
    [_MESSAGE, _TEXT[0], {"type": "ping"}, _delta(0, "text_delta", text="Hello"), _TEXT[1], *_end("end_turn")],
    [
        *(_MESSAGE, _THINKING[0], _delta(0, "thinking_delta", thinking="Let me see.")),
        *(_delta(0, "signature_delta", signature="SIG"), _THINKING[1], _TOOL[0]),
        *(_delta(1, "input_json_delta", partial_json='{"where": "here"}'), _TOOL[1], *_end("tool_use")),
    ],
    [
        _MESSAGE,
        _TEXT[0],
        _delta(0, "text_delta", text="Half"),
        {"type": "error", "error": {"type": "overloaded_error"}},
    ],
)

COMMAND_LINES: tuple[Any, ...] = (
    {"type": "text", "text": "Hello"},
    {"type": "plan", "steps": [{"text": "look", "state": "done"}, {"text": "say"}]},
    {"type": "tool_started", "id": "1", "name": "grep", "arguments": {"a": [1, {"b": None}]}, "detail": "a"},
    {"type": "tool_ended", "id": "1", "name": "grep", "status": "failed", "text": "none", "detail": "0 hits"},
    {"type": "tool_call", "id": "7", "name": "look", "arguments": {"x": 1}},
    {
        "type": "final",
        "text": "Hello",
        "media": [{"path": "/tmp/x.png", "mime": "image/png"}, {"url": "https://example.com/x", "name": "x"}],
        "buttons": [[{"label": "Yes", "value": "y"}, {"label": "Docs", "url": "https://example.com"}]],
        "usage": {"input_tokens": 3, "output_tokens": 2, "model": "mine"},
    },
    {"type": "failed", "for_user": "No luck.", "for_operator": "disk full", "retryable": True},
)

MCP_TOOLS: tuple[Any, ...] = (
    {
        "tools": [
            {
                "name": "read.file",
                "title": "Read",
                "description": "Reads a file.",
                "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
                "annotations": {"readOnlyHint": True},
            }
        ]
    },
)
MCP_RESULTS: tuple[Any, ...] = (
    {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "isError": False},
    {"content": [{"type": "image", "data": "AAAA", "mimeType": "image/png"}]},
    {"content": [{"type": "resource", "resource": {"uri": "file:///x", "text": "x", "mimeType": "text/plain"}}]},
    {"content": [{"type": "resource_link", "uri": "file:///x", "name": "x"}]},
    {"content": [], "structuredContent": {"rows": [1, 2.5, None, {"a": "b"}]}, "isError": True},
)

HOOKS: dict[str, Any] = {
    "agent": {
        "message": "look",
        "name": "cron",
        "agentId": "main",
        "sessionKey": "daily",
        "deliver": True,
        "to": "channel:abc",
        "model": "m",
        "thinking": "low",
        "timeoutSeconds": 30,
        "idempotencyKey": "k1",
    },
    "wake": {"text": "the backup is done", "mode": "now", "accountId": "default"},
    "deliver": {
        "to": "#town",
        "text": "hello",
        "media": ["https://example.com/x.png"],
        "buttons": [[{"text": "Yes", "callback_data": "yes"}, {"text": "Docs", "url": "https://example.com"}]],
        "replyTo": "p1",
    },
}
SLASH = {
    "token": "tok-status",
    "team_id": "team1",
    "channel_id": "chan1",
    "user_id": "user1",
    "command": "/oc_status",
    "text": "all of it",
    "user_name": "alice",
    "trigger_id": "t1",
    "response_url": "http://mm/hooks/1",
}
CLICK = {
    "user_id": "u1",
    "user_name": "alice",
    "channel_id": "chan1",
    "team_id": "team1",
    "post_id": "p1",
    "trigger_id": "t1",
    "type": "button",
    "context": sign_context(BOT_TOKEN, {"action_id": "yes", "callback_data": "yes", "x": [1, {"y": None}]}),
}
DIALOG_STATE = sign_context(BOT_TOKEN, {"oc_question": True, "question_id": "q1", "channel_id": "chan1"})
DIALOG = {
    "type": "dialog_submission",
    "callback_id": "oc_question",
    "user_id": "u1",
    "channel_id": "chan1",
    "submission": {"answer": "blue"},
    "cancelled": False,
}

POST = {
    "id": "p1",
    "channel_id": "chan1",
    "user_id": "u1",
    "message": "hello @helper",
    "root_id": "",
    "type": "",
    "create_at": 1_700_000_000_000,
    "update_at": 1_700_000_000_000,
    "edit_at": 0,
    "delete_at": 0,
    "pending_post_id": "",
    "props": {"from_bot": "true", "attachments": [{"text": "x", "actions": [{"id": "a", "name": "A"}]}]},
    "file_ids": ["f1"],
}
REST: dict[str, Any] = {
    "post": POST,
    "page": {"order": ["p1"], "posts": {"p1": POST}, "next_post_id": "", "prev_post_id": "p0", "has_next": False},
    "user": {"id": "u1", "username": "alice", "is_bot": False, "first_name": "A", "delete_at": 0, "update_at": 1},
    "team": {"id": "t1", "name": "team", "display_name": "Team"},
    "channel": {"id": "c1", "type": "O", "team_id": "t1", "name": "town", "display_name": "Town", "delete_at": 0},
    "file": {"id": "f1", "name": "x.png", "size": 3, "mime_type": "image/png", "width": 1, "height": 1},
    "command": {"id": "c1", "team_id": "t1", "trigger": "oc_status", "url": "http://gw/", "token": "x", "method": "P"},
    "error": {"id": "api.context.permissions", "message": "You have no permission.", "status_code": 403},
}
EVENTS: dict[str, Any] = {
    "hello": {"connection_id": "conn1", "server_version": "11.2.0"},
    "posted": {"channel_type": "O", "post": POST, "sender_name": "@alice", "team_id": "t1", "mentions": ["u2"]},
    "post_edited": {"post": POST},
    "post_deleted": {"post": POST},
    "reaction_added": {"reaction": {"user_id": "u1", "post_id": "p1", "channel_id": "c1", "emoji_name": "smile"}},
    "typing": {"user_id": "u1", "parent_id": ""},
    "user_added": {"user_id": "u1", "team_id": "t1"},
    "user_removed": {"user_id": "u1", "remover_id": "u2"},
    "channel_created": {"channel_id": "c1", "team_id": "t1"},
    "channel_deleted": {"channel_id": "c1", "delete_at": 1_700_000_000_000},
    "added_to_team": {"user_id": "u1", "team_id": "t1"},
    "leave_team": {"user_id": "u1", "team_id": "t1"},
    "channel_updated": {"channel": {"id": "c1"}},
    "user_updated": {"user": {"id": "u1", "username": "alice"}},
}
