"""Limits and settings of the sandbox; the defaults are those of the recorded real server."""

from oc_trio.classes import frozen

VERSION = "11.2.0"
MAX_MESSAGE = 16383  # code points
MAX_BODY = 300_000  # bytes of any request that is not an upload
MAX_POST_FILES = 10
PAGE = 60  # posts per page if the request does not say
MAX_PAGE = 200
MAX_SINCE = 1000  # posts returned for `since`
PENDING_MS = 30_000  # how long posts are deduplicated by pending_post_id
INTEGRATION_SECONDS = 30.0  # timeout of a call to an integration
CHALLENGE_SECONDS = 5.0  # for the authentication_challenge to come
UPGRADE_SECONDS = 15.0  # for a websocket's upgrade request to come
PING_SECONDS = 60.0  # how often the server pings a websocket
PONG_SECONDS = 100.0  # how long a silent one is taken for alive
ACTIVE_QUEUE = 256  # unsent events per connection
DEAD_QUEUE = 128  # written events kept for a replay
MAX_FRAME = 8192  # bytes of a frame from a client
REAP_MS = 300_000  # interval at which lost connections are deleted


@frozen
class Settings:
    """`site_url` is what permalinks and response URLs start with; sizes are bytes.

    `denied` are Mattermost's names of permissions that nobody but an admin has.

    `allowed_internal` are the hosts of `AllowedUntrustedInternalConnections`, None for no such restriction.
    """

    site_url: str = "http://127.0.0.1:8065"
    max_file_size: int = 104_857_600
    rate_limit: bool = False
    request_log: int = 10_000  # entries kept
    enable_commands: bool = True
    denied: frozenset[str] = frozenset()
    allowed_internal: tuple[str, ...] | None = None
