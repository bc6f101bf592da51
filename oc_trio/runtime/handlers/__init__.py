"""Who answers the public port: slash commands, clicks, questions, hooks."""
