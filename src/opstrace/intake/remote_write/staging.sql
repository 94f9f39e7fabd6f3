-- Where one commit's remote writes lie, decoded, until they are in the store. In memory only; emptied by every commit.

DROP TABLE IF EXISTS staged_symbols;
-- The texts of bodies of version 2.0, by the place of the body in its file and the text's in the body.
CREATE TABLE staged_symbols (key UInt64, text String) ENGINE = Join(ANY, LEFT, key);

DROP TABLE IF EXISTS staged_metadata;
-- What bodies tell of metrics.
CREATE TABLE staged_metadata
(
    body   UInt32,
    tenant LowCardinality(String),
    name   String,
    type   UInt8,
    help   String,
    unit   String
)
ENGINE = Memory;

DROP TABLE IF EXISTS staged_writes;
-- One row a series of a body.
CREATE TABLE staged_writes
(
    body            UInt32,
    tenant          LowCardinality(String),
    sent_labels     Array(Tuple(String, String)),
    samples         Array(Tuple(value Float64, timestamp Int64)),
    start_times     Array(Int64),                                  -- one a sample, ms; empty where none says when it began
    sent_histograms Array(Tuple(
        count_int        UInt64,
        count_float      Float64,
        sum              Float64,
        schema           Int32,
        zero_threshold   Float64,
        zero_count_int   UInt64,
        zero_count_float Float64,
        negative_spans   Array(Tuple(offset Int32, length UInt32)),
        negative_deltas  Array(Int64),
        negative_counts  Array(Float64),
        positive_spans   Array(Tuple(offset Int32, length UInt32)),
        positive_deltas  Array(Int64),
        positive_counts  Array(Float64),
        reset_hint       Int32,
        timestamp        Int64,
        custom_values    Array(Float64),
        start_timestamp  Int64
    )),
    exemplars       UInt64,                                        -- how many
    -- A label without a value is no label; the order does not matter.
    all_labels Array(Tuple(String, String)) MATERIALIZED arraySort(arrayFilter(label -> label.2 != '', sent_labels)),
    name       String MATERIALIZED arrayFirst(label -> label.1 = '__name__', all_labels).2,
    labels     Array(Tuple(String, String)) MATERIALIZED arrayFilter(label -> label.1 != '__name__', all_labels),
    -- Why nothing of the series is stored; the numbers are those of verdicts.sql.
    refusal Enum8('none' = 0, 'no_name' = 1, 'bad_labels' = 2, 'name_too_long' = 3, 'too_many_labels' = 4, 'label_too_long' = 5)
        MATERIALIZED multiIf(
            name = '', 'no_name',
            arrayExists(label -> label.1 = '' OR NOT isValidUTF8(label.1) OR NOT isValidUTF8(label.2), all_labels)
                OR length(arrayDistinct(arrayMap(label -> label.1, all_labels))) != length(all_labels), 'bad_labels',
            length(name) > {max_name_bytes}, 'name_too_long',
            length(labels) > {max_tags}, 'too_many_labels',
            arrayExists(label -> length(label.1) + length(label.2) > {max_tag_bytes}, labels), 'label_too_long',
            'none'
        ),
    -- Apart from that of Datadog's metric of this name, whose series have another name in PromQL.
    metric           UInt64 MATERIALIZED sipHash64('', name),
    label_set        UInt64 MATERIALIZED cityHash64(name, labels),
    is_started       UInt8  MATERIALIZED notEmpty(start_times),
    series           UInt64 MATERIALIZED if(is_started, cityHash64('started', name, labels), label_set),
    histogram_series UInt64 MATERIALIZED cityHash64('histograms', name, labels),
    -- Positive side and negative side of each histogram: where its spans begin, their lengths, and the counts.
    sides Array(Array(Tuple(starts Array(Int64), lengths Array(Int64), counts Array(Float64)))) MATERIALIZED arrayMap(
        h -> arrayMap(
            side -> (
                arrayMap(
                    (offset, until, length) -> offset + until - length,
                    arrayCumSum(arrayMap(span -> toInt64(span.offset), side.1)),
                    arrayCumSum(arrayMap(span -> toInt64(span.length), side.1)),
                    arrayMap(span -> toInt64(span.length), side.1)
                ),
                arrayMap(span -> toInt64(span.length), side.1),
                if(notEmpty(side.3), side.3, arrayMap(n -> toFloat64(n), arrayCumSum(side.2)))
            ),
            [
                (h.positive_spans, h.positive_deltas, h.positive_counts),
                (h.negative_spans, h.negative_deltas, h.negative_counts)
            ]
        ),
        sent_histograms
    ),
    -- A marker of the series' end is a histogram with that one NaN for a sum.
    are_markers Array(UInt8) MATERIALIZED arrayMap(h -> reinterpretAsUInt64(h.sum) = 0x7FF0000000000002, sent_histograms),
    -- The rest must be what it says: as many counts as buckets, none of them negative (but NaN or infinite, as a rule that
    -- divides by nothing makes them), bounds that ascend, a whole count
    -- that is what is in the buckets (prometheus/prometheus: model/histogram/histogram.go and float_histogram.go,
    -- Validate). And no more of all that than queries could work with.
    are_sound Array(UInt8) MATERIALIZED arrayMap(
        (h, both, is_marker) -> is_marker OR (
            arrayAll(
                side -> arraySum(side.lengths) = length(side.counts)
                    AND arrayAll(n -> NOT n < 0, side.counts)
                    AND arrayAll((from, n) -> from BETWEEN -2147483648 AND 2147483647 - n, side.starts, side.lengths),
                both
            )
            AND length(both[1].counts) + length(both[2].counts) <= {max_buckets}
            AND length(h.custom_values) <= {max_buckets}
            AND arrayAll(span -> span.offset >= 0, arraySlice(h.positive_spans, 2))
            AND arrayAll(span -> span.offset >= 0, arraySlice(h.negative_spans, 2))
            AND NOT h.zero_count_float < 0 AND h.zero_threshold >= 0 AND NOT h.count_float < 0
            AND if(
                h.schema = -53,
                empty(both[2].counts) AND h.zero_count_int = 0 AND h.zero_count_float = 0
                    AND arrayAll(bound -> NOT isNaN(bound), h.custom_values)
                    AND arraySort(arrayDistinct(h.custom_values)) = h.custom_values
                    AND arrayAll(
                        (from, n) -> from >= 0 AND from + n <= length(h.custom_values) + 1, both[1].starts, both[1].lengths
                    ),
                h.schema BETWEEN -4 AND 8 AND empty(h.custom_values)
            )
            AND (
                -- Rounding may leave floats with a count that is less than what is in their buckets.
                notEmpty(h.positive_counts) OR notEmpty(h.negative_counts) OR h.count_float > 0 OR h.zero_count_float > 0
                -- Values that are NaN are in no bucket.
                OR h.count_int - arraySum(both[1].counts) - arraySum(both[2].counts) - h.zero_count_int
                    BETWEEN 0 AND if(isNaN(h.sum), inf, 0)
            )
        ),
        sent_histograms, sides, are_markers
    )
)
ENGINE = Memory
