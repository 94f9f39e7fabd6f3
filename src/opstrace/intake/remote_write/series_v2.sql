-- The series of bodies of version 2.0. One whose labels refer to texts that are not there, or are no pairs, has a label
-- without a name, and so is refused.
INSERT INTO staged_writes (body, tenant, sent_labels, samples, start_times, sent_histograms, exemplars)
SELECT
    {bodies:Array(UInt32)}[message + 1],
    {tenants:Array(String)}[message + 1],
    arrayMap(
        place -> (
            joinGet('staged_symbols', 'text', bitShiftLeft(toUInt64(message), 32) + refs[2 * place - 1]),
            joinGet('staged_symbols', 'text', bitShiftLeft(toUInt64(message), 32) + refs[2 * place])
        ),
        range(1, intDiv(length(refs), 2) + 1)
    ) || if(arrayAll(ref -> ref < known, refs) AND length(refs) % 2 = 0, [], [('', 'nowhere')]),
    arrayMap(sample -> (sample.value, sample.timestamp), s.samples),
    if(arrayExists(start -> start != 0, s.samples.start_timestamp), s.samples.start_timestamp, []),
    s.histograms,
    length(s.exemplars)
FROM
(
    SELECT _row_number AS message, length(symbols) AS known, arrayJoin(timeseries) AS s, s.labels_refs AS refs
    FROM file({path:String}, 'Protobuf', 'symbols Array(String), timeseries Array(Tuple(
        labels_refs Array(UInt32),
        samples Array(Tuple(value Float64, timestamp Int64, start_timestamp Int64)),
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
        )),
        exemplars Array(Tuple(value Float64))
    ))')
)
SETTINGS format_schema = '{schema}:Request', input_format_parallel_parsing = 0, max_threads = 1, max_memory_usage = {max_memory}
