"""Scheduled jobs of one account: when they are due, and what a run does."""
