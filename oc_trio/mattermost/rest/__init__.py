"""The REST API of one account, a class per kind of thing."""
