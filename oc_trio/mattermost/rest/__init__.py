"""The REST API (`/api/v4`) of one account, a class per resource and a method per endpoint."""
