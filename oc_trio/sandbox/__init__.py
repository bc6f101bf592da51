"""An embedded Mattermost-compatible server and chat page, for the demo and the tests."""
