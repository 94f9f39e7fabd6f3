"""The same data and the same random queries for Debian's Prometheus and for us; the answers must be the same."""
