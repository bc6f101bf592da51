"""The edge to the chat server: REST, websocket, catch-up, directory and files."""
