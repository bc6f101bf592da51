"""Looks up what a first configuration needs: the server, the bot, the models."""
