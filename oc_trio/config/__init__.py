"""Reads, checks and explains the operator's configuration; `load` is its one entry."""
