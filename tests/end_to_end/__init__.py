"""Tests that drive a real instance over real sockets, and what they drive it with."""
