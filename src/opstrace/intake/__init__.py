"""Where Datadog's vocabulary ends: payloads become series and samples."""
