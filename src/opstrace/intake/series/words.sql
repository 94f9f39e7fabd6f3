-- What identity.py needs of each entry of a dictionary, in their order.
SELECT
    cityHash64(assumeNotNull(word)) AS hash,
    sipHash64(assumeNotNull(word)) AS metric
FROM Python(rows)
SETTINGS query_plan_enable_optimizations = 0, max_threads = 1, output_format_arrow_compression_method = 'none'
