"""The process: signals, systemd, the supervisor of accounts, the admin page, a reload."""
