"""The edge from the chat server: slash commands, button presses and hooks over HTTP."""
