"""One turn: from the messages that it answers to its delivered result."""
