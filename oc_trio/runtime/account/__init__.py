"""One account's branch of the supervision tree: connection, catch-up, recovery."""
