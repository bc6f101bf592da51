"""A black-box conformance kit for the Mattermost API as a bot gateway uses it: see ../README.md."""
