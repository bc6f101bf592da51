"""An account's token, read again where it came from once the server refuses it: rotation needs no restart."""

from collections.abc import Mapping

import trio
from attrs import define

from oc_trio.config.secrets import Secret, SecretUnavailable, read_secret
from oc_trio.telemetry.log import get_logger

log = get_logger(part="token")


@define(eq=False)
class Token:
    """`reveal` is what requests ask; `reread` runs in a thread, for the source may be a password manager."""

    secret: Secret
    environ: Mapping[str, str]

    def reveal(self) -> str:
        return self.secret.reveal()

    async def reread(self) -> None:
        """Take the token's present value; a source that can't be read leaves the old one and is logged."""
        ref = self.secret.ref
        if ref is None:
            return
        try:
            fresh = await trio.to_thread.run_sync(read_secret, ref, self.environ, abandon_on_cancel=True)
        except SecretUnavailable as problem:
            log.error("the token can't be read again", source=str(ref), problem=str(problem))
            return
        if fresh.reveal() != self.secret.reveal():
            log.info("the token was replaced", source=str(ref))
        self.secret = fresh
