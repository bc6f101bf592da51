"""Routes every HTTP request to its handler: `Router(world).handle(request)`.

Also checks the token, size limits and the rate limit, logs requests, and translates refusals to responses.
"""

import re

from oc_trio.sandbox.errors import ApiError, forbidden, no_route, unauthenticated
from oc_trio.sandbox.records import SessionRecord
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse, bearer_token
from oc_trio.sandbox.rest import bots, channels, files, integrations, posts, reactions, system, teams, users
from oc_trio.sandbox.rest.call import RestCall, RestRoute
from oc_trio.sandbox.settings import MAX_BODY
from oc_trio.sandbox.transcript import LoggedRequest
from oc_trio.sandbox.world import World

API = "/api/v4"
_NOUNS = (system, bots, users, teams, channels, posts, reactions, files, integrations)

# The permissions that can be denied in the settings, by method and path.
_PERMISSIONS = {
    ("POST", "/channels/direct"): "create_direct_channel",
    ("POST", "/posts"): "create_post",
    ("PUT", "/posts/{post_id}/patch"): "edit_post",
    ("DELETE", "/posts/{post_id}"): "delete_post",
    ("POST", "/reactions"): "add_reaction",
    ("POST", "/files"): "upload_file",
}
PERMISSIONS = frozenset(_PERMISSIONS.values())
# Ids take letters and digits only: an action id with `-` or `_` matches no route and is 404 (contract scenario
# button_ids). Emoji names are looser, for `+1` (contract scenario reaction_names).
_SEGMENTS = {"": r"[A-Za-z0-9]+", "name": r"[A-Za-z0-9_.-]+", "emoji": r"[A-Za-z0-9_+-]+"}
_PARAMETER = re.compile(r"\{(\w+):?(\w*)\}")


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(_PARAMETER.sub(lambda m: f"(?P<{m[1]}>{_SEGMENTS[m[2]]})", path))


_TABLE = tuple(
    [(route, _pattern(API + route.path)) for noun in _NOUNS for route in noun.ROUTES]
    + [(route, _pattern(route.path)) for route in integrations.OUTSIDE_ROUTES]
)


def find_route(method: str, path: str) -> tuple[RestRoute, dict[str, str]] | None:
    """The first matching route with its path parameters; None for an unknown path or method."""
    for route, pattern in _TABLE:
        match = pattern.fullmatch(path) if route.method == method else None
        if match is not None:
            return route, match.groupdict()
    return None


class Router:
    """Handles HTTP requests for one world."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def handle(self, request: SandboxRequest) -> SandboxResponse:
        """The response to one request; errors of the client never raise."""
        world = self._world
        session = self._session(request)
        # Per address, and judged before the route and the token are.
        limited = world.rate_limit.headers(request.remote, world.clock.now()) if world.settings.rate_limit else None
        if limited is not None:
            response = SandboxResponse.text("limit exceeded\n", 429, limited)
        else:
            try:
                response = await self._answer(request, session)
            except ApiError as refused:
                response = SandboxResponse.json(refused.body(world.clock.new_id()), refused.status)
        user = world.users.find(session.user_id) if session is not None else None
        name = user.username if user is not None else ""
        world.requests.note(LoggedRequest(request.method, request.path, name, response.status, world.clock.now()))
        return response

    def refuse_size(self, method: str, path: str, length: int) -> SandboxResponse | None:
        """The 413 for a body of this many bytes, before it is read; None if it is allowed."""
        try:
            self._check_size(method, path, length)
        except ApiError as refused:
            return SandboxResponse.json(refused.body(self._world.clock.new_id()), refused.status)
        return None

    def _check_size(self, method: str, path: str, length: int) -> None:
        matched = find_route(method, path)
        is_upload = matched is not None and matched[0].upload
        if is_upload and length > self._world.settings.max_file_size:
            raise ApiError(413, "api.file.upload_file.too_large_detailed.app_error", "The file is too large.")
        if not is_upload and length > MAX_BODY:
            raise ApiError(413, "api.context.request_body_too_large.app_error", "The request body is too large.")

    def _session(self, request: SandboxRequest) -> SessionRecord | None:
        token = bearer_token(request.header("authorization"))
        return self._world.users.session_of(token) if token else None

    async def _answer(self, request: SandboxRequest, session: SessionRecord | None) -> SandboxResponse:
        matched = find_route(request.method, request.path)
        if matched is None:
            raise no_route()
        route, params = matched
        if session is None and not route.public:
            query_token = request.args().get("access_token", "")
            # A good token in the query has an error id of its own (contract scenario auth_token_forms).
            if query_token and self._world.users.session_of(query_token) is not None:
                raise ApiError(401, "api.context.token_provided.app_error", "Token provided but not accepted here.")
            raise unauthenticated()
        # After the token, other than in `app`, which has to judge by the length before the body comes.
        self._check_size(request.method, request.path, len(request.body))
        denied = _PERMISSIONS.get((route.method, route.path), "") in self._world.settings.denied
        if denied and session is not None and not self._world.users.get(session.user_id).is_admin:
            raise forbidden()
        # Reads don't count as activity; see `Hub._reap`.
        if session is not None and request.method != "GET":
            self._world.hub.note_activity(session)
        return await route.handler(RestCall(self._world, request, params, session))
