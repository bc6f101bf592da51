"""Every error of oc_trio, one meaning each.

OcTrioError
├─ ConfigError(problems)                    the operator's mistake; all problems at once
├─ MattermostError
│  ├─ MattermostUnavailable(retry_after)    try later: network, timeout, 429, 5xx
│  │  └─ LeaseLost                          another process will: this one may not serve the account any more
│  ├─ MattermostRejected(status, code)      don't retry: 4xx
│  └─ PayloadError                          they broke the protocol
├─ CallbackRefused(status_hint, reason)     fail closed
├─ AgentError
│  ├─ AgentUnavailable(retry_after)         try later, or another model
│  └─ AgentFailed                           this turn can't be answered
├─ PictureUnusable                          a picture can't be shown to a model
├─ TargetError
│  ├─ AmbiguousTarget(candidates)
│  └─ UnknownTarget
└─ StoreError                               the journal can't be read or written
   ├─ StoreUnusable                         and won't be until somebody does something about it
   ├─ RowRefused                            it can, but not what this row would hold
   ├─ RowLocked                             another process holds the row for longer than is waited for it
   └─ FenceRefused                          it can, but another process serves the account by now

Foreign exceptions are translated once, at the edge that met them. Retry is decided by type.
"""

from oc_trio.classes import frozen


class OcTrioError(Exception):
    """Whatever oc_trio reports on purpose; str() is fit for a person to read."""


@frozen
class Problem:
    """A mistake in the configuration: `path` is the dotted key, `hint` what to write instead, `where` file and line."""

    path: str
    message: str
    hint: str = ""
    where: str = ""

    def __str__(self) -> str:
        return self.said + (f" ({self.hint})" if self.hint else "")

    @property
    def said(self) -> str:
        """Place, key and mistake, without the hint."""
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.path}: {self.message}"


class ConfigError(OcTrioError):
    """The configuration can't be used; `problems` lists every mistake found, in reading order."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class MattermostError(OcTrioError):
    """The chat server did not do what was asked."""


class MattermostUnavailable(MattermostError):
    """Try later. `retry_after` is in seconds where the server named it; `status` None means no answer came.

    `ambiguous` is true when the request may have been applied although no answer arrived.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str = "",
        retry_after: float | None = None,
        ambiguous: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.ambiguous = ambiguous


class LeaseLost(MattermostUnavailable):
    """The process does not hold the account's lease any more, so nothing may be sent for it. Never tried again here."""


class MattermostRejected(MattermostError):
    """The server refused: a 4xx. `code` is Mattermost's error id, such as `api.context.permissions.app_error`."""

    def __init__(self, message: str, *, status: int, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    @property
    def is_auth(self) -> bool:
        return self.status == 401


class PayloadError(MattermostError):
    """The server's words don't have the form that its API promises.

    `seq` is the number of a websocket event whose envelope could be read though its content could not: the
    numbering has to go on past it, or a resume would replay the same frame for ever.
    """

    def __init__(self, message: str, *, seq: int | None = None) -> None:
        super().__init__(message)
        self.seq = seq


class CallbackRefused(OcTrioError):
    """An incoming HTTP call is refused; `status_hint` is the HTTP status, `reason` is for the operator's log."""

    def __init__(self, status_hint: int, reason: str) -> None:
        super().__init__(reason)
        self.status_hint = status_hint
        self.reason = reason


class CallbackListenFailed(OcTrioError):
    """The callback server can't be started; str() says where and why."""


class AgentError(OcTrioError):
    """The agent could not answer. str() is the operator's line; `for_user` is one honest sentence for the chat.

    `words` are the model server's own, whole and with secrets cut out, where it refused in words.
    """

    def __init__(self, message: str, *, for_user: str, words: str = "") -> None:
        super().__init__(message)
        self.for_user = for_user
        self.words = words


class AgentUnavailable(AgentError):
    """The model is out of reach, overloaded or rate limited: another try or another model may do.

    `retry_after` is in seconds where the model's server named it.
    """

    def __init__(self, message: str, *, for_user: str, retry_after: float | None = None, words: str = "") -> None:
        super().__init__(message, for_user=for_user, words=words)
        self.retry_after = retry_after


class AgentFailed(AgentError):
    """The model refused this request: a bad key, an unknown model, too long a prompt, a broken stream.

    `another_may_do` says that the refusal is about who asks, not what: another model is worth asking.
    """

    def __init__(self, message: str, *, for_user: str, words: str = "", another_may_do: bool = False) -> None:
        super().__init__(message, for_user=for_user, words=words)
        self.another_may_do = another_may_do


class PictureUnusable(OcTrioError):
    """A picture can't be shown to a model; str() says why, as a clause without a capital."""


class TargetError(OcTrioError):
    """A destination can't be used."""


class UnknownTarget(TargetError):
    """Nobody and nothing answers to that name, or this bot may not see it."""


class AmbiguousTarget(TargetError):
    """Several places answer to that name; `candidates` are spelled so that each can be used as it is."""

    def __init__(self, message: str, *, candidates: tuple[str, ...]) -> None:
        super().__init__(message)
        self.candidates = candidates


class StoreError(OcTrioError):
    """The journal can't be opened, read or written."""


class StoreEmpty(StoreError):
    """The database is there, and no gateway has made its journal in it yet."""


class StoreUnusable(StoreError):
    """Trying again can't help: the journal is damaged, was written by a newer release, or its driver is missing."""


class RowRefused(StoreError):
    """The database refuses what a row would hold, and will as often as it is tried: a mistake of whoever wrote it.

    The journal itself is sound. str() tells nothing of what the row holds.
    """


class RowLocked(StoreError):
    """Another process has a transaction open on the row, for longer than is waited: nothing was written, try again."""


class FenceRefused(StoreError):
    """Another process holds the account's lease by now: what this one writes does not count any more."""
