"""The REST v4 handlers, one module per resource; `ROUTES` of each is its part of the route table."""
