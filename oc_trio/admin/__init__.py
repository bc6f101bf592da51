"""The loopback admin API and the status page."""
