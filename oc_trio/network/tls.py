"""The certificates that this machine trusts, for whoever connects as a client."""

import os
import ssl
from functools import lru_cache


def client_tls() -> ssl.SSLContext:
    """The context of everybody in this process: to read the certificates takes 20 ms.

    They are read again where SSL_CERT_FILE or SSL_CERT_DIR name others than before.
    """
    return _read(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache(maxsize=1)
def _read(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    return ssl.create_default_context()
