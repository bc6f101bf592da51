"""Reads, checks and explains the operator's configuration; load.py alone touches files and environment."""
