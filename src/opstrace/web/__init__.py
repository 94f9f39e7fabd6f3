"""The HTTP doors for people and their tools."""
