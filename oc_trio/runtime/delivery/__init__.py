"""Composes posts, records them in the outbox, sends each once and confirms it."""
