-- Distributions whose sketches were decoded, or made, outside of the engine: a row each.
INSERT INTO staged_sketches
SELECT
    assumeNotNull(body),
    assumeNotNull(tenant),
    assumeNotNull(place),
    assumeNotNull(sent_name),
    assumeNotNull(host),
    assumeNotNull(unit),
    assumeNotNull(source_type),
    CAST(sent_tags, 'Array(String)'),
    arrayZip(
        times,
        CAST(cnts, 'Array(Int64)'),
        CAST(sums, 'Array(Float64)'),
        CAST(minima, 'Array(Float64)'),
        CAST(maxima, 'Array(Float64)'),
        CAST(keys, 'Array(Array(Int32))'),
        CAST(counts, 'Array(Array(UInt64))')
    )
FROM Python(rows)
