"""The operators' way in on this machine: probes, metrics and status over a unix socket or loopback."""
