"""A Mattermost-compatible server with a chat page, in memory, for the demo and the tests."""
