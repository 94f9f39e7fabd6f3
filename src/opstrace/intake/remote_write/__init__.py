"""Prometheus's remote write, versions 1.0 and 2.0: series that keep their own labels."""
