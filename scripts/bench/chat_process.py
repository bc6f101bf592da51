"""The handle of `chat_server.py` in another process, and of the model server beside it."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import frozen

from scripts.bench.processes import HERE, process


@frozen
class ChatProcess:
    """A chat server in a process of its own; `order` is answered by it."""

    child: "subprocess.Popen[str]"
    url: str
    bot_token: str
    bot_id: str
    bot_name: str
    channels: tuple[str, ...]

    def order(self, **order: Any) -> dict[str, Any]:
        """Send one order and wait for its answer."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write(json.dumps(order) + "\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        if not line:
            raise SystemExit(f"the chat server ended at the order {order}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def chat_process(*, channels: int = 1, users: int = 0, flood: bool = False) -> Iterator[ChatProcess]:
    """Start one, with `channels` channels of `users` people."""
    command = [str(HERE / "chat_server.py"), "--channels", str(channels), "--users", str(users)]
    with process(*command, *(["--flood"] if flood else []), stdin=subprocess.PIPE) as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        if not line:
            raise SystemExit("the chat server did not start")
        said = json.loads(line)
        yield ChatProcess(
            child, said["url"], said["bot_token"], said["bot_id"], said["bot_username"], tuple(said["channels"])
        )


@contextmanager
def model_process(*, tokens: int, delay_ms: float) -> Iterator[str]:
    """A `stamped_model.py` in a process of its own; its base URL."""
    command = [str(HERE / "stamped_model.py"), "--tokens", str(tokens), "--delay-ms", str(delay_ms)]
    with process(*command) as child:
        assert child.stdout is not None
        yield child.stdout.readline().strip()
