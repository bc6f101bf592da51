"""A person at the chat server: writes over REST, and a thread that notes when answers come by websocket."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import trio
import trio_websocket
from attrs import define, field, frozen

from oc_trio.sandbox.demo import PASSWORD
from scripts.bench.chat_process import ChatProcess
from scripts.bench.user_socket import open_user_socket

_STAMP = re.compile(r"\b(first|end)@(\d+\.\d+)")


@define(eq=False)
class Answers:
    """What the bot's posts showed and when, by the root of their thread. Times are of the monotonic clock.

    `first` and `whole` are when the model's stamps were seen (`stamped_model.py`), `sent` and `ended` the stamps;
    `whole_posts` are the posts with the last one.
    """

    bot_id: str
    begun: dict[str, float] = field(factory=dict)
    sent: dict[str, float] = field(factory=dict)
    first: dict[str, float] = field(factory=dict)
    ended: dict[str, float] = field(factory=dict)
    whole: dict[str, float] = field(factory=dict)
    whole_posts: set[str] = field(factory=set)
    ready: threading.Event = field(factory=threading.Event)

    def take(self, post: dict[str, Any], now: float) -> None:
        if post["user_id"] != self.bot_id:
            return
        root = post["root_id"] or post["id"]
        self.begun.setdefault(root, now)
        for name, stamp in _STAMP.findall(post["message"]):
            stamps, times = (self.sent, self.first) if name == "first" else (self.ended, self.whole)
            stamps.setdefault(root, float(stamp))
            times.setdefault(root, now)
            if name == "end":
                self.whole_posts.add(post["id"])

    async def read(self, base: str, token: str) -> None:
        async with open_user_socket(base, token) as socket:
            while True:
                frame = json.loads(await socket.get_message())
                now = time.monotonic()
                if frame.get("event") == "hello":
                    self.ready.set()
                if frame.get("event") in ("posted", "post_edited"):
                    self.take(json.loads(frame["data"]["post"]), now)


@frozen
class Person:
    """Alice, logged in."""

    http: httpx.Client
    token: str
    answers: Answers

    def say(self, channel: str, text: str, *, root: str = "") -> str:
        """Post; the new post's id."""
        body = {"channel_id": channel, "message": text, "root_id": root}
        return str(self.call("POST", "/posts", body)["id"])

    def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.http.request(method, f"/api/v4{path}", json=body)
        return answer.raise_for_status().json()

    def succeeds(self, method: str, path: str, body: Any = None) -> bool:
        """Whether a call is taken: slash commands are not before they are registered."""
        return self.http.request(method, f"/api/v4{path}", json=body).is_success

    def wait(self, is_done: Callable[[], bool], seconds: float) -> bool:
        """Until `is_done`, or for `seconds`; what it said last."""
        until = time.monotonic() + seconds
        while not (done := is_done()) and time.monotonic() < until:
            time.sleep(0.005)
        return done


@contextmanager
def person(server: ChatProcess) -> Iterator[Person]:
    """Alice, who reads from now on."""
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as http:
        login = http.post("/api/v4/users/login", json={"login_id": "alice", "password": PASSWORD}).raise_for_status()
        token = login.headers["Token"]
        http.headers["Authorization"] = f"Bearer {token}"
        answers = Answers(server.bot_id)
        scope, runs = trio.CancelScope(), []

        async def read() -> None:
            runs.append(trio.lowlevel.current_trio_token())
            with scope, suppress(trio_websocket.ConnectionClosed):  # the server ends before its readers
                await answers.read(server.url, token)

        reader = threading.Thread(target=trio.run, args=(read,), daemon=True)
        reader.start()
        try:
            if not answers.ready.wait(10):
                raise SystemExit("the chat server sends no events")
            yield Person(http, token, answers)
        finally:
            with suppress(trio.RunFinishedError):
                runs[0].run_sync_soon(scope.cancel)
            reader.join(10)
