"""The edge to models and tools: one port and its implementations."""
