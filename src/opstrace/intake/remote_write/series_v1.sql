-- The series of bodies of version 1.0, which follow each other in one file, each after its length, and are told apart by
-- their row in it.
INSERT INTO staged_writes (body, tenant, sent_labels, samples, sent_histograms, exemplars)
SELECT
    {bodies:Array(UInt32)}[message + 1],
    {tenants:Array(String)}[message + 1],
    arrayMap(label -> (label.name, label.value), s.labels),
    s.samples,
    s.histograms,
    length(s.exemplars)
FROM
(
    SELECT _row_number AS message, arrayJoin(timeseries) AS s
    FROM file({path:String}, 'Protobuf', 'timeseries Array(Tuple(
        labels Array(Tuple(name String, value String)),
        samples Array(Tuple(value Float64, timestamp Int64)),
        exemplars Array(Tuple(value Float64)),
        histograms Array(Tuple(
            count_int UInt64, count_float Float64, sum Float64, schema Int32, zero_threshold Float64,
            zero_count_int UInt64, zero_count_float Float64,
            negative_spans Array(Tuple(offset Int32, length UInt32)),
            negative_deltas Array(Int64),
            negative_counts Array(Float64),
            positive_spans Array(Tuple(offset Int32, length UInt32)),
            positive_deltas Array(Int64),
            positive_counts Array(Float64),
            reset_hint Int32, timestamp Int64,
            custom_values Array(Float64), start_timestamp Int64
        ))
    ))')
)
SETTINGS format_schema = '{schema}:WriteRequest', input_format_parallel_parsing = 0, max_threads = 1, max_memory_usage = {max_memory}
