"""The HTTP server for calls from outside: slash commands, button clicks and hooks."""
