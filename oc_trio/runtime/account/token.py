"""An account's token, read again where it came from once the server refuses it: rotation needs no restart."""

from collections.abc import Callable, Mapping

import trio
from attrs import define

from oc_trio.config.secrets import Secret, SecretUnavailable, read_secret
from oc_trio.telemetry.log import get_logger

# Longer than a password manager's command may take; a file on a dead network drive takes for ever.
REREAD_SECONDS = 20.0

log = get_logger(part="token")


def _nobody(_secret: str) -> None:
    return


@define(eq=False)
class Token:
    """`reveal` is what requests ask; `reread` runs in a thread, for the source may be a password manager.

    `learnt` is told each new value before it is used: logs must cut it out.
    """

    secret: Secret
    environ: Mapping[str, str]
    learnt: Callable[[str], None] = _nobody

    def reveal(self) -> str:
        return self.secret.reveal()

    async def reread(self) -> bool:
        """Take the token's present value; true if it is another one.

        A source that can't be read leaves the old one and is logged.
        """
        ref = self.secret.ref
        if ref is None:
            return False
        try:
            with trio.fail_after(REREAD_SECONDS):
                fresh = await trio.to_thread.run_sync(read_secret, ref, self.environ, abandon_on_cancel=True)
        except (SecretUnavailable, trio.TooSlowError) as problem:
            why = str(problem) or f"no answer within {REREAD_SECONDS:g} s"
            log.error("the token can't be read again", source=str(ref), problem=why)
            return False
        if fresh.reveal() == self.secret.reveal():
            return False
        self.learnt(fresh.reveal())
        self.secret = fresh
        log.info("the token was replaced", source=str(ref))
        return True
