"""Handles what comes in at the public port: slash commands, clicks, answers to questions, hooks."""
