"""OpenTelemetry's metrics, taken as Prometheus takes them: translated into a remote write, and stored as one."""
