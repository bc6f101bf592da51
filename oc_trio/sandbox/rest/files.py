"""Routes of files: upload as multipart or as a plain body, info, download."""

from urllib.parse import quote

from oc_trio.sandbox.errors import ApiError, bad_url, forbidden
from oc_trio.sandbox.multipart import Part, parts_of
from oc_trio.sandbox.records import FileRecord
from oc_trio.sandbox.request import SandboxResponse
from oc_trio.sandbox.rest.call import RestCall, RestRoute
from oc_trio.sandbox.views import file_view


def _texts(parts: tuple[Part, ...], name: str) -> list[str]:
    return [part.data.decode("utf-8", "replace") for part in parts if part.name == name and not part.filename]


async def upload(call: RestCall) -> SandboxResponse:
    content_type = call.request.header("content-type")
    channel_id, client_ids = call.args.get("channel_id", ""), []
    if content_type.startswith("multipart/form-data"):
        parts = parts_of(content_type, call.request.body)
        # The form's field goes before the query's parameter.
        channel_id = next(iter(_texts(parts, "channel_id")), channel_id)
        client_ids = _texts(parts, "client_ids")
        named = [(part.filename, part.data) for part in parts if part.filename]
    else:
        named = [(call.args.get("filename", ""), call.request.body)]
    if not channel_id:
        raise bad_url("channel_id")
    call.world.channels.require_member(call.user, channel_id)
    # After the permission, so that an outsider is told nothing else.
    if not named or not all(name for name, _ in named):
        raise bad_url("filename")
    infos = [call.world.files.add(call.user.id, channel_id, name, data) for name, data in named]
    body = {"file_infos": [file_view(info) for info in infos], "client_ids": client_ids}
    return SandboxResponse.json(body, 201)


def _readable(call: RestCall) -> FileRecord:
    info = call.world.files.get(call.param("file_id"))
    # By the channel it was uploaded to, whether a post has it or not (contract scenario file_access).
    call.world.channels.require_read(call.user, info.channel_id)
    return info


async def info(call: RestCall) -> SandboxResponse:
    return SandboxResponse.json(file_view(_readable(call)))


async def download(call: RestCall) -> SandboxResponse:
    info = _readable(call)
    name = quote(info.name, safe="")
    # The second name is RFC 6266's form for other characters than ASCII.
    disposition = f"attachment;filename=\"{name}\"; filename*=UTF-8''{name}"
    headers = (("content-type", info.mime_type), ("content-disposition", disposition))
    return SandboxResponse(200, headers, info.data)


async def link(_: RestCall) -> SandboxResponse:
    raise ApiError(403, "api.file.get_public_link.disabled.app_error", "Public links have been disabled.")


async def of_post(call: RestCall) -> SandboxResponse:
    post = call.world.posts.live(call.param("post_id"))
    if not call.world.channels.may_read(call.user, call.world.channels.get(post.channel_id)):
        raise forbidden()
    return SandboxResponse.json([file_view(info) for info in call.world.files.of(post.file_ids)])


ROUTES = (
    RestRoute("POST", "/files", upload, upload=True),
    RestRoute("GET", "/files/{file_id}", download),
    RestRoute("GET", "/files/{file_id}/info", info),
    RestRoute("GET", "/files/{file_id}/link", link),
    RestRoute("GET", "/posts/{post_id}/files/info", of_post),
)
