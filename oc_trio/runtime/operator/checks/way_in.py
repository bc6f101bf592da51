"""`oc-trio doctor` on the way in: is the WebSocket opened, greeted, answered, and (with `--deep`) held while quiet?

Proxies are what stands in the way as a rule: they refuse the upgrade, pass the request on without it, or end a quiet
connection. Their answers are told from Mattermost's, which carry an error id.
"""

from collections.abc import Callable

import trio

from oc_trio.config.accounts import Account
from oc_trio.config.mattermost import ConnectionMode
from oc_trio.errors import MattermostError, MattermostRejected, MattermostUnavailable
from oc_trio.mattermost.listener import HEARTBEAT_SECONDS
from oc_trio.mattermost.socket import Socket, open_socket
from oc_trio.mattermost.transport import MattermostServer
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.operator.findings import Finding, Level
from oc_trio.runtime.policies import net_policy

# As long as the listener waits for it (`listener.PONG_SECONDS`): what is slower breaks a gateway's connection.
_PING_SECONDS = 10.0
_TELL_SECONDS = 15.0
# What proxies answer whose server can't be reached.
_GATEWAY_ERRORS = (502, 503, 504)
UPGRADE_LINES = (
    "`proxy_http_version 1.1;`, `proxy_set_header Upgrade $http_upgrade;` and "
    '`proxy_set_header Connection "upgrade";` for /api/v4/websocket'
)

Progress = Callable[[str], None]


async def check_way_in(
    server: MattermostServer,
    account: Account,
    dependencies: Dependencies,
    *,
    hold_seconds: float = 0.0,
    progress: Progress = lambda _: None,
) -> Finding:
    """The finding about an account's WebSocket; it is held for `hold_seconds`, in which `progress` gets a line."""
    subject = f"websocket of {account.id}"
    if account.connection.mode is ConnectionMode.POLL:
        return Finding(Level.OK, subject, "not used: connection.mode is poll", "socket.unused")
    opener = dependencies.stream_opener(net_policy(account))
    held = 0.0
    greeted = False
    began = trio.current_time()
    try:
        async with open_socket(
            server.websocket_url,
            account.bot_token.reveal(),
            None,
            open_stream=opener,
            ssl_context=dependencies.ssl_context,
        ) as socket:
            # The ping is made below, where its time is taken and its absence is a finding of its own.
            await socket.greet(ping=False)
            greeted = True
            if hold_seconds:
                began = trio.current_time()
                await _hold(socket, hold_seconds, subject, progress)
                held = hold_seconds
            pinged = trio.current_time()
            if not await _ping(socket):
                text = f"an action ping got no answer within {_PING_SECONDS:g} s"
                return Finding(Level.FAILED, subject, text, "socket.no_ping", _LOOK_AT_PROXY)
            took = (trio.current_time() - pinged) * 1000
    except MattermostError as problem:
        # Greeted, and ended before the time was over.
        if greeted and hold_seconds and not held:
            return _cut(subject, trio.current_time() - began, problem)
        return _refused(subject, server.websocket_url, problem)
    quiet = f", held for {held:g} s without a word" if held else ""
    return Finding(Level.OK, subject, f"opened, greeted{quiet}, ping answered in {took:.0f} ms", "socket.ok")


_LOOK_AT_PROXY = "look at the proxy before Mattermost: it has to pass frames on in both directions"


async def _hold(socket: Socket, seconds: float, subject: str, progress: Progress) -> None:
    """Send nothing for so long; the server's own pings are answered by the library. Raises MattermostError."""
    until = trio.current_time() + seconds
    while (left := until - trio.current_time()) > 0:
        progress(f"{subject}: held without a word for {seconds - left:.0f} of {seconds:g} s")
        # In stretches, so that whoever waits sees that something still goes on.
        with trio.move_on_after(min(left, _TELL_SECONDS)):
            while True:
                await socket.receive()


async def _ping(socket: Socket) -> bool:
    answered = False
    with trio.move_on_after(_PING_SECONDS):
        async with trio.open_nursery() as nursery:
            # The reply is seen by whoever receives.
            nursery.start_soon(_receive_all, socket)
            await socket.ping()
            answered = True
            nursery.cancel_scope.cancel()
    return answered


async def _receive_all(socket: Socket) -> None:
    while True:
        await socket.receive()


def _cut(subject: str, seconds: float, problem: MattermostError) -> Finding:
    """It was ended while nothing was said. Only sooner than the heartbeat does that harm a gateway."""
    text = f"ended after {seconds:.0f} s without a word ({problem})"
    fix = "raise the read timeout of the proxy before Mattermost above 60 s: nginx `proxy_read_timeout 600s;`"
    # A gateway says something with every heartbeat; the 5 s are for its way.
    level = Level.FAILED if seconds < HEARTBEAT_SECONDS + 5.0 else Level.WARNING
    return Finding(level, subject, text, "socket.cut", fix)


def _refused(subject: str, url: str, problem: MattermostError) -> Finding:
    """It was not opened, or not greeted."""
    status, code = 0, ""
    if isinstance(problem, (MattermostRejected, MattermostUnavailable)):
        status, code = problem.status or 0, problem.code
    # With an error id it would be Mattermost's own answer.
    if status in _GATEWAY_ERRORS and not code:
        text = f"a proxy before Mattermost answers HTTP {status} to {url}: {problem}"
        fix = "let the proxy reach Mattermost for /api/v4/websocket as for the rest of /api/v4"
        return Finding(Level.FAILED, subject, text, "socket.proxy", fix)
    # What servers answer to a request whose upgrade was taken off on the way.
    if status in (200, 400, 404, 405, 426):
        text = f"a proxy before Mattermost does not pass the WebSocket upgrade of {url} on (HTTP {status})"
        return Finding(Level.FAILED, subject, text, "socket.no_upgrade", f"in nginx: {UPGRADE_LINES}")
    if "no greeting" in str(problem) or "ws." in code:
        text = f"opened, and Mattermost did not greet: {problem}"
        return Finding(Level.FAILED, subject, text, "socket.no_greeting", _LOOK_AT_PROXY)
    fix = "what reaches https:// there must reach wss:// as well: look at the proxy, and at its log"
    return Finding(Level.FAILED, subject, f"{url}: {problem}", "socket.unreachable", fix)
