"""The journal: what was admitted, owed, sent and seen, on SQLite or PostgreSQL."""
