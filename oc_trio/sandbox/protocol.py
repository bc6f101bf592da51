"""The websocket protocol: authentication, actions, and sending events, over any kind of websocket.

`app` and `websocket_stream` wrap their sockets as a `Peer`. `serve_connection` returns when the peer is gone.
"""

import json
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import trio

from oc_trio.classes import frozen
from oc_trio.ids import is_mattermost_id
from oc_trio.sandbox.compact import dump
from oc_trio.sandbox.faults import Cut, Deliver, Freeze
from oc_trio.sandbox.hub import WebConn
from oc_trio.sandbox.records import SessionRecord
from oc_trio.sandbox.request import bearer_token
from oc_trio.sandbox.settings import CHALLENGE_SECONDS, PONG_SECONDS
from oc_trio.sandbox.world import World


class PeerGone(Exception):
    """The other end is gone; `Peer.receive` and `Peer.send` raise it."""


class Peer(Protocol):
    """An upgraded websocket: text in, text out, and `abort`, which drops the connection without a close frame."""

    async def receive(self) -> str | bytes: ...

    async def send(self, frame: str) -> None: ...

    async def abort(self) -> None: ...


@frozen
class Opening:
    """The parameters of the upgrade request; `resumable` is False if they are malformed."""

    token: str = ""
    connection_id: str = ""
    sequence: int = 0
    resumable: bool = True


def read_opening(query: str, authorization: str) -> Opening:
    args = dict(parse_qsl(query, keep_blank_values=True))
    connection_id, number = args.get("connection_id", ""), args.get("sequence_number", "")
    token = bearer_token(authorization)
    if not connection_id:
        return Opening(token)
    sequence = _integer(number)
    if not is_mattermost_id(connection_id) or sequence is None:
        return Opening(token, resumable=False)
    return Opening(token, connection_id, sequence)


def _integer(text: str) -> int | None:
    return int(text) if text.removeprefix("-").isascii() and text.removeprefix("-").isdigit() else None


def is_foreign_origin(origin: str, host: str) -> bool:
    """Whether the request comes from a web page of another site (refused with 403); no Origin is allowed."""
    return bool(origin) and urlsplit(origin).netloc != host


async def serve_connection(world: World, peer: Peer, opening: Opening) -> None:
    """Serves one websocket until it ends; the caller has accepted the upgrade and closes the socket."""
    try:
        if not opening.resumable:
            await peer.abort()
            return
        session = world.users.session_of(opening.token) if opening.token else None
        # A bad token does not fail the upgrade, and a challenge may still follow (contract scenario
        # ws_bad_header_token).
        if session is not None:
            connection = world.connect(session, opening.connection_id, opening.sequence)
        else:
            challenged = await _await_challenge(world, peer)
            if challenged is None:
                await peer.abort()
                return
            connection = challenged
        await _run_connection(world, peer, connection)
    except PeerGone:
        return


async def _await_challenge(world: World, peer: Peer) -> WebConn | None:
    """The connection after a valid authentication_challenge; None after an invalid one, a bad frame or 5 seconds."""
    with trio.move_on_after(CHALLENGE_SECONDS):
        while True:
            message = _parse(await peer.receive())
            if message is None:
                return None
            if message.get("action") == "authentication_challenge":
                return _answer_challenge(world, message)
    return None


def _answer_challenge(world: World, message: Mapping[str, Any]) -> WebConn | None:
    token = (message.get("data") or {}).get("token", "")
    session: SessionRecord | None = world.users.session_of(token) if isinstance(token, str) and token else None
    if session is None:
        return None
    # Without the parameters of the upgrade: a challenge resumes nothing (contract scenario resume_with_challenge).
    connection = world.connect(session)
    # Behind the hello (contract scenario ws_challenge).
    connection.enqueue(dump({"status": "OK", "seq_reply": message.get("seq", 0)}))
    return connection


def _parse(frame: str | bytes) -> dict[str, Any] | None:
    """The action in a frame; None if it is no JSON object with fields of the right types."""
    try:
        message = json.loads(frame)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or not isinstance(message.get("data") or {}, dict):
        return None
    seq, action = message.get("seq", 0), message.get("action", "")
    if isinstance(seq, bool) or not isinstance(seq, int) or not isinstance(action, str):
        return None
    return message


async def _run_connection(world: World, peer: Peer, connection: WebConn) -> None:
    # Set by whichever of the two ends first; the other one waits in a read or for a frame, and has to be cancelled.
    gone = trio.Event()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read, world, peer, connection, gone)
            nursery.start_soon(_pump, world, peer, connection, gone)
            await gone.wait()
            nursery.cancel_scope.cancel()
    finally:
        world.disconnect(connection)


async def _read(world: World, peer: Peer, connection: WebConn, gone: trio.Event) -> None:
    try:
        while True:
            message = _parse(await peer.receive())
            if message is None:
                await peer.abort()
                break
            if connection.frozen:
                continue
            reply = world.actions.reply(connection, message)
            if reply is not None:
                connection.enqueue(dump(reply))
    except PeerGone:
        if connection.frozen:  # half open: the server notices only at its pong timeout
            await trio.sleep(PONG_SECONDS)
    gone.set()


async def _pump(world: World, peer: Peer, connection: WebConn, gone: trio.Event) -> None:
    woken = trio.Event()
    connection.wake = lambda: woken.set()
    try:
        while not connection.overflowed:
            frame = connection.next_frame()
            if frame is None:
                # There is no checkpoint since the look at the queue: no frame was put into it that this would miss.
                woken = trio.Event()
                await woken.wait()
                continue
            match await world.faults.frame(connection, frame):
                case Deliver(frames):
                    for text in () if connection.frozen else frames:
                        await peer.send(text)
                case Freeze():
                    connection.frozen = True
                case Cut():
                    break
        await peer.abort()
    except PeerGone:
        pass
    gone.set()
