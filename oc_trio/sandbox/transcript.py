"""For tests and demos: every post with all versions of its message, and a log of the last requests."""

from collections import Counter, deque
from collections.abc import Iterator

from oc_trio.classes import frozen
from oc_trio.sandbox.records import PostRecord


@frozen
class PostVersions:
    """One post: `versions` are (milliseconds, message), the creation first; `deleted_at` is 0 unless deleted."""

    post_id: str
    root_id: str
    username: str
    type: str
    versions: tuple[tuple[int, str], ...]
    deleted_at: int = 0

    @property
    def message(self) -> str:
        """The last version of the message."""
        return self.versions[-1][1]

    @property
    def messages(self) -> tuple[str, ...]:
        return tuple(text for _, text in self.versions)


def post_versions(post: PostRecord, username: str) -> PostVersions:
    return PostVersions(post.id, post.root_id, username, post.type, tuple(post.history), post.delete_at)


@frozen
class LoggedRequest:
    """`username` is "" for a request without a valid token; `at` is in milliseconds."""

    method: str
    path: str
    username: str
    status: int
    at: int


class RequestLog:
    """The newest requests; `calls` counts all requests by username."""

    def __init__(self, size: int) -> None:
        self._requests: deque[LoggedRequest] = deque(maxlen=size)
        self.calls: Counter[str] = Counter()

    def note(self, request: LoggedRequest) -> None:
        self._requests.append(request)
        self.calls[request.username] += 1

    def __iter__(self) -> Iterator[LoggedRequest]:
        return iter(tuple(self._requests))

    def __len__(self) -> int:
        return len(self._requests)
