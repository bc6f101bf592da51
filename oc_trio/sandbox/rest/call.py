"""One routed request, with its world, path parameters and session; reads its body and refuses a malformed one."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from oc_trio.classes import frozen
from oc_trio.ids import is_mattermost_id
from oc_trio.sandbox.errors import bad_body, bad_url, unauthenticated
from oc_trio.sandbox.records import SessionRecord, UserRecord
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from oc_trio.sandbox.settings import MAX_PAGE, PAGE
from oc_trio.sandbox.world import World

Json = dict[str, Any]


@frozen
class RestCall:
    """The argument of every handler."""

    world: World
    request: SandboxRequest
    params: Mapping[str, str]
    session: SessionRecord | None

    @property
    def user(self) -> UserRecord:
        """The caller. Raises ApiError(401) on public routes if there is none."""
        if self.session is None:
            raise unauthenticated()
        return self.world.users.get(self.session.user_id)

    @property
    def args(self) -> dict[str, str]:
        return self.request.args()

    def param(self, name: str) -> str:
        """An id from the path: 26 characters, or `me` where a user is meant (given as the caller's id)."""
        value = self.params[name]
        if value == "me" and name == "user_id":
            return self.user.id
        # Malformed ids are 400, unknown ones 404 or 403 by their handler (contract scenario bad_request_bodies).
        if not is_mattermost_id(value):
            raise bad_url(name)
        return value

    def value(self) -> Any:
        try:
            return json.loads(self.request.body)
        # Deep nesting runs Python's parser out of its stack; for the client that is bad JSON like any other.
        except (ValueError, RecursionError):
            raise bad_body() from None

    def json(self) -> Json:
        value = self.value()
        if not isinstance(value, dict):
            raise bad_body()
        return value

    def strings(self) -> tuple[str, ...]:
        """A body that is a list of strings, not empty."""
        value = self.value()
        if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
            raise bad_body("ids")
        return tuple(value)

    def page(self) -> tuple[int, int]:
        """`page` and `per_page`: 60 when absent or odd, 200 at most."""
        page, per_page = _count(self.args.get("page"), 0), _count(self.args.get("per_page"), PAGE)
        # Cut without an error (contract scenario posts_per_page_limit).
        return page, min(per_page, MAX_PAGE)


def _count(text: str | None, otherwise: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() else otherwise


def text_of(body: Mapping[str, Any], key: str) -> str:
    """A string field of a body; "" if absent or null. Another type is refused."""
    value = body.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise bad_body(key)
    return value


Handler = Callable[[RestCall], Awaitable[SandboxResponse]]


@frozen
class RestRoute:
    """`path` holds `{name}` for one segment; `public` needs no token; `upload` allows bodies up to the file limit."""

    method: str
    path: str
    handler: Handler
    public: bool = False
    upload: bool = False
