"""TLS as a client: the certificates that this machine trusts, and a connection made secure."""

import os
import ssl
from functools import lru_cache
from typing import Any

import trio


def client_tls() -> ssl.SSLContext:
    """The context of everybody in this process: to read the certificates takes 20 ms.

    They are read again where SSL_CERT_FILE or SSL_CERT_DIR name others than before.
    """
    return _read(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache(maxsize=1)
def _read(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    return ssl.create_default_context()


async def start_tls(stream: trio.abc.Stream, ssl_context: ssl.SSLContext, host: str) -> trio.abc.Stream:
    """TLS over `stream`, handshake done and checked for `host`. Has no deadline: the caller sets one.

    Raises trio.BrokenResourceError, whose cause has the reason.
    """
    ssl_context.set_alpn_protocols(["http/1.1"])
    ssl_context.sslobject_class = _TlsObject
    secure = trio.SSLStream(stream, ssl_context, server_hostname=host, https_compatible=True)
    await secure.do_handshake()
    return secure


class _TlsObject(ssl.SSLObject):
    """One that reads all records that have come: as a rule each holds one token, and Trio waits after each read."""

    _failure: ssl.SSLError | None = None

    def read(self, size: int = 1024, buffer: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Up to `size` bytes of them, or one record into `buffer`. Raises ssl.SSLError, after all that came before."""
        if self._failure is not None:
            raise self._failure
        if buffer is not None:
            return super().read(size, buffer)
        data = bytearray(record := super().read(size))
        try:
            while record and len(data) < size:
                data += (record := super().read(size - len(data)))
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as failure:
            self._failure = failure
        return bytes(data)
