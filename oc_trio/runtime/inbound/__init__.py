"""Turns events and requests into admitted messages, or records why they are not answered."""
