"""HTTP connections under our httpx clients: the pool, its sockets, and proxies."""
