"""The floor: the least a Trio script can do to answer mentions with a streamed post. httpx and trio-websocket, no more.

It reads the same frames and makes the same calls as the gateway: per mention one model request, one typing call, one
post at the first text, an edit at most every `--interval` seconds, one last edit. No checks, no retries, no journal.
"""

import argparse
import json
import sys
from typing import Any

import httpx
import trio
import trio_websocket


async def answer(
    api: httpx.AsyncClient, model: httpx.AsyncClient, post: dict[str, Any], args: argparse.Namespace
) -> None:
    root = post["root_id"] or post["id"]
    await api.post("/api/v4/users/me/typing", json={"channel_id": post["channel_id"], "parent_id": root})
    text, posted, post_id, last = "", "", "", -1e9
    body = {"model": "words", "stream": True, "messages": [{"role": "user", "content": post["message"]}]}
    async with model.stream("POST", f"{args.model_url}/chat/completions", json=body) as response:
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            choices = json.loads(line[6:])["choices"]
            text += (choices[0]["delta"].get("content") or "") if choices else ""
            if not text or trio.current_time() - last < args.interval:
                continue
            posted, last = text, trio.current_time()
            if post_id:
                await api.put(f"/api/v4/posts/{post_id}/patch", json={"message": text})
            else:
                reply = {"channel_id": post["channel_id"], "root_id": root, "message": text}
                post_id = (await api.post("/api/v4/posts", json=reply)).json()["id"]
            last = trio.current_time()
    if posted != text:
        await api.put(f"/api/v4/posts/{post_id}/patch", json={"message": text})


async def main(args: argparse.Namespace) -> None:
    headers = {"Authorization": f"Bearer {args.token}"}
    limits = httpx.Limits(max_connections=200)
    async with (
        httpx.AsyncClient(base_url=args.base_url, headers=headers, timeout=60, limits=limits) as api,
        httpx.AsyncClient(timeout=60, limits=limits) as model,
        trio.open_nursery() as nursery,
    ):
        me = (await api.get("/api/v4/users/me")).json()["id"]
        url = args.base_url.replace("http", "ws", 1) + "/api/v4/websocket"
        extra = [(b"Authorization", headers["Authorization"].encode())]
        async with trio_websocket.open_websocket_url(
            url, extra_headers=extra, message_queue_size=256, receive_buffer_size=65536
        ) as socket:
            while True:
                frame = json.loads(await socket.get_message())
                if frame.get("event") == "hello":
                    print("connected", file=sys.stderr, flush=True)
                if frame.get("event") != "posted" or me not in frame["data"].get("mentions", ""):
                    continue
                nursery.start_soon(answer, api, model, json.loads(frame["data"]["post"]), args)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--model-url", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--interval", type=float, default=1.2)
    try:
        trio.run(main, parser.parse_args())
    except KeyboardInterrupt:
        sys.exit(0)
