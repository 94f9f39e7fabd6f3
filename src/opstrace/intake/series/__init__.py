"""Bodies that are nothing but series, of all of Datadog's kinds: decoded, judged, translated."""
