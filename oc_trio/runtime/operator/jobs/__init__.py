"""Scheduled jobs as commands read, change and run them."""
