"""What an operator of the sandbox may choose; the defaults are those the real server was recorded with."""

from attrs import frozen

VERSION = "11.2.0"
MAX_MESSAGE = 16383  # code points
MAX_BODY = 300_000  # bytes of any request that is not an upload
MAX_POST_FILES = 10
PAGE = 60
MAX_PAGE = 200
MAX_SINCE = 1000
PENDING_MS = 30_000
INTEGRATION_SECONDS = 30.0
CHALLENGE_SECONDS = 5.0
UPGRADE_SECONDS = 15.0  # for a websocket's upgrade request to come
PING_SECONDS = 60.0  # how often the server pings a websocket
PONG_SECONDS = 100.0  # how long it believes a silent one alive
ACTIVE_QUEUE = 256
DEAD_QUEUE = 128
MAX_FRAME = 8192
REAP_MS = 300_000


@frozen
class Settings:
    """`site_url` is what permalinks and response URLs start with; sizes are bytes."""

    site_url: str = "http://127.0.0.1:8065"
    max_file_size: int = 104_857_600
    rate_limit: bool = False
    request_log: int = 10_000  # entries kept
