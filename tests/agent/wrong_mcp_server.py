"""An MCP server on its standard streams that answers each method with what the JSON in its first argument says.

The value for a method is the result, or {"line": "..."} for a raw line, {"exit": 3}, {"close": 1} for a closed stdout,
{"times": n, "part": {...}} for a result of n such parts, {"numbers": n} for one of n numbers, {"first": n} for a
notification with n numbers before a good answer.
With a second argument, a file's path, the first life answers well and only later lives answer wrongly.
Many tests start it, and imports are most of what a start costs.
"""

from __future__ import annotations

import json
import os
import sys
import time

TYPE_CHECKING = False  # as in `typing`, which takes as long as everything else here
if TYPE_CHECKING:
    from typing import Any

GOOD: dict[str, Any] = {
    "initialize": {
        "protocolVersion": "2025-06-18",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "wrong", "version": "1"},
    },
    "tools/list": {"tools": [{"name": "ok", "inputSchema": {"type": "object"}}]},
    "tools/call": {"content": [{"type": "text", "text": "fine"}]},
}


def large(wanted: dict[str, Any]) -> dict[str, Any]:
    if "times" in wanted:
        return {"content": [wanted["part"]] * wanted["times"]}
    return {"content": [], "structuredContent": {"numbers": [0] * wanted["numbers"]}}


def note(numbers: int) -> bytes:
    params = {"level": "info", "data": [0] * numbers}
    return json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": params}).encode() + b"\n"


def main() -> None:  # noqa: C901 - one branch per kind of answer
    answers: dict[str, Any] = {**GOOD, **json.loads(sys.argv[1])}
    if len(sys.argv) > 2:
        life = sys.argv[2]
        if not os.path.exists(life):
            open(life, "w").close()
            answers = {**GOOD, "tools/call": {"exit": 1}}
    out = sys.stdout.buffer
    for line in sys.stdin:
        request = json.loads(line)
        if "id" not in request:
            continue
        answer: Any = answers.get(request["method"])
        reply: dict[str, Any]
        if request["method"] == "tools/call" and answer == "echo":
            answer = {"content": [{"type": "text", "text": json.dumps(request["params"]["arguments"])}]}
        if isinstance(answer, dict) and "first" in answer:
            out.write(note(answer["first"]))
            answer = GOOD["tools/call"]
        if answer is None and request["method"] not in answers:
            reply = {"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32601, "message": "no such method"}}
        elif isinstance(answer, dict) and "exit" in answer:
            os._exit(answer["exit"])
        elif isinstance(answer, dict) and "close" in answer:
            os.close(1)
            time.sleep(60)
            return
        elif isinstance(answer, dict) and ("times" in answer or "numbers" in answer):
            reply = {"jsonrpc": "2.0", "id": request["id"], "result": large(answer)}
        elif isinstance(answer, dict) and "line" in answer:
            out.write(answer["line"].encode("utf-8", "surrogatepass") + b"\n")
            out.flush()
            reply = {"jsonrpc": "2.0", "id": request["id"], "result": answer.get("then", {})}
        else:
            reply = {"jsonrpc": "2.0", "id": request["id"], "result": answer}
        out.write(json.dumps(reply).encode() + b"\n")
        out.flush()
        if request["method"] == "tools/list" and answers.get("after") == "exit":
            os._exit(0)


if __name__ == "__main__":
    main()
