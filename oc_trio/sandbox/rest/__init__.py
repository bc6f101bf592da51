"""The REST v4 handlers, one module per noun; each module's ROUTES is its part of the table."""
