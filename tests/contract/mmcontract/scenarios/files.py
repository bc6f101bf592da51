"""Uploading, attaching and reading files."""

import asyncio
import re
from urllib.parse import urlsplit

from tests.contract.mmcontract.scenario import Run, scenario
from tests.contract.mmcontract.values import ABSENT, UNKNOWN_ID, pick

FILE = "id user_id channel_id? post_id? name extension size mime_type width? height? has_preview_image? delete_at"


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)


@scenario
async def file_upload_multipart(t: Run) -> None:
    """POST /files as multipart (channel_id, files, client_ids): 201 with file_infos and client_ids; bytes come back."""
    c = await t.channel()
    data = "grüße\x00\x01 bytes".encode()
    r = await t.bot.req(
        "POST",
        "/files",
        data={"channel_id": c, "client_ids": "cl1"},
        files={"files": ("notes é.txt", data, "text/plain")},
    )
    t.rest("upload", r, "client_ids")
    info = r.json()["file_infos"][0]
    t.ident(info["id"], "<file>")
    t.see("file info", pick(info, FILE))
    p = await t.bot.say(c, "with a file", file_ids=[info["id"]])
    t.ident(p["id"], "<post>")
    t.see("post", pick(p, "file_ids metadata.files.id metadata.files.name metadata.files.size metadata.files.post_id"))
    r = await t.user.get(f"/files/{info['id']}")
    t.see(
        "download",
        {
            "status": r.status_code,
            "same bytes": r.content == data,
            "content-type": r.headers.get("content-type"),
            "disposition": r.headers.get("content-disposition"),
        },
    )
    t.rest("info", await t.user.get(f"/files/{info['id']}/info"), FILE)
    t.rest("files of the post", await t.user.get(f"/posts/{p['id']}/files/info"), "id name size")


@scenario
async def file_upload_simple(t: Run) -> None:
    """POST /files?channel_id=&filename= with the bytes as body; an image has its size; a post's file_ids come back
    sorted by id, not as sent; a file belongs to one post only: in a second one it is dropped silently."""
    c = await t.channel()
    ids = []
    for name, data in (("a.txt", b"hello"), ("dot.png", PNG)):
        r = await t.bot.req(
            "POST",
            "/files",
            params={"channel_id": c, "filename": name},
            content=data,
            headers={"Content-Type": "application/octet-stream"},
        )
        info = r.json()["file_infos"][0]
        ids.append(t.ident(info["id"], f"<{name}>"))
        t.see(name, {"status": r.status_code, "info": pick(info, FILE)})
    p = await t.bot.say(c, "", file_ids=sorted(ids, reverse=True))
    t.see("post without text", {"message": p["message"], "file_ids are sorted": p["file_ids"] == sorted(ids)})
    p = await t.bot.say(c, "again", file_ids=ids)
    t.see("the same files in a second post", pick(p, "message file_ids?"))
    r = await t.bot.get(f"/files/{ids[0]}/link")
    t.see("public link status", r.status_code)


@scenario
async def file_upload_errors(t: Run) -> None:
    """No channel, a channel it is not in, an empty file, a body over the limit (413 before the body is read)."""
    c = await t.channel()
    o = await t.channel("O", members=(t.user,), alias="<notmine>")
    t.rest("no channel", await t.bot.req("POST", "/files", params={"filename": "a.txt"}, content=b"x"))
    t.rest(
        "not a member", await t.bot.req("POST", "/files", params={"channel_id": o, "filename": "a.txt"}, content=b"x")
    )
    t.rest(
        "unknown channel",
        await t.bot.req("POST", "/files", params={"channel_id": UNKNOWN_ID, "filename": "a.txt"}, content=b"x"),
    )
    t.rest("no file name", await t.bot.req("POST", "/files", params={"channel_id": c}, content=b"x"))
    r = await t.bot.req("POST", "/files", params={"channel_id": c, "filename": "empty.txt"}, content=b"")
    t.see("empty file", {"status": r.status_code, "error_id": r.json().get("id") if r.status_code >= 400 else None})
    limit = int((await t.bot.get("/config/client", params={"format": "old"})).json()["MaxFileSize"])
    u = urlsplit(t.kit.base)
    rd, wr = await asyncio.open_connection(u.hostname, u.port or 80)
    wr.write(
        (
            f"POST /api/v4/files?channel_id={c}&filename=big.bin HTTP/1.1\r\nHost: {u.netloc}\r\n"
            f"Authorization: Bearer {t.bot.token}\r\n"
            f"Content-Type: application/octet-stream\r\nContent-Length: {limit + 1}\r\nConnection: close\r\n\r\n"
        ).encode()
    )
    await wr.drain()
    answer = (await asyncio.wait_for(rd.read(65536), 15)).decode("latin-1")
    wr.close()
    head, _, text = answer.partition("\r\n\r\n")
    m = re.search(r'"id":"([^"]+)"', text)
    t.see("over the limit", {"status": int(head.split(" ")[1]), "error_id": m.group(1) if m else ABSENT})


@scenario
async def file_access(t: Run) -> None:
    """Who may use and read a file: another's upload cannot be attached, unknown ids are dropped silently, a file in
    a private channel is 403 to outsiders, an unattached one is open to the channel's members; eleven files are
    too many."""
    c = await t.channel("P")
    r = await t.bot.req("POST", "/files", params={"channel_id": c, "filename": "a.txt"}, content=b"x")
    fid = t.ident(r.json()["file_infos"][0]["id"], "<file>")
    t.rest("unattached, by its uploader", await t.bot.get(f"/files/{fid}/info"), "id")
    t.rest("unattached, by another", await t.user.get(f"/files/{fid}/info"), "id")
    r = await t.user.post("/posts", {"channel_id": c, "message": "stolen", "file_ids": [fid]})
    t.rest("another's file", r, "message file_ids?")
    r = await t.bot.post("/posts", {"channel_id": c, "message": "unknown file", "file_ids": [UNKNOWN_ID]})
    t.rest("unknown file", r, "message file_ids?")
    await t.bot.say(c, "mine", file_ids=[fid])
    t.rest("by a member", await t.user.get(f"/files/{fid}/info"), "id")
    t.rest("by an outsider", await t.bot2.get(f"/files/{fid}/info"))
    t.rest("download by an outsider", await t.bot2.get(f"/files/{fid}"))
    t.rest("unknown id", await t.bot.get(f"/files/{UNKNOWN_ID}"))
    ids = []
    for i in range(11):
        r = await t.bot.req("POST", "/files", params={"channel_id": c, "filename": f"{i}.txt"}, content=b"x")
        ids.append(r.json()["file_infos"][0]["id"])
    r = await t.bot.post("/posts", {"channel_id": c, "message": "eleven", "file_ids": ids})
    t.rest("eleven files", r, "message")
    r = await t.bot.post("/posts", {"channel_id": c, "message": "ten", "file_ids": ids[:10]})
    t.see("ten files", {"status": r.status_code, "count": len(r.json().get("file_ids", []))})


@scenario
async def file_posted_event(t: Run) -> None:
    """A post with files: the posted event has otherFile (and image) = "true", the post has file_ids and
    metadata.files."""
    c = await t.channel()
    w = await t.ws(t.bot)
    r = await t.user.req("POST", "/files", params={"channel_id": c, "filename": "dot.png"}, content=PNG)
    fid = t.ident(r.json()["file_infos"][0]["id"], "<file>")
    p = await t.user.say(c, "a picture", file_ids=[fid])
    m = await w.posted(p["id"])
    t.event(
        "posted",
        m,
        "otherFile image",
        "message file_ids metadata.files.id metadata.files.name metadata.files.mime_type metadata.files.size",
    )
