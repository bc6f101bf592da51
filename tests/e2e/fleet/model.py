"""A slow model: it answers question 17 with `answer q17: ...words... end17`, after a call of a tool where it is asked.

It serves the API of OpenAI's chat completions, and keeps no state: an interrupted answer is given anew.
"""

import json
import re
from typing import Any

import trio
from attrs import define

from oc_trio.sandbox.model_server import Receive, Scope, Send, acknowledge_lifespan, read_body, sse

QUESTION = re.compile(r"\bq(\d+)\b")
NOTE = "note"


@define
class SlowModel:
    """An ASGI app; an answer has `words` words, `delay` seconds apart."""

    words: int
    delay: float
    served: int = 0
    aborted: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await acknowledge_lifespan(receive, send)
            return
        body = await read_body(receive)
        try:
            await self._stream(json.loads(body), send)
            self.served += 1
        except trio.Cancelled:
            self.aborted += 1
            raise

    async def _stream(self, request: dict[str, Any], send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})

        async def chunk(delta: dict[str, Any], finish: str | None = None) -> None:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            event: dict[str, object] = {
                "id": "slow",
                "object": "chat.completion.chunk",
                "model": "slow",
                "choices": [choice],
            }
            await send({"type": "http.response.body", "body": sse(event), "more_body": True})

        text, is_after_tool = last_request(request["messages"])
        numbers = list(dict.fromkeys(QUESTION.findall(text)))
        await chunk({"role": "assistant", "content": ""})
        if NOTE in text.split() and not is_after_tool:
            await trio.sleep(self.delay)
            await chunk({"tool_calls": [_note_call(numbers)]})
            await chunk({}, "tool_calls")
        else:
            for number in numbers:
                for word in (f"answer q{number}:", *(f" w{count}" for count in range(self.words)), f" end{number}\n"):
                    await trio.sleep(self.delay)
                    await chunk({"content": word})
            await chunk({}, "stop")
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})


def last_request(messages: list[dict[str, Any]]) -> tuple[str, bool]:
    """The text of the last user message, and whether a tool has answered since."""
    is_after_tool = False
    for message in reversed(messages):
        if message["role"] == "tool":
            is_after_tool = True
        elif message["role"] == "user":
            content = message["content"]
            return (content if isinstance(content, str) else json.dumps(content)), is_after_tool
    return "", is_after_tool


def _note_call(numbers: list[str]) -> dict[str, Any]:
    text = " ".join(f"noted q{number}" for number in numbers)
    function = {"name": "message", "arguments": json.dumps({"action": "send", "message": text})}
    return {"index": 0, "id": "call_1", "type": "function", "function": function}
