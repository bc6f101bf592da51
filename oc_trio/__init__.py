"""oc_trio: a gateway between a self-hosted Mattermost and AI agents, on Trio."""

__version__ = "0.1.0"
