"""Datadog's own view of what is stored: its documents, its ways to ask."""
