"""An account's token, which is read from its source again when the server refuses it: rotation needs no restart."""

from collections.abc import Callable, Mapping

import trio

from oc_trio.classes import define
from oc_trio.config.secrets import Secret, SecretUnavailable, read_secret
from oc_trio.telemetry.log import get_logger

# Longer than a password manager's command may take. A file on a dead network drive may take for ever.
REREAD_SECONDS = 20.0

log = get_logger(part="token")


def _ignore(_secret: str) -> None:
    return


@define(eq=False)
class Token:
    """`reveal` gives the value for a request; `reread` reads in a thread, as the source may be a password manager.

    `on_rotated` is called with each new value before it is used: logs must redact it.
    """

    secret: Secret
    environ: Mapping[str, str]
    on_rotated: Callable[[str], None] = _ignore

    def reveal(self) -> str:
        return self.secret.reveal()

    async def reread(self) -> bool:
        """Take the value that the source has now; returns whether it is another one.

        Where the source can't be read, that is logged and the old value stays.
        """
        ref = self.secret.ref
        if ref is None:
            return False
        try:
            with trio.fail_after(REREAD_SECONDS):
                fresh = await trio.to_thread.run_sync(read_secret, ref, self.environ, abandon_on_cancel=True)
        except (SecretUnavailable, trio.TooSlowError) as problem:
            reason = str(problem) or f"no answer within {REREAD_SECONDS:g} s"
            log.error("the token can't be read again", source=str(ref), problem=reason)
            return False
        if fresh.reveal() == self.secret.reveal():
            return False
        # Before any request has it: an error that quotes it may be logged.
        self.on_rotated(fresh.reveal())
        self.secret = fresh
        log.info("the token was replaced", source=str(ref))
        return True
