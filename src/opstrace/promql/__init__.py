"""PromQL over ragged blocks of samples, on numpy arrays."""
