"""The HTTP client of the model endpoints: one pool for all. Deadlines and limits are the agents'."""

import ssl

import httpx

from oc_trio.network.pool import PooledTransport


def open_model_client(ssl_context: ssl.SSLContext | None) -> httpx.AsyncClient:
    """A client that is to be used in `async with`. Without a context, for http:// only, no certificate is trusted."""
    context = ssl_context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Providers have limits of their own (`maxConcurrent`); a wait in the pool would count against a model's deadlines.
    transport = PooledTransport(context, max_connections=None, max_idle=50)
    return httpx.AsyncClient(transport=transport, verify=context, timeout=None)  # noqa: S113 - deadlines are Trio's
