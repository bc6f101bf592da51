"""The first question to a server, whose is the token, and what the answer says about the address.

Anything may stand at a mistyped address. Its 404 or its page is no refusal of the token, and is not reported as one.
"""

from oc_trio.core.entities import User
from oc_trio.errors import MattermostError, MattermostRejected, MattermostUnavailable, PayloadError
from oc_trio.mattermost.client import Api


class NotMattermostError(MattermostUnavailable):
    """Something else answers at the address, or a proxy in Mattermost's place; that may be over in a minute."""

    def __init__(self, problem: MattermostError) -> None:
        advice = "baseUrl is the server's address, without team or channel"
        super().__init__(f"what answers there is not Mattermost ({problem}); {advice}")


async def fetch_bot(api: Api) -> User:
    """The token's own user.

    Raises MattermostRejected where the server refuses the token or redirects, NotMattermostError where something else
    answers, and MattermostUnavailable where it can't be reached.
    """
    try:
        return await api.users.me()
    except PayloadError as problem:
        raise NotMattermostError(problem) from problem
    except MattermostRejected as problem:
        # Mattermost gives each of its errors an id, a web server's page has none. A redirect names the right address.
        if problem.code or problem.status < 400:
            raise
        raise NotMattermostError(problem) from problem
    except MattermostUnavailable as problem:
        # OpenSSL's words for an answer in plain text to the first message of TLS.
        if "WRONG_VERSION_NUMBER" not in str(problem):
            raise
        raise MattermostUnavailable(f"{problem} (does it speak http:// only?)") from problem


def failed_start(base_url: str, account: str, problem: MattermostError) -> MattermostError:
    """The same error, told to somebody who starts the gateway."""
    if isinstance(problem, NotMattermostError):
        return MattermostUnavailable(f"{base_url}: {problem}")
    if isinstance(problem, MattermostRejected) and problem.status >= 400:
        text = f"{base_url} refuses the token of account {account}: {problem}; make one at Integrations > Bot Accounts"
        return MattermostRejected(text, status=problem.status, code=problem.code)
    return MattermostUnavailable(f"{base_url} can't be reached: {problem}")
