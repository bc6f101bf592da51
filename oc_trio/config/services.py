"""The keys of hooks and scheduled messages."""

from collections.abc import Mapping

from oc_trio.classes import frozen
from oc_trio.config.fields import key, table_of
from oc_trio.config.secrets import NO_SECRET, Secret
from oc_trio.core.cron_jobs import Missed


@frozen
class Hooks:
    """`hooks`."""

    enabled: bool = key(False, "Serve the hook endpoints.")
    token: Secret = key(NO_SECRET, "Bearer token that callers send.")
    token_file: str = key("", "A file that holds it, readable by its owner only.")
    path: str = key("/hooks", "Where the endpoints are.", pattern=r"/.*", expects="a path that begins with /")


@frozen
class CronJob:
    """`cron.jobs.<name>`: `message` or `prompt`."""

    enabled: bool = key(True, "Whether it runs.")
    expression: str = key("", "Minute, hour, day of month, month, day of week; or `@daily` and its like.")
    timezone: str = key("UTC", "Time zone, such as `Europe/Berlin`.")
    target: str = key("", "Where it goes: `channel:<id>`, `#name`, `user:<id>`, `@username`.")
    message: str = key("", "Fixed text.")
    prompt: str = key("", "Said to the agent; its answer is posted.")
    agent: str = key("", "The agent for `prompt`; default as for messages there.")
    account: str = key("", "The account that posts; default the default account.")
    missed: Missed = key(Missed.SKIP, "Runs that fell into downtime: none, or one afterwards.")


@frozen
class CronSettings:
    """`cron`."""

    enabled: bool = key(True, "Whether jobs run.")
    jobs: Mapping[str, CronJob] = table_of("Scheduled messages by name.")
