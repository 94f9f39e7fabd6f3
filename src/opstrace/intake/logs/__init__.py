"""Logs, in every form in which they come."""
