"""What a role may call while it works: built-in tools, tools of MCP servers, and the talk in which a model calls them.

Empty on purpose: import the module you need.
"""
