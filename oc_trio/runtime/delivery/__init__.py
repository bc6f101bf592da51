"""Posts are composed, written to the outbox, sent once, and confirmed."""
