-- Whether series have their row of a day, in their order; identity.py knows their hashes.
SELECT seen_key(assumeNotNull(tenant), assumeNotNull(day), assumeNotNull(series)) IN seen AS is_known
FROM Python(rows)
SETTINGS query_plan_enable_optimizations = 0, max_threads = 1, output_format_arrow_compression_method = 'none'
