"""Routes of posts: writing, reading, searching, pinning."""

from oc_trio.ids import is_mattermost_id
from oc_trio.sandbox.errors import ApiError, bad_body, forbidden
from oc_trio.sandbox.posts import PostSlice
from oc_trio.sandbox.records import PostRecord
from oc_trio.sandbox.request import OK, SandboxResponse
from oc_trio.sandbox.rest.call import Json, RestCall, RestRoute, text_of
from oc_trio.sandbox.writing import Change, PostInput


def _file_ids(body: Json) -> tuple[str, ...]:
    ids = body.get("file_ids") or []
    if not isinstance(ids, list):
        raise bad_body("file_ids")
    return tuple(str(file_id) for file_id in ids)


def _props(body: Json) -> Json:
    props = body.get("props") or {}
    if not isinstance(props, dict):
        raise bad_body("props")
    return props


async def create(call: RestCall) -> SandboxResponse:
    """user_id, create_at and delete_at of the body are not believed; an id or a system type is refused."""
    body = call.json()
    if text_of(body, "type").startswith("system_"):
        raise ApiError(400, "api.context.invalid_param.app_error", "Invalid type.")
    draft = PostInput(
        channel_id=text_of(body, "channel_id"),
        message=text_of(body, "message"),
        root_id=text_of(body, "root_id"),
        type=text_of(body, "type"),
        props=_props(body),
        file_ids=_file_ids(body),
        pending_post_id=text_of(body, "pending_post_id"),
        set_online=call.args.get("set_online", "true") != "false",
    )
    # Recorded: an id of the client's own choice is refused (contract scenario post_create_ignored_fields).
    if text_of(body, "id"):
        raise ApiError(400, "app.post.save.existing.app_error", "You cannot update an existing post.")
    post = call.world.writing.create(call.user, draft)
    return SandboxResponse.json(call.world.views.view(post, pending=True), 201)


async def ephemeral(call: RestCall) -> SandboxResponse:
    # A plain bot gets 403: people see an ephemeral post only by way of an answer (contract scenario ephemeral_post).
    if not call.user.is_admin:
        raise forbidden()
    body = call.json()
    user_id, post = text_of(body, "user_id"), body.get("post")
    if call.world.users.find(user_id) is None or not isinstance(post, dict):
        raise bad_body("user_id")
    channel = call.world.channels.get(text_of(post, "channel_id"))
    events, new_id = call.world.events, call.world.clock.new_id()
    shown = events.ephemeral_body(new_id, call.user.id, channel.id, text_of(post, "message"), text_of(post, "root_id"))
    shown["props"] = call.world.interactions.with_cookies(new_id, channel, _props(post))
    events.ephemeral(user_id, shown)
    return SandboxResponse.json(shown, 201)


def _readable(call: RestCall) -> PostRecord:
    post = call.world.posts.live(call.param("post_id"))
    call.world.channels.require_read(call.user, post.channel_id)
    return post


def _refuse_deleted(call: RestCall) -> None:
    if call.args.get("include_deleted") == "true" and not call.user.is_admin:
        raise forbidden()


async def get(call: RestCall) -> SandboxResponse:
    post_id = call.param("post_id")
    _refuse_deleted(call)
    post = call.world.posts.find(post_id) if call.args.get("include_deleted") == "true" else None
    return SandboxResponse.json(call.world.views.view(post if post is not None else _readable(call)))


async def several(call: RestCall) -> SandboxResponse:
    posts = (call.world.posts.find(post_id) for post_id in call.strings())
    channels = call.world.channels
    # Others are left out without an error.
    readable = [p for p in posts if p is not None and channels.may_read(call.user, channels.get(p.channel_id))]
    return SandboxResponse.json([call.world.views.view(post) for post in readable])


async def thread(call: RestCall) -> SandboxResponse:
    """The asked post first, then newest first; with direction=down oldest first, `perPage` at a time."""
    post = _readable(call)
    posts = call.world.posts.thread(post)
    limit, has_next = call.args.get("perPage", ""), False
    if call.args.get("direction") == "down":
        start = next((at for at, p in enumerate(posts) if p.id == call.args.get("fromPost")), -1) + 1
        wanted = posts[start:]
        count = int(limit) if limit.isdecimal() and int(limit) else len(wanted)
        shown, has_next = wanted[:count], len(wanted) > count
    else:
        # The order behind the first is not promised by the real server (contract scenario post_reply).
        shown = (post, *(p for p in reversed(posts) if p.id != post.id))
    return SandboxResponse.json({**call.world.views.listing(shown), "has_next": has_next})


async def of_channel(call: RestCall) -> SandboxResponse:
    channel, args, posts = call.param("channel_id"), call.args, call.world.posts
    call.world.channels.require_read(call.user, channel)
    _refuse_deleted(call)
    page, per_page = call.page()
    result: PostSlice
    if args.get("since"):
        if not args["since"].isdecimal():
            raise bad_body("since")
        # page and per_page do nothing here (contract scenario posts_since).
        result = posts.since(channel, int(args["since"]))
    elif args.get("after") or args.get("before"):
        anchor = args.get("after") or args["before"]
        if not is_mattermost_id(anchor):
            raise bad_body("after" if args.get("after") else "before")
        result = posts.beside(channel, anchor, per_page, older=not args.get("after"))
    else:
        result = posts.page(channel, page, per_page, roots_only=args.get("collapsedThreads") == "true")
    return SandboxResponse.json(call.world.views.page(result))


async def pinned(call: RestCall) -> SandboxResponse:
    channel = call.world.channels.require_read(call.user, call.param("channel_id"))
    return SandboxResponse.json(call.world.views.listing(call.world.posts.pinned(channel.id)))


async def search(call: RestCall) -> SandboxResponse:
    team_id = call.param("team_id")
    if not call.world.teams.is_member(call.user.id, team_id):
        raise forbidden()
    mine = (channel.id for channel in call.world.channels.of_user(call.user.id, team_id))
    posts = call.world.posts.search(mine, text_of(call.json(), "terms"))
    return SandboxResponse.json({**call.world.views.listing(posts), "matches": None})


async def put(call: RestCall) -> SandboxResponse:
    """A full update: props that are not given are dropped; root_id and absent file_ids stay."""
    post_id, body = call.param("post_id"), call.json()
    if text_of(body, "id") != post_id:
        raise bad_body("id")
    # PUT replaces, PATCH changes: `put` drops props that are not sent, `patch` keeps them (contract scenarios
    # edit_put_minimal and edit_patch_minimal).
    files = _file_ids(body) if "file_ids" in body else None
    post = call.world.writing.edit(call.user, post_id, Change(text_of(body, "message"), _props(body), files))
    return SandboxResponse.json(call.world.views.view(post))


async def patch(call: RestCall) -> SandboxResponse:
    body = call.json()
    change = Change(
        message=text_of(body, "message") if body.get("message") is not None else None,
        props=_props(body) if body.get("props") is not None else None,
        file_ids=_file_ids(body) if body.get("file_ids") is not None else None,
        is_pinned=bool(body["is_pinned"]) if "is_pinned" in body else None,
    )
    post = call.world.writing.edit(call.user, call.param("post_id"), change)
    return SandboxResponse.json(call.world.views.view(post))


async def delete(call: RestCall) -> SandboxResponse:
    call.world.writing.delete(call.user, call.param("post_id"))
    return OK


async def pin(call: RestCall) -> SandboxResponse:
    # Anybody who reads the channel may pin; it goes past the author's check in `edit`.
    call.world.writing.apply(_readable(call), Change(is_pinned=True))
    return OK


async def unpin(call: RestCall) -> SandboxResponse:
    call.world.writing.apply(_readable(call), Change(is_pinned=False))
    return OK


ROUTES = (
    RestRoute("POST", "/posts", create),
    RestRoute("POST", "/posts/ephemeral", ephemeral),
    RestRoute("POST", "/posts/ids", several),
    RestRoute("GET", "/posts/{post_id}", get),
    RestRoute("PUT", "/posts/{post_id}", put),
    RestRoute("DELETE", "/posts/{post_id}", delete),
    RestRoute("PUT", "/posts/{post_id}/patch", patch),
    RestRoute("POST", "/posts/{post_id}/pin", pin),
    RestRoute("POST", "/posts/{post_id}/unpin", unpin),
    RestRoute("GET", "/posts/{post_id}/thread", thread),
    RestRoute("GET", "/channels/{channel_id}/posts", of_channel),
    RestRoute("GET", "/channels/{channel_id}/pinned", pinned),
    RestRoute("POST", "/teams/{team_id}/posts/search", search),
)
