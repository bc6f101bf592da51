"""The journal database (SQLite or PostgreSQL): messages, obligations, turns, outbox, sessions and their history."""
