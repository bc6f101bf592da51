"""What an agent may call: the message tool, MCP servers, skills."""
