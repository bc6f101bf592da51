"""The admin API for operators on the same machine: probes, metrics and status over a unix socket or loopback."""
