"""Texts that the server never takes, as a value: a plugin that chokes on them, or a rule that refuses them."""

import json
import random

import httpx
from attrs import frozen

_BROKEN = {"id": "app.post.sim_plugin.app_error", "message": "A plugin failed."}
# What the reply to `/status` says whoever asks.
STATUS = "**oc_trio** as "


@frozen
class Poison:
    """`numbers` are the questions whose answers hold it: all of such an answer, or its end only; `has_status` adds the
    reply to that command. Creates get `status` for ever, with `in_edits` edits too.
    """

    numbers: tuple[int, ...]
    at_end: bool = False
    has_status: bool = False
    in_edits: bool = False
    status: int = 500

    def is_in(self, text: str) -> bool:
        head = "(end q" if self.at_end else "q"
        return any(f"{head}{number}v" in text for number in self.numbers) or (self.has_status and STATUS in text)

    def text_in(self, request: httpx.Request) -> str:
        """The poisonous text of a request; empty for any other."""
        path = request.url.path
        is_create = request.method == "POST" and path.endswith("/posts")
        is_edit = request.method == "PUT" and path.endswith("/patch")
        if not (is_create or (is_edit and self.in_edits)):
            return ""
        text = str(json.loads(request.content).get("message", ""))
        return text if self.is_in(text) else ""

    def refusal(self) -> httpx.Response:
        return httpx.Response(self.status, json={**_BROKEN, "status_code": self.status})


def drawn_poison(rng: random.Random) -> Poison:
    return Poison(
        tuple(sorted(rng.sample(range(6), rng.choice((1, 1, 2))))),
        at_end=rng.random() < 0.4,
        has_status=rng.random() < 0.4,
        in_edits=rng.random() < 0.5,
        status=rng.choice((500, 500, 500, 400)),
    )
